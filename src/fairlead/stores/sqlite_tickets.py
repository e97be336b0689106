"""Tickets in ``gateway.db``."""

from __future__ import annotations

import time
from collections.abc import Callable

import apsw
import msgspec

from fairlead.ports.tickets import Ticket
from fairlead.stores.sqlite.connection import rows, value
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

# data: the ticket as JSON.
_PART = Part(
    "tickets",
    """
CREATE TABLE tickets (
    sha256 BLOB PRIMARY KEY,
    consumer TEXT NOT NULL,
    until REAL NOT NULL,
    data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX tickets_of_consumer ON tickets (consumer);
CREATE INDEX tickets_by_end ON tickets (until);
""",
)

_decoder = msgspec.json.Decoder(Ticket)


class SqliteTickets:
    """A :class:`~fairlead.ports.tickets.Tickets`, shared by the processes that have the file
    open."""

    def __init__(self, gateway: SqliteGateway, clock: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._clock = clock

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def issue(self, ticket: Ticket, sha256: bytes, most: int) -> bool:
        now, data = self._clock(), msgspec.json.encode(ticket)

        def issue(db: apsw.Connection) -> bool:
            db.execute("DELETE FROM tickets WHERE until <= ?", (now,))
            query = "SELECT count(*) FROM tickets WHERE consumer = ?"
            if value(db, query, (ticket.consumer,)) >= most:
                return False
            db.execute(
                "INSERT INTO tickets (sha256, consumer, until, data) VALUES (?, ?, ?, ?)",
                (sha256, ticket.consumer, ticket.until, data),
            )
            return True

        return await self._gateway.run(issue)

    async def find(self, sha256: bytes) -> Ticket | None:
        now = self._clock()

        def find(db: apsw.Connection) -> list[tuple[bytes]]:
            return rows(
                db, "SELECT data FROM tickets WHERE sha256 = ? AND until > ?", (sha256, now)
            )

        found = await self._gateway.run(find)
        return _decoder.decode(found[0][0]) if found else None

    async def take(self, sha256: bytes) -> Ticket | None:
        now = self._clock()

        def take(db: apsw.Connection) -> list[tuple[bytes]]:
            # No other process writes between the two.
            found = rows(
                db, "SELECT data FROM tickets WHERE sha256 = ? AND until > ?", (sha256, now)
            )
            db.execute("DELETE FROM tickets WHERE sha256 = ?", (sha256,))
            return found

        found = await self._gateway.run(take)
        return _decoder.decode(found[0][0]) if found else None
