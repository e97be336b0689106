"""Kept passages in ``gateway.db``."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from fairlead.ports.knowledge import Passage
from fairlead.ports.passages import MOST
from fairlead.stores.sqlite.connection import rows
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

# data: the passage as JSON. number rises, so that the lowest was found longest ago.
_PART = Part(
    "passages",
    """
CREATE TABLE passages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    data BLOB NOT NULL
);
""",
)

_decoder = msgspec.json.Decoder(Passage)


class SqlitePassages:
    """A :class:`~fairlead.ports.passages.Passages`, shared by the processes that have the file
    open."""

    def __init__(self, gateway: SqliteGateway, most: int = MOST) -> None:
        self._gateway = gateway
        self._most = most

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def keep(self, passages: Sequence[Passage]) -> None:
        made = [(passage.id, msgspec.json.encode(passage)) for passage in passages]
        most = self._most

        def keep(db: apsw.Connection) -> None:
            db.executemany("INSERT OR REPLACE INTO passages (id, data) VALUES (?, ?)", made)
            db.execute(
                "DELETE FROM passages WHERE number <= "
                "(SELECT number FROM passages ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (most,),
            )

        if made:
            await self._gateway.run(keep)

    async def find(self, id: str) -> Passage | None:
        found = await self._gateway.read(
            lambda db: rows(db, "SELECT data FROM passages WHERE id = ?", (id,))
        )
        return _decoder.decode(found[0][0]) if found else None
