"""A connection's transport in the hands of one of our streams, told how the transport stands.

What the short ways of :mod:`fairlead.transports.direct` and
:mod:`fairlead.transports.direct_websocket` have in common.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Claim:
    """Writes to a protocol's transport by itself, from :meth:`take` on.

    ``paused`` is an attribute that the protocol keeps up to date: it is asked twice for each event.
    ``writable`` is called when a pause is over, ``lost`` when the socket is gone.
    """

    __slots__ = ("lost", "paused", "writable")

    def __init__(self) -> None:
        self.paused = False
        self.writable: Callable[[], None] | None = None
        self.lost: Callable[[], None] | None = None

    def take(
        self,
        protocol: ClaimedProtocol,
        writable: Callable[[], None],
        lost: Callable[[], None],
        *,
        paused: bool,
        gone: bool,
    ) -> None:
        """Be told by ``protocol`` from now on. ``paused`` and ``gone``: how its transport stands at
        this moment."""
        self.writable = writable
        self.lost = lost
        self.paused = paused or gone
        protocol.claimed = self
        if gone:
            asyncio.get_running_loop().call_soon(lost)


class ClaimedProtocol(asyncio.Protocol):
    """Stands before a server's protocol class and tells the claim what the transport tells it."""

    claimed: Claim | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.claimed is not None:
            self.claimed.paused = True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.claimed is not None:
            self.claimed.paused = False
            if self.claimed.writable is not None:
                self.claimed.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.claimed is not None:
            self.claimed.paused = True
            if self.claimed.lost is not None:
                self.claimed.lost()
