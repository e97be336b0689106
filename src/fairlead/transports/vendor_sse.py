"""A vendor's dialect as a ``text/event-stream`` body.

Ids are ``{stream}.{position}``, as natively. Where one event makes several frames the last one has
the id: a reader that is cut off between them is shown all of them again. Frames that are numbered
have an id each.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import msgspec

from fairlead.dialects import openai_chat, openai_responses
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Event, Unknown
from fairlead.framing.event_stream import HEARTBEAT
from fairlead.journal.position import Position, parse_position
from fairlead.transports.sse import HEADERS

_text = msgspec.json.Decoder(str).decode

#: A delta of a response's text: what stands before its number, that, the text, and its id.
_DELTA = b'event: %b\ndata: %%b%%d,"delta":%%b}\n%%b%%b\n\n' % openai_responses.DELTA


class Frame(Protocol):
    """An event name (empty: unnamed) and one line of data."""

    @property
    def event(self) -> bytes: ...

    @property
    def data(self) -> bytes: ...


class Dialect(Protocol):
    """What a vendor's dialect is to a wire: a pure fold. ``failure`` is the frame that tells a
    reader that it is shown no more."""

    NAME: str
    MERGEABLE: bool

    def begin(self, stream: str, meta: GenerationMeta, options: Any) -> Any: ...

    def step(self, state: Any, event: Event | Unknown) -> tuple[Any, tuple[Frame, ...]]: ...

    def failure(self, message: str, code: str) -> Frame: ...


class VendorSseWire:
    """A dialect in event-stream format; implements :class:`~fairlead.transports.body.BodyWire`."""

    transport = "sse"
    headers = HEADERS
    heartbeat = HEARTBEAT
    remembers = True

    def __init__(
        self, stream: str, meta: GenerationMeta, dialect: Dialect, options: Hashable
    ) -> None:
        self.key: Hashable | None = ("sse", dialect.NAME, options)
        self.mergeable = dialect.MERGEABLE
        self._stream = stream
        self._meta = meta
        self._dialect = dialect
        self._options = options
        self._id = b"id: " + stream.encode() + b"."

    def begin(self, offset: int) -> Any:
        return self._dialect.begin(self._stream, self._meta, self._options)

    def step(self, state: Any, event: Event | Unknown, position: bytes) -> tuple[Any, bytes]:
        state, frames = self._dialect.step(state, event)
        if not frames:
            return state, b""
        blocks = [_block(frame) for frame in frames]
        blocks[-1] = b"%b%b\n%b" % (self._id, position, blocks[-1])
        return state, b"".join(blocks)

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def opening(self, retry: float) -> bytes:
        # No block of its own: these are the first lines of the first block with data.
        return b"retry: %d\n" % round(retry * 1000)

    def notice(self, name: str, fields: dict[str, Any], position: bytes) -> bytes:
        """An answer that goes on without this reader must not look like one that has ended: its
        client raises what it is told, and may attach again."""
        if name == "drain":
            message = "the connection ends before the answer does: attach again to have the rest"
            frame = self._dialect.failure(message, str(fields.get("reason", "draining")))
        else:
            frame = self._dialect.failure(str(fields["error"]), str(fields["code"]))
        return _block(frame)


class ChatSseWire(VendorSseWire):
    """OpenAI's Chat Completions in event-stream format."""

    def __init__(self, stream: str, meta: GenerationMeta, options: openai_chat.Options) -> None:
        super().__init__(stream, meta, openai_chat, options)

    def short(
        self, state: openai_chat.State, said: bytes, position: bytes
    ) -> tuple[openai_chat.State, bytes] | None:
        """What :meth:`step` gives for a plain token; see :data:`fairlead.engine.wire.Short`."""
        before = state.plain
        if not before:
            return None
        return state, b"%b%b\ndata: %b%b%b\n\n" % (
            self._id,
            position,
            before,
            said,
            openai_chat.TAIL,
        )


class ResponsesSseWire(VendorSseWire):
    """OpenAI's Responses in event-stream format; implements
    :class:`~fairlead.engine.wire.NumberedWire`. Every frame has an id: a reader that is cut off
    between two frames of one event goes on between them."""

    def __init__(self, stream: str, meta: GenerationMeta, *, obfuscated: bool = False) -> None:
        super().__init__(stream, meta, openai_responses, obfuscated)
        self._obfuscated = obfuscated

    def number(self, state: openai_responses.State) -> int:
        return state[0]

    def step(self, state: Any, event: Event | Unknown, position: bytes) -> tuple[Any, bytes]:
        return self.rest(state, event, position, 0)

    def short(
        self, state: openai_responses.State, said: bytes, position: bytes
    ) -> tuple[openai_responses.State, bytes] | None:
        """What :meth:`step` gives for a plain token; see :data:`fairlead.engine.wire.Short`."""
        number, plain, before, rest = state
        if not plain or self._obfuscated:
            return None
        return (number + 1, plain, (before, _text(said)), rest), _DELTA % (
            plain,
            number,
            said,
            self._id,
            position,
        )

    def rest(
        self, state: Any, event: Event | Unknown, position: bytes, shown: int
    ) -> tuple[Any, bytes]:
        state, frames = openai_responses.step(state, event)
        if self._obfuscated:
            frames = tuple(map(openai_responses.obfuscated, frames))
        if len(frames) == 1 and not shown:
            (frame,) = frames
            return state, b"event: %b\ndata: %b\n%b%b\n\n" % (*frame, self._id, position)
        if not frames or not position:
            return state, b""
        after = parse_position(position.decode())
        blocks: list[bytes] = []
        for step, frame in enumerate(frames[shown:], shown + 1):
            text = position
            if step < len(frames):
                text = str(Position(after.epoch, after.offset - 1, step)).encode()
            blocks.append(b"event: %b\ndata: %b\n%b%b\n\n" % (*frame, self._id, text))
        return state, b"".join(blocks)


def _block(frame: Frame) -> bytes:
    if frame.event:
        return b"event: %b\ndata: %b\n\n" % (frame.event, frame.data)
    return b"data: %b\n\n" % frame.data
