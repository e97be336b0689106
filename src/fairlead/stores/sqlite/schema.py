"""The tables of ``journal.db``, and how a file is made ready or refused."""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from fairlead.errors import Misconfigured

#: Marks the file as ours ("Fair"), for this program and for file(1).
APPLICATION_ID = 0x46616972
VERSION = 2

# streams.tail, bytes and touched cover folded records only. streams.writer: the owner of the newest
#   epoch; empty once released; NULL before the first.
# ticks.data: msgpack map of stream id to (offset of the first record, records).
# ticks.changed: msgpack list of the ids whose head changed otherwise than by the writer going on.
# sweeps.upto: the highest number of a tick ever deleted; who followed less far has missed some.
_TABLES = """
CREATE TABLE streams (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    content_type TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    first_meta BLOB NOT NULL,
    meta BLOB,
    meta_version INTEGER NOT NULL DEFAULT 1,
    created REAL NOT NULL,
    touched REAL NOT NULL,
    first INTEGER NOT NULL DEFAULT 0,
    tail INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    writer TEXT,
    signal TEXT NOT NULL DEFAULT ''
);
CREATE INDEX streams_of_owner ON streams (owner, num) WHERE NOT deleted;
CREATE INDEX streams_unfinished ON streams (writer)
    WHERE NOT closed AND NOT deleted AND writer IS NOT NULL;
CREATE INDEX streams_by_age ON streams (touched) WHERE closed AND NOT deleted;
CREATE INDEX streams_large ON streams (bytes) WHERE bytes > 1048576;

CREATE TABLE terms (
    num INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    suffix TEXT NOT NULL,
    first INTEGER NOT NULL,
    PRIMARY KEY (num, counter)
) WITHOUT ROWID;

CREATE TABLE segments (
    num INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (num, first)
) WITHOUT ROWID;

CREATE TABLE ticks (
    seq INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,
    changed BLOB,
    data BLOB NOT NULL
);
CREATE TABLE sweeps (only INTEGER PRIMARY KEY CHECK (only = 0), upto INTEGER NOT NULL);
INSERT INTO sweeps VALUES (0, 0);

CREATE TABLE writers (num INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
CREATE TABLE owners (owner TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;

CREATE TABLE signals (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    writer INTEGER NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE TABLE presence (
    num INTEGER NOT NULL,
    watcher TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (num, watcher)
) WITHOUT ROWID;
"""


#: From 1 on the tables are the same; since 2 the newest records may stand on slates, which whoever
#: does not know of them would leave behind.
_STEPS = {1: "SELECT 1"}


def prepare(
    db: apsw.Connection,
    tables: str,
    application: int,
    version: int,
    steps: Mapping[int, str] | None = None,
) -> None:
    """Create ``tables`` in an empty file, inside a transaction; check that another one is ours.

    ``steps`` lead from an earlier layout to the one after it, by the earlier one's number.

    Raises :class:`~fairlead.errors.Misconfigured` for a file of another application or of a later
    version of the schema.
    """
    found_application = db.execute("PRAGMA application_id").get
    found_version = db.execute("PRAGMA user_version").get
    objects = db.execute("SELECT count(*) FROM sqlite_schema").get
    if found_application == 0 and found_version == 0 and objects == 0:
        db.execute(tables)
        db.execute(f"PRAGMA application_id = {application}")
        db.execute(f"PRAGMA user_version = {version}")
        return
    while found_application == application and found_version in (steps or {}):
        db.execute((steps or {})[found_version])
        found_version += 1
        db.execute(f"PRAGMA user_version = {found_version}")
    if found_application != application:
        raise Misconfigured(
            f"{db.filename} is a SQLite file of another application; "
            "name a path that is new or was made by Fairlead"
        )
    if found_version != version:
        raise Misconfigured(
            f"{db.filename} has the layout number {found_version}, and this version of Fairlead "
            f"knows number {version} only; use the version that wrote it, or another path"
        )


def prepare_journal(db: apsw.Connection) -> None:
    """As :func:`prepare`, for the journal."""
    prepare(db, _TABLES, APPLICATION_ID, VERSION, _STEPS)
