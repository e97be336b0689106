"""WebSocket: many streams on one connection.

A reader is taken from only when what was written before has gone: a client that reads slowly
pauses all its streams, and nothing is queued for it but the answers to its own requests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import structlog

from fairlead.dialects import native
from fairlead.engine.engine import Engine
from fairlead.engine.reader import Reader
from fairlead.engine.wire import Wire
from fairlead.errors import FairleadError, Unauthenticated
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Event, Media, Unknown
from fairlead.framing.websocket import binary_frame, messages, text_frame
from fairlead.transports.connections import Connections
from fairlead.transports.direct_websocket import EXTENSION, DirectSocket
from fairlead.transports.messages import MessageWire
from fairlead.transports.sink import Receive, Scope, Send

_log = structlog.get_logger("fairlead.transports")

#: About how many bytes go into one write.
_WRITE = 64 * 1024
#: Answers to requests that may wait for the socket; further requests are not read meanwhile.
_MAX_REPLIES = 64

# RFC 6455, section 7.4.1, and the IANA registry.
POLICY = 1008
TOO_BIG = 1009
INTERNAL = 1011
RESTART = 1012
OVERLOAD = 1013


class Closing(NamedTuple):
    """How the socket ends; ``code`` 0: it is gone already."""

    code: int
    reason: str = ""


class SocketWire:
    """The wire of messages in WebSocket frames: text, and for media bytes."""

    transport = "websocket"
    mergeable = native.MERGEABLE
    remembers = False

    def __init__(self, stream: str, meta: GenerationMeta) -> None:
        self.key: Hashable | None = "websocket"
        self._messages = MessageWire(stream, meta)

    def begin(self, offset: int) -> Any:
        return self._messages.begin(offset)

    def step(self, state: Any, event: Event | Unknown, position: bytes) -> tuple[Any, bytes]:
        data = b""
        if type(event) is Media and event.data:
            data = event.data
            event = msgspec.structs.replace(event, data=b"")
        state, line = self._messages.step(state, event, position)
        if data:
            return state, binary_frame(line + data)
        return state, text_frame(line[:-1]) if line else b""

    def short(self, state: Any, said: bytes, position: bytes) -> tuple[Any, bytes] | None:
        """What :meth:`step` gives for a plain token; see :data:`fairlead.engine.wire.Short`."""
        made = self._messages.short(state, said, position)
        return None if made is None else (state, text_frame(made[1][:-1]))

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def notice(self, name: str, fields: dict[str, Any]) -> bytes:
        """A message about the stream that is not of its log."""
        return text_frame(self._messages.notice(name, fields, b"")[:-1])


class SocketSink(Protocol):
    """Takes frames without waiting. While ``paused`` nothing may be written."""

    def listen(self, on_writable: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Call ``on_writable`` when a pause is over, ``on_lost`` once when the socket is gone."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the other side is behind."""
        ...

    def write(self, frames: bytes) -> None:
        """Write whole frames now. Only while not paused."""
        ...

    def abort(self) -> None:
        """Cut the connection at once."""
        ...

    async def flushed(self) -> None:
        """Nothing is being written any more: the socket may be closed with ASGI ``send``."""
        ...


class AsgiSocket:
    """Writes through ASGI ``send``: one task per write."""

    def __init__(self, send: Send) -> None:
        self._on_writable: Callable[[], None] = _nothing
        self._on_lost: Callable[[], None] = _nothing
        self._send = send
        self._writing: asyncio.Task[None] | None = None
        self._lost = False

    def listen(self, on_writable: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._on_writable = on_writable
        self._on_lost = on_lost

    @property
    def paused(self) -> bool:
        return self._writing is not None or self._lost

    def write(self, frames: bytes) -> None:
        self._writing = asyncio.create_task(self._write(frames))

    def abort(self) -> None:
        # ASGI cannot cut a connection; ending the application does.
        self._lost = True
        if self._writing is not None:
            self._writing.cancel()

    async def flushed(self) -> None:
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self, frames: bytes) -> None:
        try:
            for text, payload in messages(frames):
                content: dict[str, Any] = {"text": payload.decode()} if text else {"bytes": payload}
                await self._send({"type": "websocket.send", **content})
        except OSError:
            self._lost = True
            self._on_lost()
        finally:
            self._writing = None
        if not self._lost:
            self._on_writable()


