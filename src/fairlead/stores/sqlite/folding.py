"""Moving records from the ticks into segments. On the writer's thread, inside a transaction.

Folding is the same whoever does it: a stream's row says how far it is folded, what is folded
already is left out, so that two processes may fold the same tick.
"""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from fairlead.errors import StoreCorrupt
from fairlead.stores.sqlite.connection import rows
from fairlead.stores.sqlite.ticks import (
    Entry,
    decode_records,
    decode_tick,
    encode_records,
    extend,
)

#: Segments have about this many bytes at most, or one record.
SEGMENT_BYTES = 256 * 1024


def fold(db: apsw.Connection, num: int, at: int, records: list[bytes], now: float) -> bool:
    """Add records, which begin at offset ``at``, to the stream's segments; whether any were new."""
    while records:
        size = sum(map(len, records))
        db.execute(
            "UPDATE streams SET tail = ?, bytes = bytes + ?, touched = max(touched, ?) "
            "WHERE num = ? AND tail = ? AND NOT deleted",
            (at + len(records), size, now, num, at),
        )
        if db.changes() == 1:
            if size <= SEGMENT_BYTES:
                _add_segment(db, num, at, records, size)
            else:
                _add_segments(db, num, at, records)
            return True
        row = db.execute(
            "SELECT tail FROM streams WHERE num = ? AND NOT deleted", (num,)
        ).fetchone()
        if row is None or row[0] >= at + len(records):
            return False
        if row[0] < at:
            raise StoreCorrupt(f"{db.filename}: stream {num} lacks records {row[0]} to {at}")
        records = records[row[0] - at :]
        at = row[0]
    return False


def _add_segments(db: apsw.Connection, num: int, at: int, records: list[bytes]) -> None:
    """Write segments of a bounded size: a reader takes one into memory as a whole."""
    begin = size = 0
    for i, record in enumerate(records):
        if size and size + len(record) > SEGMENT_BYTES:
            _add_segment(db, num, at + begin, records[begin:i], size)
            begin, size = i, 0
        size += len(record)
    _add_segment(db, num, at + begin, records[begin:], size)


def _add_segment(db: apsw.Connection, num: int, at: int, records: list[bytes], size: int) -> None:
    db.execute(
        "INSERT INTO segments (num, first, count, bytes, data) VALUES (?, ?, ?, ?, ?)",
        (num, at, len(records), size, encode_records(records)),
    )


def fold_writer(db: apsw.Connection, writer: int, now: float) -> None:
    """Fold and delete all ticks of a writer that is gone."""
    gathered: dict[str, tuple[int, list[bytes]]] = {}
    last = 0
    for seq, data in db.execute(
        "SELECT seq, data FROM ticks WHERE writer = ? ORDER BY seq", (writer,)
    ):
        last = seq
        for id, (at, records) in decode_tick(data).items():
            there = gathered.get(id)
            if there is None:
                gathered[id] = (at, records)
            elif at > there[0] + len(there[1]):
                # Another writer had the stream between; it folded what was before its own.
                gathered[id] = (at, records)
            else:
                extend(there[1], there[0], at, records)
    for id, (at, records) in gathered.items():
        num = db.execute("SELECT num FROM streams WHERE id = ?", (id,)).get
        if num is not None:
            fold(db, num, at, records, now)
    sweep(db, writer, last)


def fold_stream(db: apsw.Connection, id: str, num: int, others: list[int], now: float) -> None:
    """Fold what other writers' ticks hold of one stream."""
    for writer in others:
        for (data,) in db.execute(
            "SELECT data FROM ticks WHERE writer = ? ORDER BY seq", (writer,)
        ):
            entry = decode_tick(data).get(id)
            if entry is not None:
                fold(db, num, entry[0], entry[1], now)


def fold_notes(
    db: apsw.Connection, num: int, notes: Iterable[Entry], now: float, *, stale: bool = False
) -> None:
    """Fold what slates hold of one stream. Of a ``stale`` slate the database may lack what came
    before; that is lost, and so is what follows it."""
    row = db.execute("SELECT tail FROM streams WHERE num = ? AND NOT deleted", (num,)).fetchone()
    if row is None:
        return
    tail: int = row[0]
    records: list[bytes] = []
    for at, more in notes:
        try:
            extend(records, tail, at, more)
        except ValueError as error:
            if stale:
                break
            raise StoreCorrupt(f"{db.filename}: stream {num}: {error}") from error
    fold(db, num, tail, records, now)


def sweep(db: apsw.Connection, writer: int, upto: int) -> None:
    """Delete a writer's ticks up to a number; note it for those who follow."""
    db.execute("DELETE FROM ticks WHERE writer = ? AND seq <= ?", (writer, upto))
    if db.changes():
        db.execute("UPDATE sweeps SET upto = max(upto, ?)", (upto,))


def pack(db: apsw.Connection, num: int) -> None:
    """Repackage a stream's small segments into few; bytes and offsets stay as they are."""
    run: list[tuple[int, int, int]] = []
    total = 0
    for first, count, size in rows(
        db, "SELECT first, count, bytes FROM segments WHERE num = ? ORDER BY first", (num,)
    ):
        if total + size > SEGMENT_BYTES:
            _join(db, num, run)
            run, total = [], 0
        run.append((first, count, size))
        total += size
    _join(db, num, run)


def _join(db: apsw.Connection, num: int, run: list[tuple[int, int, int]]) -> None:
    if len(run) < 2:
        return
    first, last = run[0][0], run[-1][0]
    records: list[bytes] = []
    for (data,) in db.execute(
        "SELECT data FROM segments WHERE num = ? AND first BETWEEN ? AND ? ORDER BY first",
        (num, first, last),
    ):
        records += decode_records(data)
    db.execute("DELETE FROM segments WHERE num = ? AND first BETWEEN ? AND ?", (num, first, last))
    _add_segment(db, num, first, records, sum(size for *_, size in run))
