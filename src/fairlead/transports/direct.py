"""The short way to the socket: uvicorn's HTTP protocol, opened for our streams.

ASGI's ``send`` costs a coroutine, a dictionary and several calls for each event. On uvicorn with
httptools a stream may write its chunks to the socket's transport itself, after ``send`` has written
the response's head and until ``send`` ends the body. The bytes are those that uvicorn would write.

This rests on internals of uvicorn, whose minor version is therefore pinned. Everything works
without it, through :class:`~fairlead.transports.sink.AsgiSink`; both ways run in the tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fairlead.transports.claim import Claim, ClaimedProtocol
from fairlead.transports.intake import Intake

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: The key of a :class:`Direct` in an ASGI scope's extensions.
EXTENSION = "fairlead.direct"
#: Request line and headers together.
MAX_HEAD_BYTES = 64 * 1024


class Direct(Claim):
    """One response's way to the transport: a :class:`~fairlead.transports.sink.Sink`. ``send`` is
    set before it is used, to end the body as ASGI does."""

    __slots__ = ("_cycle", "_protocol", "_transport", "send")

    def __init__(self, protocol: DirectProtocol, cycle: RequestResponseCycle) -> None:
        super().__init__()
        self._protocol = protocol
        self._cycle = cycle
        self._transport = protocol.transport
        self.send: Callable[[dict[str, Any]], Awaitable[None]] | None = None

    def listen(self, writable: Callable[[], None], lost: Callable[[], None]) -> None:
        """Be told when the socket can be written again, and when it is gone."""
        paused = self._protocol.flow.write_paused
        gone = self._cycle.disconnected
        self.take(self._protocol, writable, lost, paused=paused, gone=gone)

    def write(self, data: bytes) -> None:
        """Write ``data`` as one chunk (RFC 9112, section 7.1). Never empty: that would end it."""
        if self._cycle.chunked_encoding:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._transport.write(data)

    def abort(self) -> None:
        """Cut the connection at once, throwing away what the socket has not taken."""
        self._transport.abort()

    async def close(self, *, complete: bool, last: bytes = b"") -> None:
        """Be told nothing any more; with ``complete`` end the body properly, after ``last``."""
        self.writable = self.lost = None
        if self._protocol.claimed is self:
            self._protocol.claimed = None
        if complete:
            assert self.send is not None
            await self.send({"type": "http.response.body", "body": last, "more_body": False})


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with what it lacks: limits to the size and the time of a request's head,
    and an :class:`~fairlead.transports.intake.Intake`."""

    intake = Intake()

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _idle = False
    #: What has come of a PROXY header; None: it is not waited for.
    _introduction: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()
        if self.intake.introduced:
            self._introduction = b""
        elif not self.intake.enter(transport, self.client[0] if self.client else ""):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.intake.leave(self.transport)
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self._idle = False
            self.intake.busy(self.transport)
        if self._introduction is not None:
            data = self._introduced(self._introduction + data)
            if not data:
                return
        super().data_received(data)

    def _introduced(self, data: bytes) -> bytes:
        """What follows the PROXY header; empty: nothing yet, or nothing ever."""
        try:
            header = self.intake.introduction(self.client[0] if self.client else "", data)
        except ValueError:
            self.transport.abort()
            return b""
        if header is None:
            self._introduction = data
            return b""
        self._introduction = None
        if header.client is not None:
            self.client = header.client
        if not self.intake.enter(self.transport, self.client[0] if self.client else ""):
            self.transport.abort()
            return b""
        return data[header.length :]

    def handle_websocket_upgrade(self) -> None:
        self._head_is_here()
        if self.client is not None:
            self.intake.hand_over(self.transport, self.client)
        super().handle_websocket_upgrade()

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.intake.head_timeout, self._head_is_late)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        # Somebody who holds connections open by dripping would not read an answer either.
        self._head_timer = None
        self.transport.abort()

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None and not self.transport.is_closing():
            self._idle = True
            self.intake.idle(self.transport, self.client[0] if self.client else "")

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            # The parser turns it into an error, which uvicorn answers with 400 and a close.
            raise ValueError(f"the request's head has more than {MAX_HEAD_BYTES} bytes")


class DirectProtocol(ClaimedProtocol, BoundedProtocol):
    """uvicorn's protocol, offering :class:`Direct` to each request."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.scope is self.scope:  # not so for an upgrade
            # The application has not begun: its task starts with the next turn of the loop.
            scope: dict[str, Any] = self.scope  # type: ignore[assignment]
            scope.setdefault("extensions", {})[EXTENSION] = Direct(self, cycle)
