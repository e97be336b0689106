"""The usage ledger in the gateway's SQLite file."""

from __future__ import annotations

import asyncio
from functools import partial

import apsw
import structlog

from fairlead.errors import FairleadError
from fairlead.ports.usage import Usage, added_up
from fairlead.stores.sqlite.connection import rows
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

_log = structlog.get_logger("fairlead.stores")

_PART = Part(
    "usage",
    """
CREATE TABLE usage (
    day TEXT NOT NULL,
    consumer TEXT NOT NULL,
    model TEXT NOT NULL,
    currency TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    money INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (day, consumer, model, currency)
) WITHOUT ROWID;
""",
)
_SUMS = ("requests", "input_tokens", "output_tokens", "cached_tokens", "money", "estimated")
_COLUMNS = ("day", "consumer", "model", "currency", *_SUMS)

#: Seconds until what could not be written is tried again.
_PAUSE = 1.0


class SqliteUsage:
    """A :class:`~fairlead.ports.usage.UsageLedger` over ``gateway``, which must be open.

    One write at a time: what is added meanwhile goes with the next one. A killed process loses
    what was not written yet, which is a few milliseconds' worth.
    """

    def __init__(self, gateway: SqliteGateway) -> None:
        self._gateway = gateway
        self._waiting: list[Usage] = []
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def close(self) -> None:
        await self.flush()

    def add(self, entry: Usage) -> None:
        self._waiting.append(entry)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="usage")

    async def flush(self) -> None:
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def read(self, consumer: str | None, since: str, until: str) -> list[Usage]:
        return await self._gateway.read(partial(_read, consumer=consumer, since=since, until=until))

    async def _write(self) -> None:
        try:
            while self._waiting:
                # Rows that are the same are written once, however many answers ended at once.
                entries = list(added_up(self._waiting).values())
                self._waiting = []
                try:
                    await self._gateway.run(partial(_add, entries=entries))
                except FairleadError as error:
                    _log.warning("usage_not_written", rows=len(entries), error=error.message)
                    self._waiting = entries + self._waiting
                    return
        finally:
            self._writing = None
            if self._waiting:
                asyncio.get_running_loop().call_later(_PAUSE, self._again)

    def _again(self) -> None:
        if self._waiting and self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="usage")


def _add(db: apsw.Connection, entries: list[Usage]) -> None:
    marks = ", ".join("?" * len(_COLUMNS))
    sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
    db.executemany(
        f"INSERT INTO usage ({', '.join(_COLUMNS)}) VALUES ({marks}) "
        f"ON CONFLICT DO UPDATE SET {sums}",
        [tuple(getattr(entry, name) for name in _COLUMNS) for entry in entries],
    )


def _read(db: apsw.Connection, consumer: str | None, since: str, until: str) -> list[Usage]:
    whose = "" if consumer is None else "AND consumer = ? "
    found = rows(
        db,
        f"SELECT {', '.join(_COLUMNS)} FROM usage WHERE day BETWEEN ? AND ? {whose}"
        "ORDER BY day, consumer, model, currency",
        (since, until, *(() if consumer is None else (consumer,))),
    )
    return [Usage(**dict(zip(_COLUMNS, row, strict=True))) for row in found]
