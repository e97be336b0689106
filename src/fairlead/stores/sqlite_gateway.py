"""``gateway.db``: what the gateway knows of its callers (keys, sessions, tickets, counters, usage,
files), in one SQLite file apart from the journal, shared by the processes of a machine.

The file is opened here. Each store that lives in it names its tables and brings them along
(:class:`Part`); they are made when the first process that needs them opens the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import apsw

from fairlead.errors import Misconfigured
from fairlead.ports.store import Durability
from fairlead.stores.sqlite.connection import value
from fairlead.stores.sqlite.file import Layout, SqliteFile

#: Marks the file as ours ("Fgat").
APPLICATION_ID = 0x46676174
VERSION = 1

# parts: which stores have their tables here, and their layouts' numbers.
_TABLES = "CREATE TABLE parts (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;"
_LAYOUT = Layout(_TABLES, APPLICATION_ID, VERSION)


class Part(NamedTuple):
    """The tables of one store: the statements that create them, the number of their layout, and the
    statements that lead from an earlier layout to the one after it, by the earlier one's number."""

    name: str
    tables: str
    version: int = 1
    steps: Mapping[int, str] = {}


class SqliteGateway(SqliteFile):
    """The file at ``path``."""

    def __init__(self, path: Path, *, durability: Durability = Durability.PROCESS) -> None:
        # Secrets are in it, if hashed: a folder made for it is its owner's alone.
        super().__init__(path, _LAYOUT, durability, "fairlead-gateway", mode=0o700)

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
