"""The audit log in the memory of one process."""

from __future__ import annotations

from collections import deque

from fairlead.ports.audit import KEPT, Entry, EntryPage, concerns
from fairlead.primitives import sortable
from fairlead.stores.common import parse_cursor


class MemoryAudit:
    """An :class:`~fairlead.ports.audit.Audit` that ends with its process; ``kept``: so many entries
    stay."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[tuple[int, Entry]] = deque(maxlen=kept)
        self._next = 0

    async def open(self) -> None:
        """There is nothing to open."""

    async def add(self, entry: Entry) -> None:
        self._entries.append((self._next, entry))
        self._next += 1

    async def page(
        self, cursor: str | None = None, limit: int = 50, *, action: str = "", target: str = ""
    ) -> EntryPage:
        before = parse_cursor(cursor)
        found = [
            (number, entry)
            for number, entry in reversed(self._entries)
            if (before is None or number < before) and concerns(entry, action, target)
        ]
        more = sortable(found[limit - 1][0]) if len(found) > limit else None
        return EntryPage(tuple(entry for _, entry in found[:limit]), more)
