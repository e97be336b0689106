"""Connections to a SQLite file, and the errors they raise in our own words."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from fairlead.errors import ServerError, StoreCorrupt, StoreUnavailable
from fairlead.ports.store import Durability

#: How long a statement waits for another process to let go of the file, in seconds.
PATIENCE = 5.0


def connect(path: Path, durability: Durability) -> apsw.Connection:
    """Open (or create) the file in WAL mode. Raises the store errors.

    ``synchronous=NORMAL`` is enough for ``process``: a commit has been handed to the operating
    system, which a killed process does not take with it, and the syncs at checkpoints keep the file
    sound even if power fails (only the newest commits are lost then). ``OFF`` would spare those
    syncs and risk the whole file. ``power`` syncs the WAL before each commit returns.
    """
    with in_our_words(path):
        db = apsw.Connection(str(path))
        try:
            db.set_busy_timeout(int(PATIENCE * 1000))
            # Only an empty file takes these two. A tick is several KiB, so larger pages than usual
            # make fewer writes of it. Freed pages are given back when retention runs.
            db.execute("PRAGMA page_size = 8192")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _enter_wal(db)
            level = "FULL" if durability is Durability.POWER else "NORMAL"
            db.execute(f"PRAGMA synchronous = {level}")
            if durability is Durability.POWER:
                # Where fsync does not reach the platter (macOS), ask for the call that does.
                db.execute("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")
            db.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            db.close()
            raise
    return db


def _enter_wal(db: apsw.Connection) -> None:
    """Switch to WAL. Two processes that do so at once may find the file busy without the busy
    timeout being asked, so the patience is here."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").get
            break
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    if mode != "wal":
        raise StoreUnavailable(
            f"{db.filename} cannot be used in write-ahead mode (it is {mode!r}); "
            "keep it on a local file system"
        )


@contextmanager
def transaction(db: apsw.Connection, begin: str = "BEGIN IMMEDIATE") -> Generator[None]:
    """Commit what is done inside, or nothing of it."""
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        roll_back(db)
        raise


def rows(db: apsw.Connection, sql: str, bindings: tuple[object, ...] = ()) -> list[Any]:
    """All rows of a query, each a tuple of what the columns hold."""
    return db.execute(sql, bindings).fetchall()


def value(db: apsw.Connection, sql: str, bindings: tuple[object, ...] = ()) -> Any:
    """The first row's only column; None if there is no row."""
    return db.execute(sql, bindings).get


def roll_back(db: apsw.Connection) -> None:
    """End a transaction without trace; SQLite may have ended it already by itself."""
    if db.in_transaction:
        db.execute("ROLLBACK")


@contextmanager
def in_our_words(path: Path) -> Generator[None]:
    """Turn SQLite's errors into the store's."""
    try:
        yield
    except apsw.Error as error:
        raise explain(error, path) from error
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror or error}") from error


def explain(error: apsw.Error, path: Path) -> ServerError:
    """The store error that says what ``error`` means for the file at ``path``."""
    for kind, make in _MEANINGS:
        if isinstance(error, kind):
            return make(f"{path}: ", f" ({error})")
    return StoreUnavailable(f"{path}: SQLite refused ({error})")


def _unavailable(text: str) -> Callable[[str, str], ServerError]:
    return lambda before, after: StoreUnavailable(before + text + after)


def _corrupt(text: str) -> Callable[[str, str], ServerError]:
    return lambda before, after: StoreCorrupt(before + text + after)


_MEANINGS: tuple[tuple[type[apsw.Error], Callable[[str, str], ServerError]], ...] = (
    (apsw.FullError, _unavailable("the disk is full; nothing was written; make room")),
    (apsw.BusyError, _unavailable(f"another process held the file for more than {PATIENCE:g} s")),
    (apsw.LockedError, _unavailable("the file is locked")),
    (apsw.CantOpenError, _unavailable("the file cannot be opened; check the path and its rights")),
    (apsw.ReadOnlyError, _unavailable("the file or its directory cannot be written")),
    (apsw.PermissionsError, _unavailable("access to the file was refused")),
    (apsw.NotADBError, _corrupt("this is no SQLite file; move it away or name another path")),
    (apsw.CorruptError, _corrupt("the file is damaged; restore it from a copy")),
    (apsw.IOError, _unavailable("the disk failed to read or write")),
    (apsw.NoMemError, _unavailable("out of memory")),
    (apsw.TooBigError, _unavailable("a record is larger than SQLite can store")),
)
