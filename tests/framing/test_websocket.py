"""WebSocket frames: what we make is what a client's library reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from fairlead.framing.websocket import binary_frame, messages, text_frame

_SIZES = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000]) | st.integers(0, 300)


@given(st.lists(st.tuples(st.booleans(), _SIZES), max_size=5))
def test_frames_are_read_as_they_were_made(parts: list[tuple[bool, int]]) -> None:
    sent = [(text, (b"a" if text else b"\xff") * size) for text, size in parts]
    data = b"".join([text_frame(p) if text else binary_frame(p) for text, p in sent])
    assert [tuple(message) for message in messages(data)] == sent

    client = Protocol(Side.CLIENT, state=State.OPEN)
    client.receive_data(data)
    received = [
        (frame.opcode is Opcode.TEXT, bytes(frame.data))
        for frame in client.events_received()
        if isinstance(frame, Frame)
    ]
    assert received == sent
