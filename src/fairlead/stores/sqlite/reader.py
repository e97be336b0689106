"""Reading a journal file: each call sees one state of it. On the reader's thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager

import apsw

from fairlead.errors import StoreCorrupt
from fairlead.journal.log import Head
from fairlead.ports.store import Batch, Leases, Page, StoreSize, StreamInfo
from fairlead.primitives import sortable
from fairlead.stores.common import bounded, parse_cursor, unknown_stream
from fairlead.stores.sqlite import heads
from fairlead.stores.sqlite.connection import value
from fairlead.stores.sqlite.heads import Row
from fairlead.stores.sqlite.slates import Slates
from fairlead.stores.sqlite.ticks import Entry, decode_records, decode_tick, extend


class Reader:
    """Knows how to find a stream's records, folded or not."""

    def __init__(self, clock: Callable[[], float], slates: Slates) -> None:
        self._clock = clock
        self._slates = slates
        # Ticks never change, so those decoded once stay right; what has been folded meanwhile is
        # left out by the row's tail.
        self._ticks: dict[int, dict[str, Entry]] = {}

    def rest(self) -> None:
        """Nobody has read for a while: free what is kept."""
        self._ticks.clear()
        self._slates.forget()

    def info(self, db: apsw.Connection, id: str) -> StreamInfo:
        with self._snapshot(db):
            row = self._row(db, id)
            return row.info(self._head(db, row, len(self._unfolded(db, row))))

    def read(self, db: apsw.Connection, id: str, offset: int, max_bytes: int) -> Batch:
        with self._snapshot(db):
            row = self._row(db, id)
            unfolded = self._unfolded(db, row)
            head = self._head(db, row, len(unfolded))
            offset = max(offset, head.first)
            records: list[bytes] = []
            size = 0
            if offset < row.tail:
                for first, data in db.execute(
                    "SELECT first, data FROM segments WHERE num = ?1 AND first >= ifnull("
                    "(SELECT max(first) FROM segments WHERE num = ?1 AND first <= ?2), 0) "
                    "ORDER BY first",
                    (row.num, offset),
                ):
                    if first > offset + len(records):
                        raise StoreCorrupt(
                            f"{db.filename}: stream {id!r} lacks records "
                            f"{offset + len(records)} to {first}"
                        )
                    found = decode_records(data)[max(offset - first, 0) :]
                    records += found
                    size += sum(map(len, found))
                    if size >= max_bytes:
                        break
            if size < max_bytes and offset + len(records) >= row.tail:
                records += unfolded[max(offset - row.tail, 0) :]
            return Batch(head, offset, bounded(records, max_bytes))

    def watchers(self, db: apsw.Connection, id: str) -> int:
        with _snapshot(db):
            row = self._row(db, id)
            count: int = value(
                db,
                "SELECT count(*) FROM presence WHERE num = ? AND until > ?",
                (row.num, self._clock()),
            )
            return count

    def page(self, db: apsw.Connection, owner: str | None, cursor: str | None, limit: int) -> Page:
        before = parse_cursor(cursor)
        with self._snapshot(db):
            conditions = ["NOT deleted"]
            bindings: list[object] = []
            if owner is not None:
                conditions.append("owner = ?")
                bindings.append(owner)
            if before is not None:
                conditions.append("num < ?")
                bindings.append(before)
            found = heads.select(
                db,
                f"WHERE {' AND '.join(conditions)} ORDER BY num DESC LIMIT ?",
                (*bindings, limit + 1),
            )
            more = len(found) > limit
            found = found[:limit]
            items = tuple(
                row.info(self._head(db, row, len(self._unfolded(db, row)))) for row in found
            )
            return Page(items, sortable(found[-1].num) if more else None)

    def leases(self, db: apsw.Connection, limit: int, but: str) -> Leases:
        with _snapshot(db):
            now = self._clock()
            owners = db.execute("SELECT owner FROM owners WHERE until > ? ORDER BY owner", (now,))
            living = tuple(owner for (owner,) in owners)
            # In the words of the index ``streams_unfinished``: however many have ended.
            found = heads.select(
                db,
                "WHERE NOT closed AND NOT deleted AND writer IS NOT NULL "
                "AND writer IN (SELECT owner FROM owners WHERE until > ? AND owner != ?) "
                "ORDER BY num DESC LIMIT ?",
                (now, but, limit),
            )
            return Leases(living, tuple(row.lease() for row in found))

    def size(self, db: apsw.Connection) -> StoreSize:
        with self._snapshot(db):
            streams, records, record_bytes = db.execute(
                "SELECT count(*), ifnull(sum(tail - first), 0), ifnull(sum(bytes), 0) "
                "FROM streams WHERE NOT deleted"
            ).get
            self._refresh(db)
            waiting: dict[int, Row] = {}
            for id in {id for tick in self._ticks.values() for id in tick}:
                row = heads.find(db, id)
                if row is not None:
                    waiting[row.num] = row
            for num in self._slates.streams() - waiting.keys():
                waiting |= {row.num: row for row in heads.select(db, "WHERE num = ?", (num,))}
            for row in waiting.values():
                if not row.deleted:
                    unfolded = self._unfolded(db, row)
                    records += len(unfolded)
                    record_bytes += sum(map(len, unfolded))
        disk = self._slates.bytes()
        for suffix in ("", "-wal", "-shm"):
            try:
                disk += os.stat(db.filename + suffix).st_size
            except FileNotFoundError:
                continue
        return StoreSize(
            streams=streams, records=records, record_bytes=record_bytes, disk_bytes=disk
        )

    def _row(self, db: apsw.Connection, id: str) -> Row:
        row = heads.find(db, id)
        if row is None or row.deleted:
            raise unknown_stream(id)
        return row

    def _head(self, db: apsw.Connection, row: Row, unfolded: int) -> Head:
        return Head(heads.terms(db, row.num), row.first, row.tail + unfolded, bool(row.closed))

    def _unfolded(self, db: apsw.Connection, row: Row) -> list[bytes]:
        """The stream's records that are not folded yet: those from ``row.tail`` on."""
        records: list[bytes] = []
        if row.closed:
            return records
        self._refresh(db)
        entries = [tick[row.id] for tick in self._ticks.values() if row.id in tick]
        for at, more in (*entries, *self._slates.notes(row.num)):
            try:
                extend(records, row.tail, at, more)
            except ValueError as error:
                raise StoreCorrupt(f"{db.filename}: stream {row.id!r}: {error}") from error
        return records

    @contextmanager
    def _snapshot(self, db: apsw.Connection) -> Generator[None]:
        """As below, and of the slates. These first: what is moved meanwhile is in the file then."""
        self._slates.refresh()
        with _snapshot(db):
            yield

    def _refresh(self, db: apsw.Connection) -> None:
        """Decode the ticks that came since, drop those that are gone."""
        ticks = self._ticks
        oldest, newest = db.execute("SELECT min(seq), max(seq) FROM ticks").get
        if newest is None:
            ticks.clear()
            return
        for seq in list(ticks):
            if seq >= oldest:
                break
            del ticks[seq]
        last = next(reversed(ticks), 0)
        if last < newest:
            for seq, data in db.execute(
                "SELECT seq, data FROM ticks WHERE seq > ? ORDER BY seq", (last,)
            ):
                ticks[seq] = decode_tick(data)


@contextmanager
def _snapshot(db: apsw.Connection) -> Generator[None]:
    """All reads inside see one state of the file."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("COMMIT")
