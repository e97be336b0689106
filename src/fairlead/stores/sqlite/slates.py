"""Slates: files beside the database for records that are shown before the database has them.

At sea the officer of the watch notes on a slate what is written into the log book later. Here each
process notes appends on a slate, one ``write`` for a turn of its loop; the page cache keeps what
was written when the process is killed. The thread that writes the database moves the records there,
in batches; a slate whose records have all been moved is removed.

A slate is only ever appended to, by its writer and by others' *seals*. The operating system puts
appends to one file into one order. What stands before the first seal counts, what stands behind it
never did. The writer sees from where its own write ended whether a seal was before it.

Frames: three 32-bit numbers (length, CRC-32 of the payload, both mixed with a constant, so that a
damaged length is not taken for a write that was cut short), then the payload, a msgpack list of
(number of the stream, offset, records). An empty frame is a seal. A slate's name tells its writer,
since which start of the machine it is there, and its number.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from fairlead.errors import StoreCorrupt, StoreUnavailable
from fairlead.primitives import derived_id
from fairlead.stores.sqlite.ticks import Entry

#: A stream's number, the offset of the first record, the records.
Note = tuple[int, int, Sequence[bytes]]

_HEAD = struct.Struct("<III")
_MARK = 0x46616972
_SEAL = _HEAD.pack(0, 0, _MARK)
_SUFFIX = ".slate"

_encode = msgspec.msgpack.Encoder().encode
_notes: msgspec.msgpack.Decoder[list[tuple[int, int, list[bytes]]]] = msgspec.msgpack.Decoder(
    list[tuple[int, int, list[bytes]]]
)


def _boot() -> str:
    """What names the time since the machine was started; empty where that cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _stem(writer: str) -> str:
    return derived_id(writer, "slate")


class Slate:
    """A slate that this process writes. Raises OSError if it cannot be made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        #: Where it ends if nobody else has written to it.
        self.end = 0

    def write(self, notes: list[Note]) -> bool:
        """Append; whether it counts. If not, the slate is of no further use to its writer: it was
        sealed, or the disk is full. What was written before still counts."""
        payload = _encode(notes)
        check = zlib.crc32(payload)
        length = len(payload)
        try:
            os.write(self._fd, _HEAD.pack(length, check, length ^ check ^ _MARK) + payload)
        except OSError:
            return False
        self.end += _HEAD.size + length
        # Where our own write ended: also seen are a seal before it, and a write cut short.
        return os.lseek(self._fd, 0, os.SEEK_CUR) == self.end

    def whole(self) -> bool:
        """Whether nobody has sealed it until now."""
        return os.fstat(self._fd).st_size == self.end

    def remove(self) -> None:
        """All of it has been moved, and it is not written any more."""
        os.close(self._fd)
        # What cannot be removed harms nobody.
        with suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """It is not written any more; whoever opens the store next moves what it holds."""
        os.close(self._fd)


class SlateFile:
    """A slate as it is read, as far as it has been read.

    ``sealed``: nothing that counts will follow; ``stale``: it is from before the machine was last
    started, so that it may lack what the loss of power took.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.sealed = False
        self.stale = f"-{_boot()}-" not in path.name
        self.notes: dict[int, list[Entry]] = {}

    def refresh(self) -> None:
        """Read on. Raises FileNotFoundError where it has been removed, and
        :class:`~fairlead.errors.StoreCorrupt` for what no writer wrote."""
        if self.sealed or self._path.stat().st_size == self._at:
            return
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._at)
            data = file.read()
        begin = 0
        while not self.sealed and len(data) - begin >= _HEAD.size:
            length, check, both = _HEAD.unpack_from(data, begin)
            end = begin + _HEAD.size + length
            if both != length ^ check ^ _MARK:
                self._damaged(data, begin, begin + _HEAD.size)
            elif length == 0:
                self.sealed = True
            elif end > len(data):
                # Being written, or cut short by the end of its writer.
                break
            else:
                payload = data[begin + _HEAD.size : end]
                if zlib.crc32(payload) == check:
                    self._take(payload)
                else:
                    self._damaged(data, begin, end)
            begin = end
        self._at += min(begin, len(data))

    def _take(self, payload: bytes) -> None:
        for num, at, records in _notes.decode(payload):
            self.notes.setdefault(num, []).append((at, records))

    def _damaged(self, data: bytes, begin: int, end: int) -> None:
        """What should stand from ``begin`` to ``end`` does not."""
        cut_short = end > _before_seals(data)
        if not cut_short and not self.stale:
            raise StoreCorrupt(
                f"{self._path}: damaged at byte {self._at + begin}: it holds records that "
                f"journal.db lacks; restore the folder from a copy, or move this file away to go "
                f"on without them"
            )
        # Cut short and then sealed, or what a loss of power has left, which nobody promised.
        self.sealed = True


