"""The writing side of a journal file: transactions, what is known of the logs written here.

Used by the writer's thread only. Everything kept in memory between transactions is a cache that
:meth:`Journal.begin` checks against the file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

import apsw

from fairlead.journal import log as rules
from fairlead.journal.log import Accepted, Head, Term
from fairlead.journal.position import Epoch
from fairlead.ports.store import Appended, AppendOutcome
from fairlead.stores.common import unknown_stream
from fairlead.stores.sqlite import heads
from fairlead.stores.sqlite.connection import roll_back, rows, value
from fairlead.stores.sqlite.folding import (
    fold,
    fold_notes,
    fold_stream,
    fold_writer,
    pack,
    sweep,
)
from fairlead.stores.sqlite.heads import Row
from fairlead.stores.sqlite.locks import Life, Locks
from fairlead.stores.sqlite.news import News
from fairlead.stores.sqlite.schema import prepare_journal
from fairlead.stores.sqlite.slates import Slates
from fairlead.stores.sqlite.ticks import Entry, decode_ids, encode_ids, encode_tick

#: Seconds after which a stream's records leave the ticks.
FOLD_AFTER = 1.0
#: Bytes waiting to be folded beyond which nothing waits for its second: they are in memory.
UNFOLDED_BYTES = 8 * 1024 * 1024
#: How many streams are folded in one transaction, so that appends need not wait for long.
FOLD_AT_ONCE = 64
#: After this many folds an open stream's small segments are packed together.
PACK_AFTER = 32


def _newest(terms: tuple[Term, ...]) -> Epoch | None:
    return terms[-1].epoch if terms else None


class Log:
    """What is known of a stream that is written here."""

    __slots__ = ("closed", "epoch", "first", "folds", "id", "num", "owner", "tail", "terms", "told")

    def __init__(self, row: Row, terms: tuple[Term, ...]) -> None:
        self.num = row.num
        self.id = row.id
        self.owner = row.writer
        self.terms = terms
        self.epoch = _newest(terms)
        self.first = row.first
        self.tail = row.tail
        self.closed = bool(row.closed)
        self.folds = 0
        #: Whether the loop's thread knows the head but for its tail.
        self.told = False

    def head(self) -> Head:
        return Head(self.terms, self.first, self.tail, self.closed)


class Stretch:
    """Records of one stream that are in our ticks from ``seq`` on, and not yet folded."""

    __slots__ = ("at", "bytes", "due", "num", "records", "seq")

    def __init__(self, num: int, at: int, records: list[bytes], seq: int, due: float) -> None:
        self.bytes = 0
        self.num = num
        self.at = at
        self.records = records
        self.seq = seq
        self.due = due


class Journal:
    """A journal file as its writer's thread sees it."""

    def __init__(
        self,
        db: apsw.Connection,
        locks: Locks,
        slates: Slates,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.db = db
        self.locks = locks
        self.slates = slates
        self.clock = clock
        self.entropy = entropy
        self.logs: dict[str, Log] = {}
        #: Oldest first: ``seq`` and ``due`` only rise.
        self.unfolded: dict[str, Stretch] = {}
        self.unfolded_bytes = 0
        #: Streams whose segments are to be packed.
        self.packable: dict[int, None] = {}
        self._name = entropy(16).hex()
        self._number = 0
        self._slates_made = 0
        #: Of the last transaction.
        self.known_version = -1
        self._seq = 0
        # Of the transaction at hand.
        self._entries: dict[str, Entry] = {}
        self._closing: list[Log] = []
        self._evicted: list[str] = []
        self._folded: list[str] = []
        self._buried: list[str] = []
        # Streams with records that nobody was shown yet.
        self._unshown: dict[str, None] = {}
        self.changed: dict[str, None] = {}
        self.news = News()

    # -- opening and closing

    def open(self) -> None:
        """Make the file ready, become one of its writers, fold what dead ones left."""
        self.locks.hold(self._name)
        self.begin(fresh=True)
        try:
            self.db.execute("INSERT INTO writers (name) VALUES (?)", (self._name,))
            self._number = self.db.last_insert_rowid()
            # What belongs to nobody was folded by somebody who could not remove it.
            self.slates.remove_all_but([n for (n,) in rows(self.db, "SELECT name FROM writers")])
            self.fold_dead()
            self.commit()
        except BaseException:
            self.abandon()
            raise

    @property
    def number(self) -> int:
        """Our number among the file's writers."""
        return self._number

    def close(self) -> None:
        """Fold everything, be a writer no longer."""
        self.begin()
        try:
            self.fold_stretches(list(self.unfolded.items()))
            for (owner,) in rows(self.db, "SELECT owner FROM owners"):
                if self.locks.holds(owner):
                    self.leave(owner)
            fold_writer(self.db, self._number, self.clock())
            self.db.execute("DELETE FROM writers WHERE num = ?", (self._number,))
            self._buried.append(self._name)
            self.commit()
        except BaseException:
            self.abandon()
            raise

    # -- transactions

    def begin(self, *, fresh: bool = False) -> None:
        """Begin a transaction, and forget what other processes have made untrue."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            if fresh:
                prepare_journal(self.db)
            version = self.version()
            if version != self.known_version:
                self._catch_up()
                self.known_version = version
        except BaseException:
            self.abandon()
            raise

    def version(self) -> int:
        """A number that changes when another connection has committed."""
        version: int = value(self.db, "PRAGMA data_version")
        return version

    def _catch_up(self) -> None:
        upto = self.db.execute("SELECT upto FROM sweeps").get
        if upto > self._seq:
            self.logs.clear()
        else:
            for (changed,) in self.db.execute(
                "SELECT changed FROM ticks WHERE seq > ? AND writer <> ? AND changed IS NOT NULL",
                (self._seq, self._number),
            ):
                for id in decode_ids(changed):
                    self.logs.pop(id, None)
        last = self.db.execute("SELECT ifnull(max(seq), 0) FROM ticks").get
        self._seq = max(upto, last)

    def retell(self, news: News) -> None:
        """Having told of others' commits: what was told of our own logs may be forgotten now."""
        if news.anything:
            for log in self.logs.values():
                log.told = False
        for id in news.gone:
            if id in self.logs:
                self.logs[id].told = False
        # A stream that another process had, and that is ours again.
        news.left = [id for id in news.left if id not in self.logs]

    def commit(self) -> News:
        """Commit, and say what has become visible."""
        entries = self._entries
        seq = self._seq
        if entries or self.changed:
            seq += 1
            self.db.execute(
                "INSERT INTO ticks (seq, writer, changed, data) VALUES (?, ?, ?, ?)",
                (
                    seq,
                    self._number,
                    encode_ids(self.changed) if self.changed else None,
                    encode_tick(entries),
                ),
            )
            for log in self._closing:
                self._finish(log)
        self.db.execute("COMMIT")
        self._seq = seq
        self._note(seq)
        if self._buried:
            # All that they held is in the file now. What cannot be removed harms nobody.
            with suppress(OSError):
                self.slates.remove(self._buried)
        news = self.news
        self._clear()
        return news

    def _finish(self, log: Log) -> None:
        """A closed stream is folded at once, so that its row says that it is closed; the lease has
        served its purpose."""
        now = self.clock()
        stretch = self.unfolded.get(log.id)
        if stretch is not None:
            fold(self.db, log.num, stretch.at, stretch.records, now)
        entry = self._entries.get(log.id)
        if entry is not None:
            fold(self.db, log.num, entry[0], entry[1], now)
        self.db.execute(
            "UPDATE streams SET closed = 1, writer = '', touched = max(touched, ?) WHERE num = ?",
            (now, log.num),
        )

    def _note(self, seq: int) -> None:
        """After a commit: remember what is to be folded, gather the news."""
        logs = self.logs
        unfolded = self.unfolded
        due = time.monotonic() + FOLD_AFTER
        changed = self.changed
        records_of = self.news.records
        for id in self._folded:
            self._drop_unfolded(id)
        for id, (at, records) in self._entries.items():
            log = logs[id]
            stretch = unfolded.get(id)
            if stretch is None:
                stretch = unfolded[id] = Stretch(log.num, at, list(records), seq, due)
            elif at == stretch.at + len(stretch.records):
                stretch.records += records
            else:
                # Another process had the stream in between, and folded what we had of it.
                self._drop_unfolded(id)
                stretch = unfolded[id] = Stretch(log.num, at, list(records), seq, due)
            size = len(records[0]) if len(records) == 1 else sum(map(len, records))
            stretch.bytes += size
            self.unfolded_bytes += size
            if log.told and id not in changed:
                if id in self._unshown:
                    records_of.append((id, None, at, records))
            else:
                records_of.append((id, log.head(), at, records))
                log.told = True
        for id in changed:
            if id not in self._entries and id in logs:
                log = logs[id]
                records_of.append((id, log.head(), log.tail, []))
        for log in self._closing:
            self._drop_unfolded(log.id)
            self.packable[log.num] = None
            self.news.left.append(log.id)
            self._evicted.append(log.id)
        for id in self._evicted:
            logs.pop(id, None)
        for id in self._unshown:
            ours = logs.get(id)
            # Whose owner is ours is written here until we say, or are made to see, otherwise.
            if ours is None or ours.epoch is None or not ours.owner:
                continue
            if self.locks.holds(ours.owner):
                self.news.ready.append((id, ours.num, ours.epoch, ours.tail))

    def _drop_unfolded(self, id: str) -> None:
        stretch = self.unfolded.pop(id, None)
        if stretch is not None:
            self.unfolded_bytes -= stretch.bytes

    def abandon(self) -> None:
        """Roll the transaction back, in the file and here."""
        try:
            roll_back(self.db)
        finally:
            for id, (at, _) in self._entries.items():
                if id in self.logs:
                    self.logs[id].tail = at
            for id in self.changed:
                self.logs.pop(id, None)
            for slate in self.news.slates:
                slate.remove()
            self._clear()

    def _clear(self) -> None:
        self._entries = {}
        self._closing = []
        self._evicted = []
        self._folded = []
        self._buried = []
        self._unshown = {}
        self.changed = {}
        self.news = News()

    # -- logs

    def load(self, id: str) -> Log:
        """The log as the file has it, once everything that ticks hold of it is folded."""
        row = heads.find(self.db, id)
        if row is None or row.deleted:
            raise unknown_stream(id)
        now = self.clock()
        folded = False
        stretch = self.unfolded.get(id)
        if stretch is not None:
            folded = fold(self.db, row.num, stretch.at, stretch.records, now)
        others = self.others()
        if others:
            fold_stream(self.db, id, row.num, others, now)
            self.slates.refresh()
            fold_notes(self.db, row.num, self.slates.notes(row.num), now)
            folded = True
        if folded:
            found = heads.find(self.db, id)
            assert found is not None
            row = found
        return Log(row, heads.terms(self.db, row.num))

    def log(self, id: str) -> Log:
        """The log as it stands in this transaction."""
        return self.logs.get(id) or self.load(id)

    def others(self) -> list[int]:
        """The numbers of the other writers of the file."""
        return [
            num
            for (num,) in self.db.execute(
                "SELECT num FROM writers WHERE num <> ? ORDER BY num", (self._number,)
            )
        ]

    def new_slate(self) -> None:
        """Another slate for this process; it comes with the news."""
        self._slates_made += 1
        slate = self.slates.make(self._name, self._slates_made)
        self.news.slates.append(slate)

    def seize(self, row: Row) -> None:
        """Before a log is written here that another process may be writing without asking the file:
        have that process ask again. What it has shown until now is found by :meth:`load`."""
        owner = row.writer
        if (
            owner
            and not row.closed
            and not self.locks.holds(owner)
            and self.locks.life(owner) is not Life.DEAD
        ):
            self.slates.seal(but=self._name)

    def append(
        self,
        id: str,
        epoch: Epoch,
        at: int,
        records: Sequence[bytes],
        close: bool,
        *,
        shown: bool = False,
    ) -> AppendOutcome:
        """Judge and take in an append; ``shown`` if readers here know it from a slate. Raises
        NotFound."""
        log = self.logs.get(id)
        if log is None:
            row = heads.find(self.db, id)
            if row is not None and _newest(heads.terms(self.db, row.num)) == epoch:
                self.seize(row)
            log = self.load(id)
            if log.epoch == epoch:
                self.logs[id] = log
                # Whoever else wrote in this epoch must look again.
                self.changed[id] = None
        tail = at + len(records)
        # What log.append says of the ordinary append, without building what it would return.
        if at != log.tail or log.closed or (epoch is not log.epoch and epoch != log.epoch):
            verdict = rules.append(log.head(), epoch, at, len(records), close=close)
            if not isinstance(verdict, Accepted):
                return verdict
            records = records[verdict.skip :]
            at = log.tail  # also when all of it was there already, and only the end is new
            close = close and not log.closed
        if records or close:
            if not shown:
                self._unshown[id] = None
            entry = self._entries.get(id)
            if entry is None:
                self._entries[id] = (at, list(records))
            else:
                entry[1].extend(records)
            log.tail = at + len(records)
            if close:
                log.closed = True
                self._closing.append(log)
                self.changed[id] = None
        return Appended(tail)

    def adopt(self, log: Log, epoch: Epoch, head: Head, owner: str) -> None:
        """Write the log from now on, in a new epoch."""
        self.db.execute(
            "INSERT INTO terms (num, counter, suffix, first) VALUES (?, ?, ?, ?)",
            (log.num, epoch.counter, epoch.suffix, head.tail),
        )
        self.db.execute("UPDATE streams SET writer = ? WHERE num = ?", (owner, log.num))
        log.terms = head.terms
        log.epoch = epoch
        log.owner = owner
        if log.id in self._evicted:
            self._evicted.remove(log.id)
            self.news.left.remove(log.id)
        self.logs[log.id] = log
        self.changed[log.id] = None
        self.news.written.append(log.id)

    def evict(self, id: str) -> None:
        """The log is not written here once this transaction is committed."""
        self._evicted.append(id)
        self.news.left.append(id)

    def forget(self, id: str) -> None:
        """The stream is being deleted."""
        self.logs.pop(id, None)
        self._entries.pop(id, None)
        self._closing = [log for log in self._closing if log.id != id]
        self.changed[id] = None
        self.news.gone.append(id)

    # -- owners

    def alive(self, owner: str) -> bool:
        """Whether the owner's leases hold: its time is not over and its process lives."""
        until = self.db.execute("SELECT until FROM owners WHERE owner = ?", (owner,)).get
        return (
            until is not None and until > self.clock() and self.locks.life(owner) is not Life.DEAD
        )

    def leave(self, owner: str) -> None:
        """End every lease of an owner."""
        self.db.execute("DELETE FROM owners WHERE owner = ?", (owner,))
        self.db.execute(
            "UPDATE streams SET writer = '' WHERE writer = ? AND NOT deleted",
            (owner,),
        )
        for id, log in self.logs.items():
            if log.owner == owner:
                self.evict(id)

    # -- folding

    def fold_dead(self) -> None:
        """Fold what writers left whose processes are gone."""
        for num, name in rows(
            self.db, "SELECT num, name FROM writers WHERE num <> ?", (self._number,)
        ):
            life = self.locks.life(name)
            if life is Life.ALIVE:
                continue
            if life is Life.UNKNOWN:
                # Should it live after all, it must notice.
                self.slates.seal(of=name)
            self.slates.refresh()
            fold_writer(self.db, num, self.clock())
            for file in self.slates.of(name):
                for stream, notes in file.notes.items():
                    fold_notes(self.db, stream, notes, self.clock(), stale=file.stale)
            self.db.execute("DELETE FROM writers WHERE num = ?", (num,))
            self.locks.bury(name)
            self._buried.append(name)

    def next_fold(self) -> float | None:
        """When something is to be folded or packed, by the monotonic clock."""
        if self.packable or self.unfolded_bytes > UNFOLDED_BYTES:
            return 0.0
        for stretch in self.unfolded.values():
            return stretch.due
        return None

    def fold(self) -> None:
        """Fold what is due, a bounded number of streams, in a transaction of its own."""
        now = math.inf if self.unfolded_bytes > UNFOLDED_BYTES else time.monotonic()
        due = [pair for pair in islice(self.unfolded.items(), FOLD_AT_ONCE) if pair[1].due <= now]
        self.begin()
        try:
            self.fold_stretches(due)
            if self.packable:
                num = next(iter(self.packable))
                del self.packable[num]
                pack(self.db, num)
            self.commit()
        except BaseException:
            self.abandon()
            raise

    def fold_stretches(self, stretches: Sequence[tuple[str, Stretch]]) -> None:
        """Fold the oldest stretches, and delete the ticks that are needed no longer."""
        now = self.clock()
        for id, stretch in stretches:
            if fold(self.db, stretch.num, stretch.at, stretch.records, now) and id in self.logs:
                log = self.logs[id]
                log.folds += 1
                if log.folds == PACK_AFTER:
                    log.folds = 0
                    self.packable[log.num] = None
            self._folded.append(id)
        if stretches:
            self.sweep(len(stretches))

    def sweep(self, folded: int = 0) -> None:
        """Delete the ticks that are needed no longer, once so many of the oldest stretches are
        folded. Streams that were closed are folded without a stretch, so this is to be asked for
        also where nothing else is folded."""
        rest = next(islice(self.unfolded.values(), folded, None), None)
        sweep(self.db, self._number, self._seq if rest is None else rest.seq - 1)