def open_socket_sink(scope: Scope, send: Send) -> SocketSink:
    """The best sink that the server offers for this socket, which has been accepted."""
    direct = scope.get("extensions", {}).get(EXTENSION)
    if isinstance(direct, DirectSocket) and not direct.compressed:
        return direct
    return AsgiSocket(send)


class SpokenWire(Wire, Protocol):
    """A wire of whole frames that also has words for what is not of a stream's log."""

    def notice(self, name: str, fields: dict[str, Any]) -> bytes:
        """The frames that say that reading ends although the stream does not (``drain``), or may
        not go on (``error``); ``fields`` as in PROTOCOL.md, section 8."""
        ...


Spoken = TypeVar("Spoken", bound=SpokenWire)


class _Attached:
    """A stream that is read on the socket; ``over`` is called when nothing more of it comes."""

    __slots__ = ("filling", "over", "reader")

    def __init__(self, reader: Reader[Any], over: Callable[[], None]) -> None:
        self.reader: Reader[SpokenWire] = reader
        self.over = over
        self.filling: asyncio.Task[None] | None = None


class Socket:
    """An accepted connection. All writing happens in callbacks: no task is woken per event.

    ``ended`` is set when it has to be left.
    """

    def __init__(
        self, engine: Engine, connections: Connections, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Closing] = self._loop.create_future()
        self._engine = engine
        self._connections = connections
        self._receive = receive
        self._send = send
        self._sink = open_socket_sink(scope, send)
        self._streams: dict[str, _Attached] = {}
        #: Streams that there may be something to take of, in the order of their turns.
        self._ready: dict[_Attached, None] = {}
        self._replies: list[bytes] = []
        self._room = asyncio.Event()
        self._fills: set[asyncio.Task[None]] = set()
        self._stalled = 0
        self._draining = connections.draining
        self._pumping = False

    async def __aenter__(self) -> Socket:
        self._sink.listen(self._writable, self._gone)
        self._connections.add(self)
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            self.end(INTERNAL, "something went wrong here")
        try:
            for stream in tuple(self._streams):
                self.detach(stream)
            if self._fills:
                await asyncio.gather(*self._fills, return_exceptions=True)
            if self.ended.done() and self.ended.exception() is None:
                await self._close(self.ended.result())
        finally:
            self._connections.remove(self)

    # -- what comes

    async def receive(self) -> str | bytes | None:
        """The client's next message; None when the socket has ended. Waits while the answers to
        earlier ones have not gone."""
        while len(self._replies) >= _MAX_REPLIES and not self.ended.done():
            self._room.clear()
            await self._first(self._loop.create_task(self._room.wait()))
        if self.ended.done():
            self.ended.result()
            return None
        task = self._loop.create_task(self._receive_one())
        await self._first(task)
        if self.ended.done():
            self.ended.result()
            return None
        return task.result()

    async def _receive_one(self) -> str | bytes | None:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._gone()
            return None
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def until(self, event: Coroutine[Any, Any, Any]) -> None:
        """Wait for something, but no longer than the socket lasts."""
        await self._first(self._loop.create_task(event))

    async def _first(self, task: asyncio.Task[Any]) -> None:
        """Wait for the task, but no longer than the socket lasts."""
        try:
            await asyncio.wait([task, self.ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    # -- what goes

    @property
    def readers(self) -> dict[str, Reader[SpokenWire]]:
        """The readers of the streams that are read here."""
        return {stream: attached.reader for stream, attached in self._streams.items()}

    def say(self, message: bytes) -> None:
        """Send a message, before whatever comes next of any stream."""
        self._replies.append(text_frame(message))
        self._pump()

    def attach(self, reader: Reader[Spoken], over: Callable[[], None] | None = None) -> None:
        """Read a stream. A reader that is there already is replaced. ``over`` is called when its
        end has been written, or no more of it may be read."""
        stream = reader.live.stream
        self.detach(stream)
        if self.ended.done():
            self._engine.detach(reader)
            return
        attached = self._streams[stream] = _Attached(reader, over or _nothing)
        reader.notify = lambda: self._news(attached)
        self._news(attached)

    def detach(self, stream: str) -> None:
        """Read a stream no more, if it is read."""
        attached = self._streams.pop(stream, None)
        if attached is None:
            return
        self._ready.pop(attached, None)
        attached.reader.notify = _nothing
        if attached.filling is not None:
            attached.filling.cancel()
        self._engine.detach(attached.reader)

    def end(self, code: int, reason: str) -> None:
        """Close it. What was said before goes first."""
        if not self.ended.done():
            self.ended.set_result(Closing(code, reason))

    def _news(self, attached: _Attached) -> None:
        if attached.filling is None:
            self._ready[attached] = None
            self._pump()

    def _pump(self) -> None:
        """Write what there is, stream by stream in turns, until the socket is full."""
        if self.ended.done() or self._pumping:
            return
        sink = self._sink
        self._pumping = True
        try:
            while not sink.paused:
                if self._replies:
                    data = b"".join(self._replies)
                    self._replies.clear()
                    self._room.set()
                    sink.write(data)
                elif self._ready:
                    attached = next(iter(self._ready))
                    del self._ready[attached]
                    self._take(attached)
                else:
                    break
            if sink.paused:
                for attached in self._ready:
                    attached.reader.rest()
            elif self._draining and not self._streams:
                self.end(RESTART, "restarting")
        except Exception as error:  # noqa: BLE001 - a callback's error must end its own socket
            if not self.ended.done():
                self.ended.set_exception(error)
        finally:
            self._pumping = False

    def _take(self, attached: _Attached) -> None:
        reader = attached.reader
        data = reader.take(_WRITE)
        if data:
            self._sink.write(data)
            if not reader.at_tail:
                self._ready[attached] = None
                return
        elif reader.cold:
            attached.filling = self._loop.create_task(self._fill(attached))
            self._fills.add(attached.filling)
            attached.filling.add_done_callback(self._fills.discard)
            return
        if reader.ended:
            failure = reader.failure
            if failure is not None:
                self._replies.append(_farewell(reader, failure))
                if isinstance(failure, Unauthenticated):
                    self._loop.call_soon(self.end, POLICY, failure.message)
            self.detach(reader.live.stream)
            attached.over()
        elif self._draining:
            # Spread, so that a restarted server is not met by all its readers at once.
            wait = 0.5 + random.random() * self._connections.settings.drain_spread
            self._replies.append(reader.wire.notice("drain", {"retry_after": round(wait, 3)}))
            self.detach(reader.live.stream)

    async def _fill(self, attached: _Attached) -> None:
        try:
            await attached.reader.fill()
        except FairleadError as error:
            attached.reader.failure = error
        attached.filling = None
        self._news(attached)

    def _writable(self) -> None:
        self._stalled = 0
        self._pump()

    def _gone(self) -> None:
        if not self.ended.done():
            self.ended.set_result(Closing(0))

    async def _close(self, closing: Closing) -> None:
        if not closing.code:
            return
        try:
            async with asyncio.timeout(self._connections.settings.stall_timeout):
                await self._sink.flushed()
                for text, payload in messages(b"".join(self._replies)):
                    assert text
                    await self._send({"type": "websocket.send", "text": payload.decode()})
                await self._send(
                    {"type": "websocket.close", "code": closing.code, "reason": closing.reason}
                )
        except (TimeoutError, OSError):
            self._sink.abort()

    # -- asked by Connections

    def tick(self) -> None:
        if self.ended.done():
            return
        if self._sink.paused:
            self._stalled += 1
            if self._stalled >= self._connections.stall_ticks:
                _log.info("reader_cut", streams=len(self._streams), reason="stalled")
                self.abort()
        else:
            self._stalled = 0

    def drain(self) -> None:
        self._draining = True
        for attached in self._streams.values():
            if attached.filling is None:
                self._ready[attached] = None
        self._pump()

    def abort(self) -> None:
        self._sink.abort()
        self._gone()


def _farewell(reader: Reader[SpokenWire], failure: FairleadError) -> bytes:
    """Reading ends, not the answer: the reader may come back, or (``error``) it may not."""
    if failure.retryable:
        wait = failure.retry_after or 1.0
        return reader.wire.notice("drain", {"retry_after": wait, "reason": failure.code})
    fields = {
        "error": failure.message,
        "code": failure.code,
        "retryable": False,
        **failure.details,
    }
    return reader.wire.notice("error", fields)


def _nothing() -> None:
    pass
