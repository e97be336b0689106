"""Whose files are, in ``gateway.db``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import apsw
import msgspec

from fairlead.errors import Conflict
from fairlead.ports.files import File
from fairlead.stores.sqlite.connection import rows, value
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

# place: the order in which they came. data: the file as JSON. ends: NULL where it does not.
_PART = Part(
    "files",
    """
CREATE TABLE files (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    consumer TEXT NOT NULL,
    upstream TEXT NOT NULL,
    purpose TEXT NOT NULL,
    ends REAL,
    data BLOB NOT NULL
);
CREATE INDEX files_of_consumer ON files (consumer, place);
CREATE INDEX files_by_end ON files (ends) WHERE ends IS NOT NULL;
""",
)

_decoder = msgspec.json.Decoder(File)
_ALIVE = "(ends IS NULL OR ends > ?)"


class SqliteFiles:
    """A :class:`~fairlead.ports.files.Files`, shared by the processes that have the file open."""

    def __init__(self, gateway: SqliteGateway, clock: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._clock = clock

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def add(self, file: File) -> None:
        now, data = self._clock(), msgspec.json.encode(file)

        def add(db: apsw.Connection) -> None:
            db.execute("DELETE FROM files WHERE ends <= ?", (now,))
            known = rows(db, "SELECT consumer FROM files WHERE id = ?", (file.id,))
            if known and known[0][0] != file.consumer:
                raise Conflict(f"there is a file {file.id!r} already")
            db.execute("DELETE FROM files WHERE id = ?", (file.id,))
            db.execute(
                "INSERT INTO files (id, consumer, upstream, purpose, ends, data)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (file.id, file.consumer, file.upstream, file.purpose, file.expires_at, data),
            )

        await self._gateway.run(add)

    async def find(self, ids: Collection[str]) -> dict[str, File]:
        now = self._clock()

        def find(db: apsw.Connection) -> list[File]:
            query = f"SELECT data FROM files WHERE id = ? AND {_ALIVE}"
            return [_decoder.decode(row[0]) for id in ids for row in rows(db, query, (id, now))]

        return {file.id: file for file in await self._gateway.read(find)}

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
        now = self._clock()
        theirs = f"consumer = ? AND upstream = ? AND {_ALIVE}"

        def page(db: apsw.Connection) -> list[File] | None:
            given: tuple[str | float | int, ...] = (consumer, upstream, now)
            query = f"SELECT data FROM files WHERE {theirs}"
            if after:
                from_there = f"SELECT place FROM files WHERE {theirs} AND id = ?"
                found = rows(db, from_there, (*given, after))
                if not found:
                    return None
                query += f" AND place {'<' if newest_first else '>'} ?"
                given = (*given, found[0][0])
            if purpose:
                query += " AND purpose = ?"
                given = (*given, purpose)
            query += f" ORDER BY place {'DESC' if newest_first else 'ASC'} LIMIT ?"
            return [_decoder.decode(row[0]) for row in rows(db, query, (*given, limit))]

        return await self._gateway.read(page)

    async def count(self, consumer: str) -> int:
        now = self._clock()

        def count(db: apsw.Connection) -> int:
            query = f"SELECT count(*) FROM files WHERE consumer = ? AND {_ALIVE}"
            return int(value(db, query, (consumer, now)))

        return await self._gateway.read(count)

    async def remove(self, id: str) -> None:
        def remove(db: apsw.Connection) -> None:
            db.execute("DELETE FROM files WHERE id = ?", (id,))

        await self._gateway.run(remove)
