"""The short way to a WebSocket: uvicorn's sans-I/O protocol, opened for our streams.

The frames of a stream are made once for all its readers; here they go to the socket's transport as
they are. Not where compression was negotiated: that would make them different for each reader.

Like :mod:`fairlead.transports.direct` this rests on internals of uvicorn's pinned version.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fairlead.transports.claim import Claim, ClaimedProtocol
from fairlead.transports.intake import Intake

#: The key of a :class:`DirectSocket` in an ASGI scope's extensions.
EXTENSION = "fairlead.direct.websocket"

# uvicorn logs each path with its query, and the library each header: they may hold keys.
_quiet = logging.getLogger("fairlead.websocket")
_quiet.setLevel(logging.WARNING)
# What a client did wrong is no error of the server's.
_quiet.addFilter(lambda record: not str(record.msg).startswith("Invalid UTF-8"))


class DirectSocket(Claim):
    """One socket's way to the transport: a :class:`~fairlead.transports.websocket.SocketSink`."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: DirectSocketProtocol) -> None:
        super().__init__()
        self._protocol = protocol

    @property
    def compressed(self) -> bool:
        """Whether messages are compressed, so that frames cannot be written as they are."""
        return bool(self._protocol.conn.extensions)

    def listen(self, on_writable: Callable[[], None], on_lost: Callable[[], None]) -> None:
        paused = not self._protocol.writable.is_set()
        gone = self._protocol.disconnected
        self.take(self._protocol, on_writable, on_lost, paused=paused, gone=gone)

    def write(self, frames: bytes) -> None:
        protocol = self._protocol
        # After a close frame nothing may follow (RFC 6455, section 5.5.1).
        if protocol.conn.close_sent is None and not protocol.transport.is_closing():
            protocol.transport.write(frames)

    def abort(self) -> None:
        self._protocol.transport.abort()

    async def flushed(self) -> None:
        """What was written stands in the transport's buffer, in its order."""


class BoundedSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, logging no keys, and letting go of a socket that takes no data."""

    intake = Intake()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet
        self.conn.logger = _quiet
        self.conn.debug = False
        self._served = self.app
        self.app = self._answered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.client = self.intake.client(transport) or self.client

    def connection_lost(self, exc: Exception | None) -> None:
        self.intake.leave(self.transport)
        super().connection_lost(exc)

    async def _answered(self, scope: Any, receive: Any, send: Any) -> None:
        await self._served(scope, receive, send)
        if self.initial_response is not None and self.close_sent:
            # A refusal in our own words completes the handshake as well; uvicorn would log that
            # none came.
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.writable.is_set():
            # The other side does not read: it would not take a proper end either.
            self.transport.abort()


class DirectSocketProtocol(ClaimedProtocol, BoundedSocketProtocol):
    """uvicorn's protocol, offering :class:`DirectSocket` to each socket."""

    async def run_asgi(self) -> None:
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"][EXTENSION] = DirectSocket(self)
        await super().run_asgi()