def _before_seals(data: bytes) -> int:
    """Where the seals at the end begin."""
    end = len(data)
    while data.endswith(_SEAL, 0, end):
        end -= len(_SEAL)
    return end


class Slates:
    """The slates of a store, files in ``directory``, as one thread reads them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, SlateFile] = {}

    def make(self, writer: str, number: int) -> Slate:
        """A new slate of a writer. Inside a transaction that writes: whoever takes over streams
        does so in another, and either finds it, or is known of when it is first used."""
        self._directory.mkdir(exist_ok=True)
        return Slate(self._directory / f"{_stem(writer)}-{_boot()}-{number:08d}{_SUFFIX}")

    def refresh(self) -> None:
        """Read on in all that are there. What was shown before this call is then here, or in the
        database as seen by a transaction that begins after this call."""
        there, found = self._names(), dict[str, SlateFile]()
        # The newest first: a writer begins one when it has written all of the one before, so that
        # of what goes on meanwhile the end may be missing, and nothing in the midst.
        for name in reversed(there):
            file = self._files.get(name) or SlateFile(self._directory / name)
            try:
                file.refresh()
            except FileNotFoundError:
                continue  # all of it was moved just now
            found[name] = file
        self._files = {name: found[name] for name in there if name in found}

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._directory) as entries:
                return sorted(e.name for e in entries if e.name.endswith(_SUFFIX))
        except FileNotFoundError:
            return []

    def notes(self, num: int) -> Iterator[Entry]:
        """What they hold of a stream; records may be there twice, and in the database, too."""
        for file in self._files.values():
            yield from file.notes.get(num, ())

    def streams(self) -> set[int]:
        """Of which streams they hold anything."""
        return {num for file in self._files.values() for num in file.notes}

    def of(self, writer: str) -> list[SlateFile]:
        """Those of one writer, in order."""
        stem = _stem(writer)
        return [self._files[name] for name in sorted(self._files) if name.startswith(stem)]

    def seal(self, *, but: str = "", of: str = "") -> None:
        """Have nothing more count on those of a writer, or on all but one writer's."""
        self.refresh()
        for name, file in self._files.items():
            mine = name.startswith(_stem(of)) if of else not name.startswith(_stem(but))
            if mine and not file.sealed:
                _seal(self._directory / name)
        self.refresh()

    def remove(self, writers: list[str]) -> None:
        """Remove those of writers that are gone."""
        stems = tuple(map(_stem, writers))
        for name in self._names():
            if name.startswith(stems):
                (self._directory / name).unlink(missing_ok=True)

    def remove_all_but(self, writers: list[str]) -> None:
        """Remove those that belong to none of these writers."""
        stems = tuple(map(_stem, writers))
        for name in self._names():
            if not name.startswith(stems):
                (self._directory / name).unlink(missing_ok=True)

    def bytes(self) -> int:
        """How large they are."""
        total = 0
        for name in self._names():
            with suppress(FileNotFoundError):
                total += (self._directory / name).stat().st_size
        return total

    def forget(self) -> None:
        """Keep nothing of what was read."""
        self._files = {}


def _seal(path: Path) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return  # all of it was moved, and its writer has done with it
    try:
        if os.write(fd, _SEAL) != len(_SEAL):
            raise StoreUnavailable(f"{path}: the disk is full; nothing was taken over; make room")
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}; nothing was taken over") from error
    finally:
        os.close(fd)
