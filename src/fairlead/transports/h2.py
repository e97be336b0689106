"""HTTP/2 on uvicorn with zttp, whose ``send`` does not wait for the reader.

HTTP/2 has a window per stream, and zttp keeps what the window does not admit in memory. The socket
of such a reader stays writable, so that uvicorn's own flow control never notices. :class:`Window`
lets the application wait until its stream has gone out.

zttp bears 4096 streams on a connection, and 256 that the peer resets, as if all were an attack
(CVE-2023-44487); then it ends the connection with ENHANCE_YOUR_CALM, and every call with it. A
service may well come there in a day. :class:`WindowProtocol` retires a connection before: the peer
makes a new one, and the old one ends with its last call. Who does not heed that meets the limits.

This rests on internals of uvicorn and zttp, whose minor versions are therefore pinned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING

import zttp
from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol

from fairlead.transports.intake import Intake

if TYPE_CHECKING:
    from uvicorn.protocols.http.zttp_h2_impl import RequestResponseCycle

#: The key of a :class:`Window` in an ASGI scope's extensions.
EXTENSION = "fairlead.window"

#: Streams, and streams reset by the peer, after which a connection is retired. Far enough from
#: zttp's limits for the 128 streams that may be open then, and as many that are on their way.
STREAMS = 2000
RESETS = 64

_NO_ERROR = 0
_LAST_STREAM = 2**31 - 1
#: A frame (RFC 9113, section 6.7): 8 bytes, type, no flags, stream 0, and what to send back.
_PING = b"\0\0\x08\x06\0\0\0\0\0" + b"fairlead"


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
    """uvicorn's HTTP/2 protocol (with prior knowledge), with an
    :class:`~fairlead.transports.intake.Intake`, and offering a :class:`Window` to each request."""

    intake = Intake()
    waiting: set[Window]
    _streams = 0
    _resets = 0
    _retired = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.waiting = set()
        super().connection_made(transport)
        # uvicorn begins to count when the first bytes have come: who sends none would stay.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        if not self.intake.enter(transport, self.client[0] if self.client else ""):
            transport.abort()

    def handle_request(self, event: zttp.Request) -> None:
        super().handle_request(event)
        # The application has not begun: its task starts with the next turn of the loop.
        cycle = self.cycles[event.stream_id]
        extensions = cycle.scope["extensions"]
        assert extensions is not None
        extensions[EXTENSION] = Window(self, cycle)  # type: ignore[assignment]
        self._streams += 1
        if self._streams == STREAMS:
            self._retire()

    def handle_rst_stream(self, event: zttp.RstStream) -> None:
        super().handle_rst_stream(event)
        self._resets += 1
        if self._resets == RESETS:
            self._retire()

    def _retire(self) -> None:
        """Tell the peer to begin nothing more here (RFC 9113, section 6.8). What it had begun
        before it learned that comes before its answer to the ping."""
        if self.transport.is_closing():
            return
        self.conn.close(_NO_ERROR, _LAST_STREAM)
        self.flush()
        self.transport.write(_PING)

    def events(self) -> Generator[zttp.Event]:
        for event in super().events():
            # Nobody else here sends pings.
            if isinstance(event, zttp.Ping) and event.ack:
                self._retired = True
            yield event

    def on_stream_closed(self) -> None:
        super().on_stream_closed()
        self._leave()

    def _leave(self) -> None:
        if self._retired and not self.cycles:
            self._close_connection()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._move()
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self.intake.leave(self.transport)
        super().connection_lost(exc)
        self._move()

    def _move(self) -> None:
        for window in tuple(self.waiting):
            window.moved.set()
