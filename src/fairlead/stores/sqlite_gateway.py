"""``gateway.db``: what the gateway knows of its callers (keys, sessions, tickets, counters, usage),
in one SQLite file apart from the journal, shared by the processes of a machine.

The file is opened here. Each store that lives in it names its tables and brings them along
(:class:`Part`); they are made when the first process that needs them opens the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw

from fairlead.errors import Misconfigured
from fairlead.ports.store import Durability
from fairlead.stores.common import store_closed
from fairlead.stores.sqlite.connection import connect, in_our_words, transaction, value
from fairlead.stores.sqlite.schema import prepare
from fairlead.stores.sqlite.worker import Worker

T = TypeVar("T")

#: Marks the file as ours ("Fgat").
APPLICATION_ID = 0x46676174
VERSION = 1

# parts: which stores have their tables here, and their layouts' numbers.
_TABLES = "CREATE TABLE parts (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;"


class Part(NamedTuple):
    """The tables of one store: the statements that create them, the number of their layout, and the
    statements that lead from an earlier layout to the one after it, by the earlier one's number."""

    name: str
    tables: str
    version: int = 1
    steps: Mapping[int, str] = {}


class SqliteGateway:
    """The file at ``path``, which several processes may have open. Calls run on a thread of their
    own, one transaction each, in the order in which they were asked for."""

    def __init__(self, path: Path, *, durability: Durability = Durability.PROCESS) -> None:
        self._path = path
        self._durability = durability
        self._worker: Worker | None = None

    async def open(self) -> None:
        """Open the file, or create it. Idempotent. Raises the store errors."""
        if self._worker is None:
            loop = asyncio.get_running_loop()
            db = await loop.run_in_executor(None, self._connect)
            self._worker = Worker("fairlead-gateway", self._path, db)

    def _connect(self) -> apsw.Connection:
        """Open the file; blocks."""
        with in_our_words(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            db = connect(self._path, self._durability)
            try:
                with transaction(db):
                    prepare(db, _TABLES, APPLICATION_ID, VERSION)
            except BaseException:
                db.close()
                raise
            return db

    async def close(self) -> None:
        """Finish what was asked for and close the file. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    async def add(self, part: Part) -> None:
        """See to it that a store's tables are there; each store does so when it is opened.

        Raises :class:`~fairlead.errors.Misconfigured` for tables of a later version's layout.
        """

        def make(db: apsw.Connection) -> None:
            found = value(db, "SELECT version FROM parts WHERE name = ?", (part.name,))
            if found is None:
                db.execute(part.tables)
            else:
                version = int(found)
                while version < part.version:
                    db.execute(part.steps[version])
                    version += 1
                if version > part.version:
                    raise Misconfigured(
                        f"{self._path} holds {part.name} in the layout number {version}, and this "
                        f"version of Fairlead knows numbers up to {part.version}; use the version "
                        "that wrote it, or another data folder"
                    )
            if found != part.version:
                db.execute(
                    "INSERT INTO parts VALUES (?, ?) "
                    "ON CONFLICT (name) DO UPDATE SET version = excluded.version",
                    (part.name, part.version),
                )

        await self.run(make)

    async def run(self, call: Callable[[apsw.Connection], T]) -> T:
        """The outcome of ``call``, made on the thread in a transaction that may write: all that it
        does is kept, or, if it raises, nothing. No other process writes meanwhile."""
        return await self._within(call, "BEGIN IMMEDIATE")

    async def read(self, call: Callable[[apsw.Connection], T]) -> T:
        """As :meth:`run`, for what only reads: it waits for nobody who writes."""
        return await self._within(call, "BEGIN")

    async def _within(self, call: Callable[[apsw.Connection], T], begin: str) -> T:
        if self._worker is None:
            raise store_closed()

        def within(db: apsw.Connection) -> T:
            with transaction(db, begin):
                return call(db)

        return await self._worker.run(within)
