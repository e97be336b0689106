"""Sessions in ``gateway.db``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import apsw
import msgspec

from fairlead.ports.sessions import Session
from fairlead.stores.sqlite.connection import rows
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

# data: the session as JSON.
_PART = Part(
    "sessions",
    """
CREATE TABLE sessions (
    sha256 BLOB PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    expires_at REAL NOT NULL,
    data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_end ON sessions (expires_at);
""",
)
#: Ids asked about in one statement.
_MANY = 500

_decoder = msgspec.json.Decoder(Session)


class SqliteSessions:
    """A :class:`~fairlead.ports.sessions.Sessions`, shared by the processes that have the file
    open."""

    def __init__(self, gateway: SqliteGateway, clock: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._clock = clock

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def begin(self, session: Session, sha256: bytes) -> None:
        now, data = self._clock(), msgspec.json.encode(session)

        def begin(db: apsw.Connection) -> None:
            db.execute("DELETE FROM sessions WHERE expires_at <= ?", (now,))
            db.execute(
                "INSERT INTO sessions (sha256, id, expires_at, data) VALUES (?, ?, ?, ?)",
                (sha256, session.id, session.expires_at, data),
            )

        await self._gateway.run(begin)

    async def find(self, sha256: bytes) -> Session | None:
        now = self._clock()
        found = await self._gateway.read(
            lambda db: rows(
                db, "SELECT data FROM sessions WHERE sha256 = ? AND expires_at > ?", (sha256, now)
            )
        )
        return _decoder.decode(found[0][0]) if found else None

    async def end(self, id: str) -> None:
        def end(db: apsw.Connection) -> None:
            db.execute("DELETE FROM sessions WHERE id = ?", (id,))

        await self._gateway.run(end)

    async def alive(self, ids: Collection[str]) -> set[str]:
        now, asked = self._clock(), list(ids)

        def alive(db: apsw.Connection) -> set[str]:
            found: set[str] = set()
            for at in range(0, len(asked), _MANY):
                some = asked[at : at + _MANY]
                marks = ", ".join("?" * len(some))
                query = f"SELECT id FROM sessions WHERE id IN ({marks}) AND expires_at > ?"
                found.update(id for (id,) in rows(db, query, (*some, now)))
            return found

        return await self._gateway.read(alive)
