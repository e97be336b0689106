"""What a store is asked for besides appending, each inside the writer's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.journal import log as rules
from fairlead.journal.log import Head
from fairlead.journal.position import Epoch
from fairlead.journal.retention import Retention, expired, keep_from
from fairlead.ports.store import Acquired, Conflict, Created, Exists, Held, StreamSpec
from fairlead.stores.common import epoch_suffix, not_joined, same_content, unknown_stream
from fairlead.stores.sqlite import heads
from fairlead.stores.sqlite.connection import rows, value
from fairlead.stores.sqlite.heads import Row
from fairlead.stores.sqlite.journal import Journal, Log
from fairlead.stores.sqlite.locks import Life

#: Streams that retention looks at in one transaction.
EXPIRE_AT_ONCE = 200
#: How long signals are kept for those who follow, in seconds.
SIGNALS_KEPT = 3600.0


def existing(journal: Journal, id: str) -> Row:
    """The row of a stream that is there. Raises NotFound."""
    row = heads.find(journal.db, id)
    if row is None or row.deleted:
        raise unknown_stream(id)
    return row


# -- owners


def join(journal: Journal, owner: str, ttl: float) -> None:
    journal.locks.hold(owner)
    journal.db.execute(
        "INSERT INTO owners (owner, until) VALUES (?, ?) "
        "ON CONFLICT (owner) DO UPDATE SET until = excluded.until",
        (owner, journal.clock() + ttl),
    )


def leave(journal: Journal, owner: str) -> None:
    journal.leave(owner)
    journal.locks.free(owner)


def abandoned(journal: Journal, limit: int) -> list[str]:
    db = journal.db
    journal.fold_dead()
    for (owner,) in rows(db, "SELECT owner FROM owners"):
        if journal.locks.life(owner) is Life.DEAD:
            db.execute("DELETE FROM owners WHERE owner = ?", (owner,))
            journal.locks.bury(owner)
    return [
        id
        for (id,) in db.execute(
            "SELECT id FROM streams WHERE NOT closed AND NOT deleted AND writer IS NOT NULL "
            "AND writer NOT IN (SELECT owner FROM owners WHERE until > ?) LIMIT ?",
            (journal.clock(), limit),
        )
    ]


# -- writing


def create(
    journal: Journal, spec: StreamSpec, writer: str | None, records: Sequence[bytes]
) -> Created | Exists | Conflict:
    row = heads.find(journal.db, spec.id)
    if row is not None:
        if row.deleted:
            return Conflict(None)
        info = row.info(journal.log(spec.id).head())
        return Exists(info) if same_content(spec, row.spec()) else Conflict(info)
    if writer is not None and not journal.alive(writer):
        raise not_joined(writer)
    now = journal.clock()
    journal.db.execute(
        "INSERT INTO streams "
        "(id, owner, content_type, fingerprint, first_meta, created, touched) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (spec.id, spec.owner, spec.content_type, spec.fingerprint, spec.meta, now, now),
    )
    row = existing(journal, spec.id)
    log = Log(row, ())
    epoch: Epoch | None = None
    if writer is not None:
        head, epoch = rules.acquire(log.head(), epoch_suffix(journal.entropy))
        journal.adopt(log, epoch, head, writer)
        if records:
            journal.append(spec.id, epoch, 0, records, False)
    return Created(row.info(log.head()), epoch)


def acquire(journal: Journal, id: str, owner: str) -> Acquired | Held:
    if journal.others():
        journal.fold_dead()
    row = existing(journal, id)
    if not journal.alive(owner):
        raise not_joined(owner)
    if row.writer and row.writer != owner and journal.alive(row.writer):
        return Held(row.writer)
    journal.seize(row)
    log = journal.log(id)
    head, epoch = rules.acquire(log.head(), epoch_suffix(journal.entropy))
    journal.adopt(log, epoch, head, owner)
    return Acquired(epoch, head)


def release(journal: Journal, id: str, epoch: Epoch) -> None:
    row = existing(journal, id)
    if journal.log(id).epoch == epoch:
        journal.seize(row)
        journal.db.execute("UPDATE streams SET writer = '' WHERE num = ?", (row.num,))
        journal.evict(id)


# -- signals, presence, meta


def signal(journal: Journal, id: str, name: str) -> None:
    row = existing(journal, id)
    journal.db.execute("UPDATE streams SET signal = ? WHERE num = ?", (name, row.num))
    if row.writer:
        now = journal.clock()
        journal.db.execute(
            "INSERT INTO signals (writer, id, owner, name, at) VALUES (?, ?, ?, ?, ?)",
            (journal.number, id, row.writer, name, now),
        )
        journal.db.execute("DELETE FROM signals WHERE at < ?", (now - SIGNALS_KEPT,))
        journal.news.signals.append((row.writer, id, name))


def present(journal: Journal, ids: Sequence[str], watcher: str, ttl: float) -> None:
    if ttl > 0:
        until = journal.clock() + ttl
        journal.db.executemany(
            "INSERT INTO presence (num, watcher, until) "
            "SELECT num, ?, ? FROM streams WHERE id = ? AND NOT deleted "
            "ON CONFLICT (num, watcher) DO UPDATE SET until = excluded.until",
            [(watcher, until, id) for id in ids],
        )
    else:
        journal.db.executemany(
            "DELETE FROM presence WHERE watcher = ? "
            "AND num = (SELECT num FROM streams WHERE id = ?)",
            [(watcher, id) for id in ids],
        )


def set_meta(journal: Journal, id: str, version: int, meta: bytes) -> int | None:
    row = existing(journal, id)
    if row.meta_version != version:
        return None
    journal.db.execute(
        "UPDATE streams SET meta = ?, meta_version = ? WHERE num = ?",
        (meta, version + 1, row.num),
    )
    return version + 1


def touch(journal: Journal, id: str) -> None:
    row = existing(journal, id)
    journal.db.execute("UPDATE streams SET touched = ? WHERE num = ?", (journal.clock(), row.num))


# -- upkeep


def delete(journal: Journal, id: str) -> None:
    row = existing(journal, id)
    journal.seize(row)
    journal.forget(id)
    _remove_parts(journal, row.num)
    # The tombstone keeps the id and nothing else.
    journal.db.execute(
        "UPDATE streams SET deleted = 1, owner = '', content_type = '', fingerprint = x'', "
        "first_meta = x'', meta = NULL, bytes = 0, writer = NULL, signal = '' WHERE num = ?",
        (row.num,),
    )


def _remove_parts(journal: Journal, num: int) -> None:
    for table in ("segments", "terms", "presence"):
        journal.db.execute(f"DELETE FROM {table} WHERE num = ?", (num,))


def expire(journal: Journal, retention: Retention) -> int:
    """Remove some streams whose time is over; how many, 0 when none is left."""
    if retention.max_age is None:
        return 0
    now = journal.clock()
    found = heads.select(
        journal.db,
        "WHERE closed AND NOT deleted AND touched < ? ORDER BY touched LIMIT ?",
        (now - retention.max_age, EXPIRE_AT_ONCE),
    )
    gone = 0
    for row in found:
        if expired(retention, closed=True, touched=row.touched, now=now):
            journal.forget(row.id)
            _remove_parts(journal, row.num)
            journal.db.execute("DELETE FROM streams WHERE num = ?", (row.num,))
            gone += 1
    return gone


def trim(journal: Journal, retention: Retention) -> int:
    """Trim the streams that are too large; how many."""
    conditions = []
    bindings: list[object] = []
    if retention.max_bytes is not None:
        # The first half lets an index answer wherever the limit is a usual one.
        conditions.append(
            "bytes > 1048576 AND bytes > ?" if retention.max_bytes >= 1048576 else "bytes > ?"
        )
        bindings.append(retention.max_bytes)
    if retention.max_records is not None:
        conditions.append("tail - first > ?")
        bindings.append(retention.max_records)
    if not conditions:
        return 0
    journal.fold_stretches(list(journal.unfolded.items()))
    where = "WHERE (" + " OR ".join(f"({c})" for c in conditions) + ") AND NOT deleted"
    return sum(
        _trim(journal, row, retention) for row in heads.select(journal.db, where, tuple(bindings))
    )


def _trim(journal: Journal, row: Row, retention: Retention) -> bool:
    db = journal.db
    runs: list[tuple[int, int]] = rows(
        db, "SELECT first, bytes FROM segments WHERE num = ? ORDER BY first", (row.num,)
    )
    folded = Head(heads.terms(db, row.num), row.first, row.tail, bool(row.closed))
    first = rules.trim(folded, keep_from(retention, folded, runs)).first
    if first <= row.first:
        return False
    gone = sum(size for start, size in runs if start < first)
    db.execute("DELETE FROM segments WHERE num = ? AND first < ?", (row.num, first))
    db.execute(
        "UPDATE streams SET first = ?, bytes = bytes - ? WHERE num = ?", (first, gone, row.num)
    )
    if row.id in journal.logs:
        journal.logs[row.id].first = first
    journal.changed[row.id] = None
    return True


def clean(journal: Journal) -> None:
    """Remove presences that are over, and ticks that are folded."""
    journal.sweep()
    journal.db.execute("DELETE FROM presence WHERE until <= ?", (journal.clock(),))


def give_back(journal: Journal, pages: int) -> bool:
    """Give freed pages back to the file system, unless they are few; whether more are left."""
    db = journal.db
    pages_in_all: int = value(db, "PRAGMA page_count")
    free: int = value(db, "PRAGMA freelist_count")
    spare = max(1024, pages_in_all // 10)
    if free <= spare:
        return False
    db.execute(f"PRAGMA incremental_vacuum({min(pages, free - spare)})").fetchall()
    return free - spare > pages
