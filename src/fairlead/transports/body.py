"""A reader's events as the body of an HTTP response, in whatever wire."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp

from fairlead.engine.engine import Engine
from fairlead.engine.reader import Reader
from fairlead.engine.wire import Wire
from fairlead.errors import FairleadError
from fairlead.journal.log import position
from fairlead.transports.coding import PLAIN, Coding
from fairlead.transports.connections import Connections
from fairlead.transports.sink import Receive, Scope, Send, Sink, open_sink

_log = structlog.get_logger("fairlead.transports")

#: About how many bytes go into one write.
_WRITE = 64 * 1024

#: Of every streaming body: nobody on the way may keep or change it, or wait for its end.
STREAMING = {
    "cache-control": "no-cache, no-transform",
    "connection": "keep-alive",
    "x-accel-buffering": "no",
}


#: The key of a scope under which :class:`Unwound` takes over what streams.
_UNWINDING = "fairlead.unwinding"


class Unwound:
    """Streams when the framework has gone: its dozen frames would otherwise wait, for each reader,
    for as long as it reads. The outermost application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams: list[Callable[[], Awaitable[None]]] = []
        ours = dict(scope)
        scope[_UNWINDING] = streams
        await self._app(scope, receive, send)
        if streams:
            # What the framework has left in the scope is of no more use either.
            scope.clear()
            scope.update(ours)
            del ours
            await streams.pop()()


async def once_unwound(scope: Scope, streaming: Callable[[], Awaitable[None]]) -> None:
    """Stream when the framework has gone, if :class:`Unwound` is around it; else now."""
    unwinding = scope.get(_UNWINDING)
    if unwinding is None:
        await streaming()
    else:
        unwinding.append(streaming)


class BodyWire(Wire, Protocol):
    """A wire that can be a response's body. ``heartbeat`` shows that the connection lives, and is
    no event; ``headers`` are the response's."""

    headers: dict[str, str]
    heartbeat: bytes

    def opening(self, retry: float) -> bytes:
        """What goes before the first event: among it that a cut-off client is to come back after
        ``retry`` seconds, where the wire can say so."""
        ...

    def notice(self, name: str, fields: dict[str, Any], position: bytes) -> bytes:
        """An event that is not of the log, for a reader that stands at ``position`` (empty: at the
        start)."""
        ...


class StreamResponse(Response):
    """Streams a reader. The reader is detached when the body has ended, however it ended.

    ``batch_window``: seconds after which kept-back tokens are flushed (0: the wire keeps none).
    ``coding``: how the body is compressed.
    """

    def __init__(
        self,
        engine: Engine,
        reader: Reader[BodyWire],
        connections: Connections,
        headers: dict[str, str],
        *,
        batch_window: float = 0.0,
        coding: Coding = PLAIN,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in {**reader.wire.headers, **headers, **coding.headers}.items()
        ]
        self._engine = engine
        self._reader = reader
        self._connections = connections
        self._batch_window = batch_window
        self._coding = coding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await once_unwound(scope, partial(self._stream, scope, receive, send))

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            self.raw_headers = []  # they have been sent, and there may be thousands of us
            sink = self._coding.sink(open_sink(scope, receive, send))
            connection = StreamBody(self._reader, sink, self._connections, self._batch_window)
            complete = False
            try:
                complete = await connection.run()
            finally:
                await sink.close(complete=complete)
        finally:
            self._engine.detach(self._reader)


class StreamBody:
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
        "_quiet",
        "_reader",
        "_sink",
        "_stalled",
        "_wire",
    )

    def __init__(
        self,
        reader: Reader[BodyWire],
        sink: Sink,
        connections: Connections,
        batch_window: float,
    ) -> None:
        self._reader = reader
        self._sink = sink
        self._connections = connections
        self._batch_window = batch_window
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[bool] = self._loop.create_future()
        self._filling: asyncio.Task[None] | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._wire = reader.wire
        self._first = self._wire.opening(connections.settings.retry)
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
            # Nothing is written before there is something to show.
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
        """An event that is not of the log. Its position is where the reader stands, so that a
        client that remembers the last one of all loses nothing."""
        reader = self._reader
        standing = position(reader.live.head, reader.offset) if reader.offset else None
        return self._wire.notice(name, fields, str(standing).encode() if standing else b"")

    def _send_away(self) -> None:
        # Spread, so that a restarted server is not met by all its readers at once.
        wait = 0.5 + random.random() * self._connections.settings.drain_spread
        self._first = self._wire.opening(wait)
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
            self._sink.write(self._wire.heartbeat)

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
