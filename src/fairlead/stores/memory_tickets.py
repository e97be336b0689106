"""Tickets in memory: for one process."""

from __future__ import annotations

import time
from collections.abc import Callable

from fairlead.ports.tickets import Ticket


class MemoryTickets:
    """A :class:`~fairlead.ports.tickets.Tickets`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tickets: dict[bytes, Ticket] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def issue(self, ticket: Ticket, sha256: bytes, most: int) -> bool:
        now = self._clock()
        self._tickets = {key: one for key, one in self._tickets.items() if now < one.until}
        if sum(one.consumer == ticket.consumer for one in self._tickets.values()) >= most:
            return False
        self._tickets[sha256] = ticket
        return True

    async def find(self, sha256: bytes) -> Ticket | None:
        found = self._tickets.get(sha256)
        return found if found is not None and self._clock() < found.until else None

    async def take(self, sha256: bytes) -> Ticket | None:
        found = self._tickets.pop(sha256, None)
        return found if found is not None and self._clock() < found.until else None
