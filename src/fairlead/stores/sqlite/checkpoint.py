"""Moving the write-ahead log into the file, on a thread of its own.

A checkpoint waits for the disk twice. Left to SQLite it would run inside some commit, and everybody
whose records are in that commit would wait with it.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import apsw

from fairlead.errors import ServerError
from fairlead.ports.store import Durability
from fairlead.stores.sqlite.connection import connect

#: Pages in the log from which on it is moved.
PAGES = 500
#: Pages from which on the writer stands still for it: a log that is written to all the time is
#: never moved to its end, and only then can it begin anew.
PAGES_AT_MOST = 8 * PAGES


class Checkpointer:
    """Watches the log behind the writer's connection ``db``."""

    def __init__(self, path: Path, durability: Durability, db: apsw.Connection) -> None:
        self._path = path
        self._durability = durability
        self._db = db
        self._pages = 0
        self._wanted = threading.Semaphore(0)
        self._busy = False
        self._ended = False
        # Replaces SQLite's own automatic checkpoint.
        db.set_wal_hook(self._committed)
        self._thread = threading.Thread(target=self._run, name="fairlead-checkpoint", daemon=True)
        self._thread.start()

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        # Beyond the most, the thread makes way for the writer.
        if PAGES < pages <= PAGES_AT_MOST and not self._busy:
            self._busy = True
            self._wanted.release()
        return apsw.SQLITE_OK

    def due(self) -> bool:
        """Whether the writer itself must now call :meth:`finish`."""
        return self._pages > PAGES_AT_MOST

    def finish(self) -> None:
        """On the writer's thread: move what is left, so that the next commit begins anew."""
        self._pages = 0
        # Busy: the thread is at it this very moment, and the next commit asks again.
        with contextlib.suppress(apsw.BusyError):
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._wanted.release()
        self._thread.join()

    def _run(self) -> None:
        db: apsw.Connection | None = None
        try:
            while True:
                self._wanted.acquire()
                if self._ended:
                    break
                try:
                    if db is None:
                        db = connect(self._path, self._durability)
                    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                except (apsw.Error, ServerError):
                    # Nothing is lost: the log grows until the disk lets it be moved.
                    pass
                self._busy = False
        finally:
            if db is not None:
                db.close()
