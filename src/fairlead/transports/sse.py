"""Server-Sent Events: a reader's events as a ``text/event-stream`` body.

Source: WHATWG HTML, section 9.2. What widespread clients cannot stand shapes the details:
``retry:`` and ``id:`` stand only in blocks with data, the heartbeat is a comment line without a
blank line after it, and ``data:`` is always one JSON object on one line (``articles.md``'s
fetch-event-source calls ``JSON.parse`` for every block). ``id:`` is the last line of its block: the
same client takes an id as soon as its line has come, and would never be shown the rest of a block
that is cut off behind it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from fairlead.dialects import native
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import MAIN_PART, Done, Event, Relayed, Token, Unknown
from fairlead.framing.event_stream import HEARTBEAT, encode
from fairlead.transports.body import STREAMING

HEADERS = {"content-type": "text/event-stream", **STREAMING}

#: The block of a plain token: its text as JSON, and its id.
_TOKEN = b"event: token\ndata: %b\n%%b%%b\n\n" % native.TOKEN


class SseWire:
    """The native dialect in event-stream format; ids are ``{stream}.{position}``."""

    transport = "sse"
    mergeable = native.MERGEABLE
    remembers = False
    headers = HEADERS
    heartbeat = HEARTBEAT

    def __init__(self, stream: str, meta: GenerationMeta, options: native.Options) -> None:
        self.key: Hashable | None = ("sse", options)
        self._stream = stream
        self._meta = meta
        self._options = options
        self._named = options.events == "named"
        self._id = b"id: " + stream.encode() + b"."

    def begin(self, offset: int) -> native.State:
        return native.begin(self._stream, self._meta, self._options, offset)

    def step(
        self, state: native.State, event: Event | Unknown, position: bytes
    ) -> tuple[native.State, bytes]:
        if type(event) is Relayed:
            return state, self._relayed(event, position)
        if type(event) is Done and event.status == "completed" and self._meta.relayed:
            return state, b""  # the application has said its own end, if it has one
        state, frames = native.step(state, event)
        return state, b"".join([self.block(frame, position) for frame in frames])

    def short(self, state: Any, said: bytes, position: bytes) -> tuple[native.State, bytes] | None:
        """What :meth:`step` gives for a plain token; see :data:`fairlead.engine.wire.Short`."""
        if state.meta is not None or not self._named:
            return None
        return state, _TOKEN % (said, self._id, position)

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def opening(self, retry: float) -> bytes:
        # No block of its own: these are the first lines of the first block with data.
        return b"retry: %d\n" % round(retry * 1000)

    def notice(self, name: str, fields: dict[str, Any], position: bytes) -> bytes:
        frame = native.frame(name, fields, self._options)
        if position:
            return self.block(frame, position)
        return encode(frame.data, event=frame.event or None)

    def _relayed(self, event: Relayed, position: bytes) -> bytes:
        """Another application's event as that sent it, under an id of ours; its own one follows
        after a blank."""
        lines = encode(
            event.data,
            event=event.event.encode() if event.event else None,
            retry=event.retry,
        )
        id = b"%b%b" % (self._id, position)
        if event.id:
            id += b" " + event.id.encode()
        return b"%b%b\n\n" % (lines[:-1], id)

    def block(self, frame: native.Frame, position: bytes) -> bytes:
        """One block. The data is JSON, so it holds no line ends; names and ids are ours."""
        if frame.event:
            return b"event: %b\ndata: %b\n%b%b\n\n" % (frame.event, frame.data, self._id, position)
        return b"data: %b\n%b%b\n\n" % (frame.data, self._id, position)


class Batched(NamedTuple):
    """The state of :class:`BatchingSseWire`: tokens kept back, under the position of the last."""

    inner: native.State
    tokens: tuple[str, ...] = ()
    position: bytes = b""


class BatchingSseWire(SseWire):
    """The native dialect with up to ``size`` tokens in one event, each kept apart; what is kept
    back is flushed before any other event, and by the connection after a while."""

    mergeable = False

    def __init__(
        self, stream: str, meta: GenerationMeta, options: native.Options, size: int
    ) -> None:
        super().__init__(stream, meta, options)
        self.key = None  # where a batch begins depends on where the reader did
        self._size = size

    def begin(self, offset: int) -> Any:
        return Batched(super().begin(offset))

    def step(self, state: Any, event: Event | Unknown, position: bytes) -> tuple[Any, bytes]:
        if type(event) is Token and event.part == MAIN_PART and state.inner.meta is None:
            state = Batched(state.inner, (*state.tokens, event.text), position)
            return self.flush(state) if len(state.tokens) >= self._size else (state, b"")
        state, before = self.flush(state)
        inner, data = super().step(state.inner, event, position)
        return Batched(inner), before + data

    def short(self, state: Any, said: bytes, position: bytes) -> None:
        """Tokens are kept back one by one."""

    def keeps(self, state: Any) -> bool:
        return bool(state.tokens)

    def flush(self, state: Any) -> tuple[Any, bytes]:
        if not state.tokens:
            return state, b""
        frame = native.tokens(list(state.tokens), self._options)
        return Batched(state.inner), self.block(frame, state.position)
