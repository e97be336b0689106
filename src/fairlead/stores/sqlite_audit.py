"""The audit log in ``gateway.db``."""

from __future__ import annotations

import apsw
import msgspec

from fairlead.ports.audit import KEPT, Entry, EntryPage
from fairlead.primitives import sortable
from fairlead.stores.common import parse_cursor
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

# data: the entry as JSON.
_PART = Part(
    "audit",
    """
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX audit_of_target ON audit (target, number);
""",
)

_decoder = msgspec.json.Decoder(Entry)


class SqliteAudit:
    """An :class:`~fairlead.ports.audit.Audit`, shared by the processes that have the file open;
    ``kept``: so many entries stay."""

    def __init__(self, gateway: SqliteGateway, kept: int = KEPT) -> None:
        self._gateway = gateway
        self._kept = kept

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def add(self, entry: Entry) -> None:
        data = msgspec.json.encode(entry)

        def add(db: apsw.Connection) -> None:
            db.execute(
                "INSERT INTO audit (action, target, data) VALUES (?, ?, ?)",
                (entry.action, entry.target, data),
            )
            db.execute(
                "DELETE FROM audit WHERE number <= ?", (db.last_insert_rowid() - self._kept,)
            )

        await self._gateway.run(add)

    async def page(
        self, cursor: str | None = None, limit: int = 50, *, action: str = "", target: str = ""
    ) -> EntryPage:
        before = parse_cursor(cursor)
        # '/' is the character after '.': all that begin with the action and a dot.
        query = (
            "SELECT number, data FROM audit "
            "WHERE (:before IS NULL OR number < :before) "
            "AND (:action = '' OR action = :action "
            "OR (action > :action || '.' AND action < :action || '/')) "
            "AND (:target = '' OR target = :target) "
            "ORDER BY number DESC LIMIT :limit"
        )
        values = {"before": before, "action": action, "target": target, "limit": limit + 1}
        found = await self._gateway.read(lambda db: list(db.execute(query, values)))
        more = sortable(found[limit - 1][0]) if len(found) > limit else None
        return EntryPage(tuple(_decoder.decode(data) for _, data in found[:limit]), more)
