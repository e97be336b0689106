"""API keys in ``gateway.db``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import apsw

from fairlead.ports.keys import KeyPage, StoredKey
from fairlead.primitives import sortable
from fairlead.stores.common import parse_cursor
from fairlead.stores.keys import known_already, revoked, rotated, unknown_key
from fairlead.stores.sqlite.connection import rows, value
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

# scopes, quotas: lines, in order.
_PART = Part(
    "keys",
    """
CREATE TABLE keys (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    sha256 BLOB NOT NULL UNIQUE,
    consumer TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    quotas TEXT NOT NULL,
    created REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    last_used REAL,
    successor TEXT NOT NULL
);
CREATE INDEX keys_of_consumer ON keys (consumer, num);
""",
)

_COLUMNS = (
    "id, consumer, name, scopes, quotas, created, expires_at, revoked_at, last_used, successor"
)
_SELECT = f"SELECT {_COLUMNS} FROM keys "
#: Ids asked about in one statement.
_MANY = 500


class SqliteKeys:
    """A :class:`~fairlead.ports.keys.Keys`, shared by the processes that have the file open."""

    def __init__(self, gateway: SqliteGateway, clock: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._clock = clock

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def create(self, key: StoredKey, sha256: bytes) -> None:
        await self._gateway.run(partial(_insert, key=key, sha256=sha256))

    async def page(
        self, consumer: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> KeyPage:
        before = parse_cursor(cursor)
        return await self._gateway.read(
            partial(_page, consumer=consumer, before=before, limit=limit)
        )

    async def get(self, id: str) -> StoredKey:
        return await self._gateway.read(partial(_get, id=id))

    async def find(self, sha256: bytes) -> StoredKey | None:
        found = await self._gateway.read(
            lambda db: rows(db, _SELECT + "WHERE sha256 = ?", (sha256,))
        )
        return _key(found[0]) if found else None

    async def rotate(self, id: str, successor: str, sha256: bytes, overlap: float) -> StoredKey:
        now = self._clock()

        def rotate(db: apsw.Connection) -> StoredKey:
            old, new = rotated(_get(db, id), successor, overlap, now)
            _insert(db, new, sha256)
            _update(db, old)
            return new

        return await self._gateway.run(rotate)

    async def revoke(self, id: str) -> StoredKey:
        now = self._clock()
        return await self._gateway.run(lambda db: _update(db, revoked(_get(db, id), now)))

    async def used(self, id: str, at: float) -> None:
        def used(db: apsw.Connection) -> None:
            db.execute("UPDATE keys SET last_used = ? WHERE id = ?", (at, id))

        await self._gateway.run(used)

    async def alive(self, ids: Collection[str]) -> set[str]:
        now, asked = self._clock(), list(ids)

        def alive(db: apsw.Connection) -> set[str]:
            found: set[str] = set()
            for at in range(0, len(asked), _MANY):
                some = asked[at : at + _MANY]
                marks = ", ".join("?" * len(some))
                found.update(
                    id
                    for (id,) in rows(
                        db,
                        f"SELECT id FROM keys WHERE id IN ({marks}) AND revoked_at IS NULL "
                        "AND (expires_at IS NULL OR expires_at > ?)",
                        (*some, now),
                    )
                )
            return found

        return await self._gateway.read(alive)

    async def any(self) -> bool:
        return bool(await self._gateway.read(lambda db: value(db, "SELECT 1 FROM keys LIMIT 1")))


def _key(row: tuple[Any, ...]) -> StoredKey:
    id, consumer, name, scopes, quotas, created, expires_at, revoked_at, last_used, successor = row
    return StoredKey(
        id=id,
        consumer=consumer,
        name=name,
        scopes=frozenset(scopes.split("\n")) - {""},
        quotas=tuple(quotas.split("\n")) if quotas else (),
        created=created,
        expires_at=expires_at,
        revoked_at=revoked_at,
        last_used=last_used,
        successor=successor,
    )


def _values(key: StoredKey) -> tuple[object, ...]:
    """The columns in their order, without the id."""
    return (
        key.consumer,
        key.name,
        "\n".join(sorted(key.scopes)),
        "\n".join(key.quotas),
        key.created,
        key.expires_at,
        key.revoked_at,
        key.last_used,
        key.successor,
    )


def _get(db: apsw.Connection, id: str) -> StoredKey:
    for row in rows(db, _SELECT + "WHERE id = ?", (id,)):
        return _key(row)
    raise unknown_key(id)


def _page(db: apsw.Connection, consumer: str | None, before: int | None, limit: int) -> KeyPage:
    found = rows(
        db,
        f"SELECT num, {_COLUMNS} FROM keys WHERE num < ifnull(?, num + 1) "
        "AND (? IS NULL OR consumer = ?) ORDER BY num DESC LIMIT ?",
        (before, consumer, consumer, limit + 1),
    )
    items = tuple(_key(row[1:]) for row in found[:limit])
    return KeyPage(items, sortable(found[limit - 1][0]) if len(found) > limit else None)


def _insert(db: apsw.Connection, key: StoredKey, sha256: bytes) -> None:
    try:
        db.execute(
            f"INSERT INTO keys (sha256, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (sha256, key.id, *_values(key)),
        )
    except apsw.ConstraintError:
        raise known_already(key.id) from None


def _update(db: apsw.Connection, key: StoredKey) -> StoredKey:
    columns = ", ".join(f"{name} = ?" for name in _COLUMNS.split(", ")[1:])
    db.execute(f"UPDATE keys SET {columns} WHERE id = ?", (*_values(key), key.id))
    return key
