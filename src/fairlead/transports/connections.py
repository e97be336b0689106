"""The open streaming connections of this process: heartbeats, the slow, and the drain.

One timer serves all of them, so that an idle reader costs no timer of its own.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds: a line at least every ``heartbeat`` even while the model is silent;
    ``stall_timeout`` until a reader is cut whose socket does not drain; ``retry`` before a client
    reconnects; ``drain_spread`` over which the readers of a draining server come back."""

    heartbeat: float = 30.0
    stall_timeout: float = 30.0
    retry: float = 5.0
    drain_spread: float = 2.0


class Connection(Protocol):
    """What the timer and the drain ask of a connection."""

    def tick(self) -> None:
        """One beat of :attr:`Connections.interval` has passed."""
        ...

    def drain(self) -> None:
        """Tell the reader when to come back, and end the body."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class Connections:
    """The set of open connections, and their common timer."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.interval = min(1.0, settings.heartbeat / 4, settings.stall_timeout / 4)
        self.heartbeat_ticks = max(1, round(settings.heartbeat / self.interval))
        self.stall_ticks = max(1, round(settings.stall_timeout / self.interval))
        self.draining = False
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Count the connection as open, until :meth:`remove`."""
        self._open.add(connection)
        self._empty.clear()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.interval, self._tick)

    def remove(self, connection: Connection) -> None:
        """The connection's body has ended."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    async def drain(self, grace: float) -> None:
        """End every body, telling its reader when to come back; cut what is left after ``grace``
        seconds."""
        self.draining = True
        for connection in tuple(self._open):
            connection.drain()
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            for connection in tuple(self._open):
                connection.abort()
            await self._empty.wait()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.interval, self._tick)
        for connection in tuple(self._open):
            connection.tick()
