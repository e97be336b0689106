"""The store itself: the loop's side of the threads."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import apsw

from fairlead.errors import Misconfigured
from fairlead.journal.position import Epoch
from fairlead.journal.retention import Retention
from fairlead.ports.store import (
    Acquired,
    Appended,
    AppendOutcome,
    Batch,
    Commits,
    Conflict,
    Created,
    Durability,
    Exists,
    Held,
    Leases,
    Page,
    StoreSize,
    StreamInfo,
    StreamSpec,
    Subscription,
)
from fairlead.stores.common import Promise, check_creation, store_closed
from fairlead.stores.sqlite import commands
from fairlead.stores.sqlite.ahead import ALL, Ahead, Append
from fairlead.stores.sqlite.checkpoint import Checkpointer
from fairlead.stores.sqlite.connection import connect, in_our_words
from fairlead.stores.sqlite.following import Follower
from fairlead.stores.sqlite.hot import HotStreams
from fairlead.stores.sqlite.journal import Journal
from fairlead.stores.sqlite.locks import Locks
from fairlead.stores.sqlite.news import News
from fairlead.stores.sqlite.reader import Reader
from fairlead.stores.sqlite.slates import Slates
from fairlead.stores.sqlite.worker import Settled, Worker, settle
from fairlead.stores.sqlite.writer import Told, Writer
from fairlead.stores.subscriptions import SignalHub, Wakes

#: Pages given back to the file system in one transaction.
_VACUUM_PAGES = 512


class _Open:
    """What an open store has."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, writer: Writer, worker: Worker, locks: Locks
    ) -> None:
        self.loop = loop
        self.writer = writer
        self.worker = worker
        self.locks = locks


