"""HTTP/2 on uvicorn with zttp, whose ``send`` does not wait for the reader.

HTTP/2 has a window per stream, and zttp keeps what the window does not admit in memory. The socket
of such a reader stays writable, so that uvicorn's own flow control never notices. :class:`Window`
lets the application wait until its stream has gone out.

This rests on internals of uvicorn and zttp, whose minor versions are therefore pinned.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol

if TYPE_CHECKING:
    import zttp
    from uvicorn.protocols.http.zttp_h2_impl import RequestResponseCycle

#: The key of a :class:`Window` in an ASGI scope's extensions.
EXTENSION = "fairlead.window"


class Window:
    """One response's flow control (RFC 9113, section 5.2)."""

    __slots__ = ("_cycle", "_protocol", "moved")

    def __init__(self, protocol: WindowProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self.moved = asyncio.Event()

    async def drain(self) -> None:
        """Wait until the peer's window has admitted everything, or the stream is gone."""
        while self._cycle.stream.pending_bytes and not self._cycle.disconnected:
            self.moved.clear()
            self._protocol.waiting.add(self)
            try:
                await self.moved.wait()
            finally:
                self._protocol.waiting.discard(self)

    def abort(self) -> None:
        """Reset this stream; the connection's other streams go on."""
        self._cycle.abort_stream()
        self._cycle.message_event.set()
        self.moved.set()


class WindowProtocol(ZttpH2Protocol):
    """uvicorn's HTTP/2 protocol (with prior knowledge), offering a :class:`Window` to each
    request."""

    waiting: set[Window]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.waiting = set()
        super().connection_made(transport)
        # uvicorn begins to count when the first bytes have come: who sends none would stay.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def handle_request(self, event: zttp.Request) -> None:
        super().handle_request(event)
        # The application has not begun: its task starts with the next turn of the loop.
        cycle = self.cycles[event.stream_id]
        extensions = cycle.scope["extensions"]
        assert extensions is not None
        extensions[EXTENSION] = Window(self, cycle)  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._move()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._move()

    def _move(self) -> None:
        for window in tuple(self.waiting):
            window.moved.set()
