"""API keys in memory: they end with the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from msgspec.structs import replace

from fairlead.ports.keys import KeyPage, StoredKey
from fairlead.primitives import sortable
from fairlead.stores.common import parse_cursor
from fairlead.stores.keys import known_already, revoked, rotated, unknown_key


class MemoryKeys:
    """A :class:`~fairlead.ports.keys.Keys`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._keys: dict[str, StoredKey] = {}
        self._by_hash: dict[bytes, str] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def create(self, key: StoredKey, sha256: bytes) -> None:
        if key.id in self._keys or sha256 in self._by_hash:
            raise known_already(key.id)
        self._keys[key.id] = key
        self._by_hash[sha256] = key.id

    async def page(
        self, consumer: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> KeyPage:
        before = parse_cursor(cursor)
        numbered = [
            (number, key)
            for number, key in enumerate(self._keys.values())
            if consumer in (None, key.consumer) and (before is None or number < before)
        ][::-1]
        found = numbered[:limit]
        more = sortable(found[-1][0]) if len(numbered) > limit else None
        return KeyPage(tuple(key for _, key in found), more)

    async def get(self, id: str) -> StoredKey:
        if id not in self._keys:
            raise unknown_key(id)
        return self._keys[id]

    async def find(self, sha256: bytes) -> StoredKey | None:
        id = self._by_hash.get(sha256)
        return None if id is None else self._keys[id]

    async def rotate(self, id: str, successor: str, sha256: bytes, overlap: float) -> StoredKey:
        old, new = rotated(await self.get(id), successor, overlap, self._clock())
        await self.create(new, sha256)
        self._keys[id] = old
        return new

    async def revoke(self, id: str) -> StoredKey:
        self._keys[id] = revoked(await self.get(id), self._clock())
        return self._keys[id]

    async def used(self, id: str, at: float) -> None:
        if id in self._keys:
            self._keys[id] = replace(self._keys[id], last_used=at)

    async def alive(self, ids: Collection[str]) -> set[str]:
        now = self._clock()
        return {id for id in ids if id in self._keys and self._keys[id].alive(now)}

    async def any(self) -> bool:
        return bool(self._keys)
