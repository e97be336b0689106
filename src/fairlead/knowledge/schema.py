"""The file ``knowledge.db``: its tables, and opening it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from fairlead.errors import Misconfigured, StoreCorrupt, StoreUnavailable
from fairlead.knowledge import tokenizer
from fairlead.language import words

#: "FLKB": tells our file from any other SQLite file (SQLite's file format, section 1.3.16).
APPLICATION_ID = 0x464C4B42

#: The form of the tables.
VERSION = 1

#: How long a statement waits for another process's commit, in milliseconds.
BUSY_TIMEOUT = 10_000

_TABLES = """
CREATE TABLE source (
    n INTEGER PRIMARY KEY,
    root TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE document (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    source INTEGER NOT NULL REFERENCES source,
    path TEXT NOT NULL,
    address TEXT NOT NULL,
    title TEXT NOT NULL,
    digest TEXT NOT NULL,
    passages INTEGER NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (source, path)
);
CREATE TABLE passage (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES document,
    first INTEGER NOT NULL,
    past INTEGER NOT NULL,
    heading TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX passage_document ON passage (document);
CREATE TABLE index_state (tokenizer INTEGER NOT NULL);
"""

# Contentless: the texts stand in the tables above once; the index holds terms and places only.
# A title says most, a heading more than the body; the numbers were tried on the tests' questions.
_INDEX = f"""
DROP TABLE IF EXISTS terms;
DROP TABLE IF EXISTS vocabulary;
CREATE VIRTUAL TABLE terms USING fts5(
    title, heading, body, content='', contentless_delete=1, tokenize='{tokenizer.NAME}'
);
INSERT INTO terms (terms, rank) VALUES ('rank', 'bm25(2.0, 3.0, 1.0)');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(terms, row);
INSERT INTO terms (rowid, title, heading, body)
    SELECT passage.n, title, heading, passage.text
    FROM passage JOIN document ON document.n = passage.document;
DELETE FROM index_state;
INSERT INTO index_state VALUES ({words.VERSION});
"""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's failures into ours; the message names the file."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreCorrupt(f"{path} is damaged or no knowledge base: {error}") from error
    except (
        apsw.BusyError,
        apsw.LockedError,
        apsw.FullError,
        apsw.IOError,
        apsw.CantOpenError,
        apsw.ReadOnlyError,
        apsw.PermissionsError,
        # Another process removed what this one was adding to.
        apsw.ConstraintError,
    ) as error:
        raise StoreUnavailable(f"{path} cannot be used now: {error}") from error


@contextmanager
def transaction(connection: apsw.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing. ``IMMEDIATE`` waits for other writers before it begins; ``DEFERRED`` gives
    reads one view of the file."""
    connection.execute(f"BEGIN {mode}")
    try:
        yield
    except BaseException:
        # SQLite itself rolls back after some failures, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def connect(path: Path, *, readonly: bool = False) -> apsw.Connection:
    """Open the knowledge base, making or upgrading it if need be.

    Raises :class:`~fairlead.errors.StoreCorrupt` if the file is no SQLite file or damaged,
    :class:`~fairlead.errors.Misconfigured` if it belongs to another program or a newer version,
    :class:`~fairlead.errors.StoreUnavailable` if it cannot be opened.
    """
    with translated(path):
        connection = apsw.Connection(str(path))
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT)
            _refuse_foreign(connection, path)
            tokenizer.register(connection)
            connection.pragma("journal_mode", "wal")
            # In WAL mode a power cut may cost the last documents, never the file's wholeness.
            connection.pragma("synchronous", "normal")
            connection.pragma("foreign_keys", True)
            _prepare(connection)
            if readonly:
                connection.pragma("query_only", True)
        except BaseException:
            connection.close()
            raise
    return connection


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    """Before anything is written: a wrong path in the configuration must not cost a file."""
    if connection.pragma("schema_version") == 0:
        return
    if connection.pragma("application_id") != APPLICATION_ID:
        raise Misconfigured(f"{path} is an SQLite file of another program, not a knowledge base")
    if connection.pragma("user_version") > VERSION:
        raise Misconfigured(f"{path} was written by a newer version of Fairlead: upgrade to use it")


def _prepare(connection: apsw.Connection) -> None:
    if _is_current(connection):
        return
    with transaction(connection):
        # Another process may have been quicker.
        if connection.pragma("schema_version") == 0:
            connection.execute(_TABLES)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", VERSION)
        if not _is_current(connection):
            connection.execute(_INDEX)


def _is_current(connection: apsw.Connection) -> bool:
    if connection.pragma("schema_version") == 0:
        return False
    return bool(connection.execute("SELECT tokenizer FROM index_state").get == words.VERSION)
