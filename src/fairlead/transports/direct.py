"""The short way to the socket: uvicorn's HTTP protocol, opened for our streams.

ASGI's ``send`` costs a coroutine, a dictionary and several calls for each event. On uvicorn with
httptools a stream may write its chunks to the socket's transport itself, after ``send`` has written
the response's head and until ``send`` ends the body. The bytes are those that uvicorn would write.

This rests on internals of uvicorn, whose minor version is therefore pinned. Everything works
without it, through :class:`~fairlead.transports.sink.AsgiSink`; both ways run in the tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fairlead.transports.claim import Claim, ClaimedProtocol

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

    async def close(self, *, complete: bool) -> None:
        """Be told nothing any more; with ``complete`` end the body properly."""
        self.writable = self.lost = None
        if self._protocol.claimed is self:
            self._protocol.claimed = None
        if complete:
            assert self.send is not None
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a limit to a request's head, which it lacks."""

    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

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
