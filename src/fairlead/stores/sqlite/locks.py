"""Locks that the operating system frees when their process dies, however it dies.

A lease in the database ends by the clock; such a lock ends with the process, so that a killed
writer's streams can be taken over at once.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path

from fairlead.errors import StoreUnavailable
from fairlead.primitives import derived_id

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, *, shared: bool = False) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(fd: int, *, shared: bool = False) -> None:
        # flock, not POSIX record locks: those belong to the process, so that two stores in one
        # process would not see each other, and closing any descriptor would free them.
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


#: How long to try for a lock before it counts as held, in seconds.
_PATIENCE = 0.05


class Life(Enum):
    """What a lock tells of its holder."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"  # there is no lock to ask


class Locks:
    """The locks of one store, files in ``directory``; names may be any text."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held: dict[str, int] = {}

    def _path(self, name: str) -> Path:
        # Hashed: a name may hold what no file name may.
        return self.directory / f"{derived_id(name, 'lock')}.lock"

    def hold(self, name: str) -> None:
        """Take the lock of ``name``, unless it is ours already.

        Raises :class:`~fairlead.errors.StoreUnavailable` if another store holds it.
        """
        if name in self._held:
            return
        self.directory.mkdir(exist_ok=True)
        path = self._path(name)
        deadline = time.monotonic() + _PATIENCE
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _lock(fd)
                # Whoever held it before may have removed the file between our two calls.
                if _same_file(fd, path):
                    break
            except OSError as error:
                # Held, or merely being asked about, which takes no time.
                if time.monotonic() > deadline:
                    os.close(fd)
                    raise StoreUnavailable(
                        f"the owner {name!r} is in use by another store; choose another name"
                    ) from error
                time.sleep(0.001)
            os.close(fd)
        self._held[name] = fd

    def holds(self, name: str) -> bool:
        """Whether the lock is ours."""
        return name in self._held

    def free(self, name: str) -> None:
        """Let go of the lock, if it is ours."""
        fd = self._held.pop(name, None)
        if fd is not None:
            # Removed while still locked: nobody can take a lock on a file without a name.
            _remove(self._path(name))
            os.close(fd)

    def free_all(self) -> None:
        """Let go of every lock."""
        for name in tuple(self._held):
            self.free(name)

    def life(self, name: str) -> Life:
        """Whether the holder of ``name`` lives."""
        if name in self._held:
            return Life.ALIVE
        try:
            fd = os.open(self._path(name), os.O_RDWR)
        except FileNotFoundError:
            return Life.UNKNOWN
        try:
            # Shared, so that two who ask at once do not take each other for the holder.
            _lock(fd, shared=True)
        except OSError:
            return Life.ALIVE
        else:
            return Life.DEAD
        finally:
            os.close(fd)

    def bury(self, name: str) -> None:
        """Remove what a dead holder left."""
        if self.life(name) is Life.DEAD:
            _remove(self._path(name))


def _remove(path: Path) -> None:
    # Windows refuses while a descriptor is open; an empty file is left, which harms nobody.
    with suppress(PermissionError):
        path.unlink(missing_ok=True)


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