class SqliteStore:
    """A :class:`~fairlead.ports.store.Store` in the SQLite file at ``path``.

    Any number of processes of one machine may have the file open. Beside it there is a directory
    ``owners`` of lock files, which tell that a process lives, and of slates. ``durability`` is
    ``PROCESS`` or ``POWER``; :class:`~fairlead.errors.Misconfigured` otherwise.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = Durability.PROCESS,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if durability is Durability.MEMORY:
            raise Misconfigured(
                "a SQLite store keeps records on disk: its durability is 'process' or 'power'"
            )
        self.durability: Durability = durability
        self._path = path
        self._clock = clock
        self._entropy = entropy
        self._commits = Commits()
        self._writes = Commits()
        self._hot = HotStreams()
        self._wakes = Wakes(self._unwatched)
        self._signals = SignalHub()
        self._ahead: Ahead | None = None
        self._open: _Open | None = None

    async def open(self) -> None:
        if self._open is not None:
            return
        loop = asyncio.get_running_loop()
        locks = Locks(self._path.parent / "owners")
        journal, follower, reading = await loop.run_in_executor(None, self._connect, locks)
        checkpointer = Checkpointer(self._path, self.durability, journal.db)
        # Slates rest on what Linux promises of appending to a file.
        if self.durability is Durability.PROCESS and sys.platform == "linux":
            self._ahead = Ahead(self._show, self._ask_for_slate, self._writes)
        reader = self._reader = Reader(self._clock, Slates(locks.directory))
        self._open = _Open(
            loop,
            Writer(
                self._path,
                journal,
                follower,
                checkpointer,
                self._commits,
                self._deliver,
                self._ahead,
            ),
            Worker("fairlead-reader", self._path, reading, reader.rest),
            locks,
        )
        self._follow()

    def _connect(self, locks: Locks) -> tuple[Journal, Follower, apsw.Connection]:
        """Open the file; blocks."""
        with in_our_words(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            writing = connect(self._path, self.durability)
            try:
                slates = Slates(locks.directory)
                journal = Journal(writing, locks, slates, self._clock, self._entropy)
                journal.open()
                follower = Follower(writing, journal.number, self._hot)
                follower.start()
                return journal, follower, connect(self._path, self.durability)
            except BaseException:
                locks.free_all()
                writing.close()
                raise

    async def close(self) -> None:
        state, self._open = self._open, None
        if state is None:
            return
        await state.worker.close()
        self._reader.rest()
        await state.writer.close()
        await state.loop.run_in_executor(None, state.locks.free_all)
        self._hot.clear()

    def _state(self) -> _Open:
        if self._open is None:
            raise store_closed()
        return self._open

    # -- owners

    async def join(self, owner: str, ttl: float) -> None:
        await self._state().writer.run(partial(commands.join, owner=owner, ttl=ttl))

    async def leave(self, owner: str) -> None:
        await self._state().writer.run(partial(commands.leave, owner=owner), ALL)

    async def abandoned(self, limit: int = 100) -> list[str]:
        return await self._state().writer.run(partial(commands.abandoned, limit=limit))

    async def leases(self, limit: int = 100, but: str = "") -> Leases:
        state = self._state()
        return await state.worker.run(partial(self._reader.leases, limit=limit, but=but))

    # -- writing

    async def create(
        self, spec: StreamSpec, *, writer: str | None = None, records: Sequence[bytes] = ()
    ) -> Created | Exists | Conflict:
        check_creation(writer, records)
        return await self._state().writer.run(
            partial(commands.create, spec=spec, writer=writer, records=records)
        )

    async def acquire(self, id: str, owner: str) -> Acquired | Held:
        return await self._state().writer.run(partial(commands.acquire, id=id, owner=owner), id)

    async def release(self, id: str, epoch: Epoch) -> None:
        await self._state().writer.run(partial(commands.release, id=id, epoch=epoch), id)

    def append(
        self, id: str, epoch: Epoch, at: int, records: Sequence[bytes], *, close: bool = False
    ) -> asyncio.Future[AppendOutcome]:
        promise = Promise()
        self.submit(id, epoch, at, records, close, promise.told)
        return promise

    def submit(
        self,
        id: str,
        epoch: Epoch,
        at: int,
        records: Sequence[bytes],
        close: bool,
        told: Callable[[AppendOutcome | Exception], None],
    ) -> None:
        state = self._open
        if state is None:
            asyncio.get_running_loop().call_soon(told, store_closed())
            return
        # Joining also refuses what is not bytes, here, where the mistake was made.
        state.writer.append((id, epoch, at, records, close, told, len(b"".join(records))))

    def _show(self, turn: list[Append]) -> None:
        """After appends were noted on a slate: as after a commit."""
        for id, _, at, records, _, _, _ in turn:
            self._hot.extend(id, None, at, list(records))
        for _, _, at, records, _, tell, _ in turn:
            tell(Appended(at + len(records)))
        self._wakes.wake(dict.fromkeys([item[0] for item in turn]))

    def _ask_for_slate(self) -> asyncio.Future[None] | None:
        return None if self._open is None else self._open.writer.run(Journal.new_slate)

    def _deliver(self, settled: Settled, told: Told, news: News, done: list[str]) -> None:
        """After a commit: readers can see it, writers know of it, watchers are woken."""
        hot = self._hot
        for id in news.written:
            hot.keep(id, writing=True)
        for id, head, at, records in news.records:
            hot.extend(id, head, at, records)
        for id in news.left:
            hot.stop_writing(id)
        for id in hot.ids() if news.anything else news.gone:
            hot.forget(id)
        if self._ahead is not None:
            self._follow_up(self._ahead, news, done)
        settle(settled)
        for tell, outcome in told:
            tell(outcome)
        if news.anything:
            self._wakes.wake_all()
        else:
            self._wakes.wake([item[0] for item in news.records])
            self._wakes.wake(news.gone)
        for id in (*news.left, *news.gone):
            if id not in self._wakes:
                hot.drop(id)
        for owner, id, name in news.signals:
            self._signals.send(owner, id, name)

    def _follow_up(self, ahead: Ahead, news: News, done: list[str]) -> None:
        """What may be shown ahead of the database after a commit."""
        for id in (*news.left, *(self._hot.ids() if news.anything else news.gone)):
            ahead.drop(id)
        ahead.done(done)
        for slate in news.slates:
            ahead.come(slate)
        for id, num, epoch, tail in news.ready:
            if self._hot.knows(id):
                ahead.ready(id, num, epoch, tail)

    # -- reading

    async def info(self, id: str) -> StreamInfo:
        state = self._state()
        return await state.worker.run(partial(self._reader.info, id=id))

    async def read(self, id: str, offset: int, max_bytes: int) -> Batch:
        state = self._state()
        return await state.worker.run(
            partial(self._reader.read, id=id, offset=offset, max_bytes=max_bytes)
        )

    def recent(self, id: str, offset: int, max_bytes: int) -> Batch | None:
        return self._hot.batch(id, offset, max_bytes)

    def watch(self, id: str, wake: Callable[[], None]) -> Subscription:
        self._hot.keep(id, writing=False)
        watch = self._wakes.add(id, wake)
        self._follow()
        return watch

    def _unwatched(self, id: str) -> None:
        """The last watcher of a stream has gone."""
        if not self._hot.is_written(id):
            self._hot.drop(id)
        self._follow()

    def _follow(self) -> None:
        """Other processes' commits matter while somebody watches or listens here."""
        if self._open is not None:
            self._open.writer.follow(bool(self._wakes) or bool(self._signals))

    # -- signals, presence, meta

    async def signal(self, id: str, name: str) -> None:
        await self._state().writer.run(partial(commands.signal, id=id, name=name))

    def on_signal(self, owner: str, call: Callable[[str, str], None]) -> Subscription:
        subscription = self._signals.add(owner, call)
        self._follow()
        return subscription

    async def present(self, ids: Sequence[str], watcher: str, ttl: float) -> None:
        await self._state().writer.run(partial(commands.present, ids=ids, watcher=watcher, ttl=ttl))

    async def watchers(self, id: str) -> int:
        state = self._state()
        return await state.worker.run(partial(self._reader.watchers, id=id))

    async def set_meta(self, id: str, version: int, meta: bytes) -> int | None:
        return await self._state().writer.run(
            partial(commands.set_meta, id=id, version=version, meta=meta)
        )

    async def touch(self, id: str) -> None:
        await self._state().writer.run(partial(commands.touch, id=id))

    # -- upkeep

    async def page(self, owner: str | None, cursor: str | None = None, limit: int = 50) -> Page:
        state = self._state()
        return await state.worker.run(
            partial(self._reader.page, owner=owner, cursor=cursor, limit=limit)
        )

    async def delete(self, id: str) -> None:
        await self._state().writer.run(partial(commands.delete, id=id), id)

    async def expire(self, retention: Retention) -> int:
        writer = self._state().writer
        count = 0
        # In small transactions, so that appends need not wait for long.
        while gone := await writer.run(partial(commands.expire, retention=retention)):
            count += gone
        count += await writer.run(partial(commands.trim, retention=retention))
        await writer.run(commands.clean)
        while await writer.run(partial(commands.give_back, pages=_VACUUM_PAGES)):
            pass
        return count

    def commits(self) -> Commits | None:
        return self._commits + self._writes

    async def size(self) -> StoreSize:
        state = self._state()
        return await state.worker.run(self._reader.size)
