"""Server-Sent Events: a reader's events as a ``text/event-stream`` body.

Source: WHATWG HTML, section 9.2. What widespread clients cannot stand shapes the details:
``retry:`` and ``id:`` stand only in blocks with data, the heartbeat is a comment line without a
blank line after it, and ``data:`` is always one JSON object on one line (``articles.md``'s
fetch-event-source calls ``JSON.parse`` for every block).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Hashable
from typing import Any, NamedTuple

import structlog
from starlette.responses import Response

from fairlead.dialects import native
from fairlead.engine.engine import Engine
from fairlead.engine.reader import Reader
from fairlead.errors import FairleadError
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import MAIN_PART, Event, Token, Unknown
from fairlead.framing.event_stream import HEARTBEAT
from fairlead.journal.log import position
from fairlead.transports.connections import Connections
from fairlead.transports.sink import Receive, Scope, Send, Sink, open_sink

_log = structlog.get_logger("fairlead.transports")

#: About how many bytes go into one write.
_WRITE = 64 * 1024

HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache, no-transform",
    "connection": "keep-alive",
    "x-accel-buffering": "no",
}


# -- wires -----------------------------------------------------------------------------------------


class NativeWire:
    """The native dialect in event-stream format; ids are ``{stream}.{position}``."""

    mergeable = native.MERGEABLE

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
        if self._named and type(event) is Token and event.part == MAIN_PART and state.meta is None:
            # What the dialect and the framing below would give, without the steps between: nearly
            # every event comes this way.
            data = native.token_data(event.text)
            return state, b"%b%b\nevent: token\ndata: %b\n\n" % (self._id, position, data)
        state, frames = native.step(state, event)
        return state, b"".join([self.block(frame, position) for frame in frames])

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def block(self, frame: native.Frame, position: bytes) -> bytes:
        """One block. The data is JSON, so it holds no line ends; names and ids are ours."""
        if frame.event:
            return b"%b%b\nevent: %b\ndata: %b\n\n" % (self._id, position, frame.event, frame.data)
        return b"%b%b\ndata: %b\n\n" % (self._id, position, frame.data)


class Batched(NamedTuple):
    """The state of :class:`BatchingWire`: tokens kept back, under the position of the last."""

    inner: native.State
    tokens: tuple[str, ...] = ()
    position: bytes = b""


class BatchingWire(NativeWire):
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

    def keeps(self, state: Any) -> bool:
        return bool(state.tokens)

    def flush(self, state: Any) -> tuple[Any, bytes]:
        if not state.tokens:
            return state, b""
        frame = native.tokens(list(state.tokens), self._options)
        return Batched(state.inner), self.block(frame, state.position)


# -- the response ----------------------------------------------------------------------------------


class SseResponse(Response):
    """Streams a reader. The reader is detached when the body has ended, however it ended.

    ``batch_window``: seconds after which kept-back tokens are flushed (0: the wire keeps none).
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        options: native.Options,
        connections: Connections,
        headers: dict[str, str],
        *,
        batch_window: float = 0.0,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in {**HEADERS, **headers}.items()
        ]
        self._engine = engine
        self._reader = reader
        self._options = options
        self._connections = connections
        self._batch_window = batch_window

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            sink = open_sink(scope, receive, send)
            connection = SseConnection(
                self._reader, sink, self._options, self._connections, self._batch_window
            )
            complete = False
            try:
                complete = await connection.run()
            finally:
                await sink.close(complete=complete)
        finally:
            self._engine.detach(self._reader)


