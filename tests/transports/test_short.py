"""The short way of a wire gives what its long one does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dialects import native, openai_chat
from fairlead.engine.wire import Wire, short
from fairlead.events.codec import encode, said
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import MAIN_PART, Event, Relayed, Thinking, Token
from fairlead.journal.position import Epoch, Position
from fairlead.transports.messages import MessageWire
from fairlead.transports.rpc_wire import RpcWire
from fairlead.transports.sse import BatchingSseWire, SseWire
from fairlead.transports.vendor_sse import ChatSseWire, ResponsesSseWire
from fairlead.transports.websocket import SocketWire
from tests.events.strategies import events, extras, parts, texts

STREAM = "s"
META = GenerationMeta(provider="scripted", model="m")
NOW = 1_700_000_000_000
EPOCH = Epoch(1, "abcdef")

WIRES: dict[str, Wire] = {
    "named": SseWire(STREAM, META, native.Options()),
    "messages": SseWire(STREAM, META, native.Options(events="message")),
    "batched": BatchingSseWire(STREAM, META, native.Options(), 3),
    "lines": MessageWire(STREAM, META),
    "websocket": SocketWire(STREAM, META),
    "rpc": RpcWire(STREAM, META),
    "chat": ChatSseWire(STREAM, META, openai_chat.Options()),
    "responses": ResponsesSseWire(STREAM, META),
    "obfuscated": ResponsesSseWire(STREAM, META, obfuscated=True),
}
#: Those that go the short way once the answer has begun.
QUICK = {"named", "lines", "websocket", "chat", "responses"}

tokens = st.builds(
    Token,
    at=st.integers(0, 2**53) | st.just(NOW),
    text=texts | st.text(min_size=60, max_size=300),
    part=parts | st.just(MAIN_PART),
    extra=extras,
)


def _position(offset: int) -> bytes:
    return str(Position(EPOCH, offset)).encode()


@given(st.one_of(tokens, events))
def test_what_a_record_says_is_its_whole_text(event: Event) -> None:
    record = encode(event)
    text = said(record)
    if not text:
        return
    assert isinstance(event, Token)
    assert event == Token(event.at, msgspec.json.decode(text))
    assert text == msgspec.json.encode(event.text)


@given(texts)
def test_a_plain_token_of_these_days_is_said(text: str) -> None:
    assert said(encode(Token(NOW, text))) == msgspec.json.encode(text)
    assert said(encode(Token(NOW, text, 1))) == b""
    assert said(encode(Token(NOW, text, extra=msgspec.Raw(b'{"a":"b"}')))) == b""
    assert said(encode(Relayed(NOW, text.encode()))) == b""


@pytest.mark.parametrize("name", WIRES)
@given(st.lists(tokens | st.builds(Thinking, at=st.just(NOW), status=texts), max_size=6))
def test_the_short_way_gives_what_the_long_one_does(name: str, written: list[Event]) -> None:
    wire = WIRES[name]
    quick = short(wire)
    state: Any = wire.begin(0)
    for number, event in enumerate([Thinking(NOW, "writing"), Token(NOW, "a"), *written], 1):
        position = _position(number)
        text = said(encode(event))
        made = quick(state, text, position) if text else None
        state, data = wire.step(state, event, position)
        assert made is None or made == (state, data)


@pytest.mark.parametrize("name", WIRES)
def test_it_is_there_where_nearly_all_events_come(name: str) -> None:
    wire = WIRES[name]
    state: Any = wire.begin(0)
    state, _ = wire.step(state, Thinking(NOW, "writing"), _position(1))
    state, _ = wire.step(state, Token(NOW, "a"), _position(2))
    made = short(wire)(state, b'"b"', _position(3))
    assert (made is not None) == (name in QUICK)
