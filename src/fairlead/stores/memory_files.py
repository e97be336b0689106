"""Whose files are, in memory: for one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from fairlead.errors import Conflict
from fairlead.ports.files import File


class MemoryFiles:
    """A :class:`~fairlead.ports.files.Files`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        #: By their ids, in the order in which they came.
        self._files: dict[str, File] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def add(self, file: File) -> None:
        known = self._alive().get(file.id)
        if known is not None and known.consumer != file.consumer:
            raise Conflict(f"there is a file {file.id!r} already")
        self._files.pop(file.id, None)
        self._files[file.id] = file

    async def find(self, ids: Collection[str]) -> dict[str, File]:
        alive = self._alive()
        return {id: alive[id] for id in ids if id in alive}

    async def page(
        self,
        consumer: str,
        upstream: str,
        *,
        purpose: str = "",
        after: str = "",
        newest_first: bool = True,
        limit: int = 100,
    ) -> list[File] | None:
        found = [
            file
            for file in self._alive().values()
            if file.consumer == consumer and file.upstream == upstream
        ]
        if newest_first:
            found.reverse()
        if after:
            ids = [file.id for file in found]
            if after not in ids:
                return None
            found = found[ids.index(after) + 1 :]
        return [file for file in found if purpose in ("", file.purpose)][:limit]

    async def count(self, consumer: str) -> int:
        return sum(file.consumer == consumer for file in self._alive().values())

    async def remove(self, id: str) -> None:
        self._files.pop(id, None)

    def _alive(self) -> dict[str, File]:
        now = self._clock()
        for id, file in tuple(self._files.items()):
            if file.expires_at is not None and file.expires_at <= now:
                del self._files[id]
        return self._files