class SseConnection:
    """One reader on one socket. All work happens in callbacks: no task is woken per event."""

    __slots__ = (
        "_batch_window",
        "_connections",
        "_draining",
        "_ended",
        "_filling",
        "_first",
        "_flush_timer",
        "_loop",
        "_options",
        "_quiet",
        "_reader",
        "_sink",
        "_stalled",
    )

    def __init__(
        self,
        reader: Reader,
        sink: Sink,
        options: native.Options,
        connections: Connections,
        batch_window: float,
    ) -> None:
        self._reader = reader
        self._sink = sink
        self._options = options
        self._connections = connections
        self._batch_window = batch_window
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[bool] = self._loop.create_future()
        self._filling: asyncio.Task[None] | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._first = b"retry: %d\n" % round(connections.settings.retry * 1000)
        self._quiet = 0
        self._stalled = 0
        self._draining = connections.draining

    async def run(self) -> bool:
        """Stream until the end; whether the body may be ended properly (the socket is there)."""
        self._connections.add(self)
        try:
            self._sink.listen(self._pump, self._lost)
            self._reader.notify = self._pump
            self._pump()
            return await self._ended
        finally:
            self._connections.remove(self)
            self._reader.notify = _nothing
            if self._flush_timer is not None:
                self._flush_timer.cancel()
            if self._filling is not None:
                self._filling.cancel()
                await asyncio.gather(self._filling, return_exceptions=True)

    def _pump(self) -> None:
        """Take what there is and write it, until the reader is at the tail or the socket full."""
        if self._ended.done() or self._filling is not None:
            return
        reader, sink = self._reader, self._sink
        try:
            while not sink.paused:
                data = reader.take(_WRITE)
                if data:
                    self._write(data)
                    if reader.at_tail:
                        break
                elif reader.cold:
                    self._filling = self._loop.create_task(self._fill())
                    return
                else:
                    break
            if sink.paused:
                reader.rest()
            else:
                self._at_tail()
        except Exception as error:  # noqa: BLE001 - a callback's error must end its own stream
            self._ended.set_exception(error)

    def _at_tail(self) -> None:
        """There is nothing more to take for now."""
        reader = self._reader
        if reader.ended:
            last = reader.flush()
            if reader.failure is not None:
                last += self._farewell(reader.failure)
            if last:
                self._write(last)
            self._ended.set_result(True)
        elif self._draining:
            self._send_away()
        elif self._batch_window and self._flush_timer is None and reader.keeps:
            self._flush_timer = self._loop.call_later(self._batch_window, self._flush)

    async def _fill(self) -> None:
        try:
            await self._reader.fill()
        except FairleadError as error:
            self._reader.failure = error
        self._filling = None
        self._pump()

    def _flush(self) -> None:
        self._flush_timer = None
        if self._ended.done() or self._sink.paused:
            return
        if data := self._reader.flush():
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._first:
            # No block of its own: these are the first lines of the first block with data.
            data = self._first + data
            self._first = b""
        self._quiet = 0
        self._sink.write(data)

    def _farewell(self, failure: FairleadError) -> bytes:
        """Reading ends, not the answer: the reader may come back, or (``error``) it may not."""
        if failure.retryable:
            wait = failure.retry_after or 1.0
            return self._notice("drain", {"retry_after": wait, "reason": failure.code})
        fields = {"error": failure.message, "code": failure.code, "retryable": False}
        return self._notice("error", fields)

    def _notice(self, name: str, fields: dict[str, Any]) -> bytes:
        """A block that is not of the log. Its id is where the reader stands, so that a client that
        remembers the last id of all loses nothing."""
        reader = self._reader
        frame = native.frame(name, fields, self._options)
        standing = position(reader.live.head, reader.offset)
        assert isinstance(reader.wire, NativeWire)
        if standing is None or reader.offset == 0:
            event = b"event: %b\n" % frame.event if frame.event else b""
            return b"%bdata: %b\n\n" % (event, frame.data)
        return reader.wire.block(frame, str(standing).encode())

    def _send_away(self) -> None:
        # Spread, so that a restarted server is not met by all its readers at once.
        wait = 0.5 + random.random() * self._connections.settings.drain_spread
        self._first = b"retry: %d\n" % round(wait * 1000)
        kept = self._reader.flush()
        self._write(kept + self._notice("drain", {"retry_after": round(wait, 3)}))
        self._ended.set_result(True)

    def _lost(self) -> None:
        if not self._ended.done():
            self._ended.set_result(False)

    # -- asked by Connections

    def tick(self) -> None:
        if self._ended.done():
            return
        if self._sink.paused:
            self._stalled += 1
            if self._stalled >= self._connections.stall_ticks:
                _log.info("reader_cut", stream=self._reader.live.stream, reason="stalled")
                self.abort()
            return
        self._stalled = 0
        self._quiet += 1
        if self._quiet >= self._connections.heartbeat_ticks:
            self._quiet = 0
            self._sink.write(HEARTBEAT)

    def drain(self) -> None:
        # What it has not had yet goes first. One that is behind for longer than the grace is cut:
        # it resumes exactly.
        self._draining = True
        self._pump()

    def abort(self) -> None:
        self._sink.abort()
        self._lost()


def _nothing() -> None:
    pass
