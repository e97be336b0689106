"""A SQLite file with a thread of its own, for what is asked seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw

from fairlead.ports.store import Durability
from fairlead.stores.common import store_closed
from fairlead.stores.sqlite.connection import connect, in_our_words, transaction
from fairlead.stores.sqlite.schema import prepare
from fairlead.stores.sqlite.worker import Worker

T = TypeVar("T")


class Layout(NamedTuple):
    """What is in a file: the statements that create its tables, the mark that it is ours, the
    number of this layout, and the statements that lead from an earlier layout to the one after it,
    by the earlier one's number."""

    tables: str
    application: int
    version: int
    steps: Mapping[int, str] = {}


class SqliteFile:
    """The file at ``path``, which several processes may have open. Calls run on a thread of their
    own, named ``thread``, one transaction each, in the order in which they were asked for.

    ``mode``: of folders that are made for it.
    """

    def __init__(
        self, path: Path, layout: Layout, durability: Durability, thread: str, mode: int = 0o777
    ) -> None:
        self._path = path
        self._layout = layout
        self._durability = durability
        self._thread = thread
        self._mode = mode
        self._worker: Worker | None = None

    async def open(self) -> None:
        """Open the file, or create it. Idempotent. Raises the store errors."""
        if self._worker is None:
            loop = asyncio.get_running_loop()
            db = await loop.run_in_executor(None, self._connect)
            self._worker = Worker(self._thread, self._path, db)

    def _connect(self) -> apsw.Connection:
        """Open the file; blocks."""
        with in_our_words(self._path):
            self._path.parent.mkdir(mode=self._mode, parents=True, exist_ok=True)
            db = connect(self._path, self._durability)
            try:
                with transaction(db):
                    prepare(db, *self._layout)
            except BaseException:
                db.close()
                raise
            return db

    async def close(self) -> None:
        """Finish what was asked for and close the file. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

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
