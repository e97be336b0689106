"""The usage ledger in the memory of one process."""

from __future__ import annotations

from fairlead.ports.usage import Usage


class MemoryUsage:
    """A :class:`~fairlead.ports.usage.UsageLedger` that ends with its process."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str, str], Usage] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def add(self, entry: Usage) -> None:
        known = self._rows.get(entry.row)
        self._rows[entry.row] = entry if known is None else known + entry

    async def flush(self) -> None:
        pass

    async def read(self, consumer: str | None, since: str, until: str) -> list[Usage]:
        return [
            self._rows[row]
            for row in sorted(self._rows)
            if since <= row[0] <= until and consumer in (None, row[1])
        ]
