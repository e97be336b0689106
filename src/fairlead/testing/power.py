"""A file system for SQLite whose power can be cut.

While a :class:`FrailDisk` is plugged in, every file that SQLite opens is written through as usual;
beside it the disk remembers which writes have been synced. :meth:`FrailDisk.cut` shows what would
be left if the power failed now: of the writes since a file's last sync, any may be there, in part
or not at all, in any order.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import apsw

#: The disk writes this much at once or not at all.
_SECTOR = 512
_NAME = "fairlead-frail"


class _Image:
    """What the disk holds of one file for certain, and what it may hold."""

    def __init__(self, content: bytes) -> None:
        self.synced = bytearray(content)
        #: (offset, data) of a write, (size, None) of a truncation.
        self.pending: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        for at, data in self.pending:
            _apply(self.synced, at, data)
        self.pending.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        content = bytearray(self.synced)
        # Of some files everything arrives and of some nothing, which are the ordinary cases.
        keep = chance.choice((0.0, 1.0, chance.random()))
        for at, data in self.pending:
            if data is None:
                if chance.random() < keep:
                    _apply(content, at, None)
                continue
            for start in range(0, len(data), _SECTOR):
                if chance.random() < keep:
                    _apply(content, at + start, data[start : start + _SECTOR])
        return bytes(content)


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


class FrailDisk(apsw.VFS):
    """SQLite's default file system until :meth:`unplug`; one at a time."""

    def __init__(self) -> None:
        self.beneath = apsw.vfs_names()[0]
        super().__init__(_NAME, self.beneath, makedefault=True)
        self._lock = threading.Lock()
        self._images: dict[str, _Image] = {}

    def xOpen(  # noqa: N802 (SQLite's name)
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return super().xOpen(name, flags)
        return _FrailFile(self, name, path, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        with self._lock:
            super().xDelete(filename, syncdir)
            self._images.pop(filename, None)

    @contextmanager
    def image(self, path: str) -> Generator[_Image]:
        """The image of a file, for as long as nobody else changes it."""
        with self._lock:
            image = self._images.get(path)
            if image is None:
                image = self._images[path] = _Image(Path(path).read_bytes())
            yield image

    def cut(self, into: Path, chance: random.Random) -> None:
        """Write the files as a power cut at this moment would leave them into a directory."""
        into.mkdir()
        with self._lock:
            for path, image in self._images.items():
                (into / Path(path).name).write_bytes(image.after_cut(chance))

    def unplug(self) -> None:
        """Give SQLite its own file system back. Close all connections first."""
        self.unregister()


class _FrailFile(apsw.VFSFile):
    """A file on the frail disk. Locks and shared memory are the real file's."""

    def __init__(
        self,
        disk: FrailDisk,
        name: str | apsw.URIFilename | None,
        path: str,
        flags: list[int],
    ) -> None:
        super().__init__(disk.beneath, name, flags)
        self._disk = disk
        self._path = path
        with disk.image(path):
            pass

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        with self._disk.image(self._path) as image:
            super().xWrite(data, offset)
            image.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        with self._disk.image(self._path) as image:
            super().xTruncate(newsize)
            image.pending.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        # The real disk need not be bothered.
        with self._disk.image(self._path) as image:
            image.sync()
