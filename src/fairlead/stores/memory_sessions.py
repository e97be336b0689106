"""Sessions in memory: they end with the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from fairlead.ports.sessions import Session


class MemorySessions:
    """A :class:`~fairlead.ports.sessions.Sessions`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def begin(self, session: Session, sha256: bytes) -> None:
        self._keep(lambda one: one.expires_at > self._clock())
        self._sessions[sha256] = session

    async def find(self, sha256: bytes) -> Session | None:
        found = self._sessions.get(sha256)
        return found if found is not None and self._clock() < found.expires_at else None

    async def end(self, id: str) -> None:
        self._keep(lambda one: one.id != id)

    async def alive(self, ids: Collection[str]) -> set[str]:
        now = self._clock()
        return {one.id for one in self._sessions.values() if now < one.expires_at} & set(ids)

    def _keep(self, stays: Callable[[Session], bool]) -> None:
        self._sessions = {sha256: one for sha256, one in self._sessions.items() if stays(one)}
