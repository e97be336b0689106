"""Streams in memory: quick, and gone with the process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice

from fairlead.journal import log
from fairlead.journal.log import Accepted, Head
from fairlead.journal.position import Epoch
from fairlead.journal.retention import Retention, expired, keep_from
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
    Lease,
    Leases,
    Page,
    StoreSize,
    StreamInfo,
    StreamSpec,
    Subscription,
)
from fairlead.primitives import sortable
from fairlead.stores.common import (
    Promise,
    bounded,
    check_creation,
    epoch_suffix,
    not_joined,
    parse_cursor,
    same_content,
    store_closed,
    unknown_stream,
)
from fairlead.stores.subscriptions import SignalHub, Wakes

_Append = tuple[str, Epoch, int, Sequence[bytes], bool, Callable[[AppendOutcome | Exception], None]]

#: Records that retention trims together.
_STRETCH = 256


class _Stream:
    """One stream. ``head.tail`` is always ``head.first + len(records)``."""

    __slots__ = (
        "bytes",
        "created",
        "head",
        "meta",
        "meta_version",
        "number",
        "presence",
        "records",
        "signal",
        "spec",
        "touched",
        "writer",
    )

    def __init__(self, spec: StreamSpec, number: int, now: float) -> None:
        self.spec = spec
        self.number = number
        self.head = Head()
        self.records: list[bytes] = []
        self.bytes = 0
        self.created = self.touched = now
        self.meta = spec.meta
        self.meta_version = 1
        self.signal = ""
        self.writer = ""
        self.presence: dict[str, float] = {}

    def info(self) -> StreamInfo:
        return StreamInfo(
            spec=self.spec,
            head=self.head,
            created=self.created,
            touched=self.touched,
            meta=self.meta,
            meta_version=self.meta_version,
            signal=self.signal,
        )


class MemoryStore:
    """A :class:`~fairlead.ports.store.Store` for one process: what it holds dies with it.

    Everything appended in one turn of the event loop is one commit.
    """

    durability = Durability.MEMORY

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: dict[str, _Stream] = {}
        self._deleted: set[str] = set()
        self._numbers = 0
        self._owners: dict[str, float] = {}
        self._queue: list[_Append] = []
        self._wakes = Wakes()
        self._signals = SignalHub()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        if self._loop is not None:
            self._commit()
            self._owners.clear()
            for stream in self._streams.values():
                stream.writer = ""
            self._loop = None

    def _stream(self, id: str) -> _Stream:
        self._settle()
        stream = self._streams.get(id)
        if stream is None:
            raise unknown_stream(id)
        return stream

    def _settle(self) -> None:
        """Commit what was accepted before, so that the next step comes after it."""
        if self._loop is None:
            raise store_closed()
        if self._queue:
            self._commit()

    # -- owners

    async def join(self, owner: str, ttl: float) -> None:
        self._settle()
        self._owners[owner] = self._clock() + ttl

    async def leave(self, owner: str) -> None:
        self._settle()
        self._owners.pop(owner, None)
        for stream in self._streams.values():
            if stream.writer == owner:
                stream.writer = ""

    def _alive(self, owner: str) -> bool:
        return self._owners.get(owner, 0.0) > self._clock()

    async def abandoned(self, limit: int = 100) -> list[str]:
        self._settle()
        found: list[str] = []
        for id, stream in self._streams.items():
            if len(found) == limit:
                break
            if stream.head.terms and not stream.head.closed and not self._alive(stream.writer):
                found.append(id)
        return found

    async def leases(self, limit: int = 100, but: str = "") -> Leases:
        self._settle()
        owners = sorted(owner for owner in self._owners if self._alive(owner))
        held = (
            Lease(writer=each.writer, spec=each.spec, meta=each.meta, created=each.created)
            for each in reversed(self._streams.values())
            if not each.head.closed and each.writer != but and each.writer in owners
        )
        return Leases(tuple(owners), tuple(islice(held, limit)))

    # -- writing

    async def create(
        self, spec: StreamSpec, *, writer: str | None = None, records: Sequence[bytes] = ()
    ) -> Created | Exists | Conflict:
        check_creation(writer, records)
        self._settle()
        if spec.id in self._deleted:
            return Conflict(None)
        there = self._streams.get(spec.id)
        if there is not None:
            same = same_content(spec, there.spec)
            return Exists(there.info()) if same else Conflict(there.info())
        if writer is not None and not self._alive(writer):
            raise not_joined(writer)
        self._numbers += 1
        stream = _Stream(spec, self._numbers, self._clock())
        epoch: Epoch | None = None
        if writer is not None:
            head, epoch = log.acquire(stream.head, epoch_suffix(self._entropy))
            stream.writer = writer
            stream.records = list(records)
            stream.bytes = sum(map(len, records))
            stream.head = Head(head.terms, 0, len(records))
        self._streams[spec.id] = stream
        self._wakes.wake((spec.id,))
        return Created(stream.info(), epoch)

    async def acquire(self, id: str, owner: str) -> Acquired | Held:
        stream = self._stream(id)
        if not self._alive(owner):
            raise not_joined(owner)
        if stream.writer != owner and self._alive(stream.writer):
            return Held(stream.writer)
        stream.head, epoch = log.acquire(stream.head, epoch_suffix(self._entropy))
        stream.writer = owner
        self._wakes.wake((id,))
        return Acquired(epoch, stream.head)

    async def release(self, id: str, epoch: Epoch) -> None:
        stream = self._stream(id)
        if stream.head.epoch == epoch:
            stream.writer = ""

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
        loop = self._loop
        if loop is None:
            asyncio.get_running_loop().call_soon(told, store_closed())
            return
        if not self._queue:
            loop.call_soon(self._commit)
        self._queue.append((id, epoch, at, records, close, told))

    def _commit(self) -> None:
        """Carry out what was accepted, tell its writers, wake its readers."""
        queue, self._queue = self._queue, []
        streams = self._streams
        now = self._clock()
        touched: dict[str, None] = {}
        for id, epoch, at, records, close, told in queue:
            stream = streams.get(id)
            if stream is None:
                told(unknown_stream(id))
                continue
            verdict = log.append(stream.head, epoch, at, len(records), close=close)
            if isinstance(verdict, Accepted):
                if verdict.skip:
                    records = records[verdict.skip :]
                stream.records += records
                stream.bytes += sum(map(len, records))
                stream.touched = now
                if verdict.head.closed and not stream.head.closed:
                    # The lease has served its purpose.
                    stream.writer = ""
                stream.head = verdict.head
                touched[id] = None
                outcome: AppendOutcome = Appended(at + len(records) + verdict.skip)
            else:
                outcome = verdict
            told(outcome)
        self._wakes.wake(touched)

    # -- reading

    async def info(self, id: str) -> StreamInfo:
        return self._stream(id).info()

    async def read(self, id: str, offset: int, max_bytes: int) -> Batch:
        return self._batch(self._stream(id), offset, max_bytes)

    def recent(self, id: str, offset: int, max_bytes: int) -> Batch | None:
        stream = self._streams.get(id)
        if stream is None or self._loop is None:
            return None
        return self._batch(stream, offset, max_bytes)

    def _batch(self, stream: _Stream, offset: int, max_bytes: int) -> Batch:
        head = stream.head
        if offset < head.first:
            offset = head.first
        records = stream.records[offset - head.first :]
        if stream.bytes > max_bytes:
            records = bounded(records, max_bytes)
        return Batch(head, offset, records)

    def watch(self, id: str, wake: Callable[[], None]) -> Subscription:
        return self._wakes.add(id, wake)

    # -- signals, presence, meta

    async def signal(self, id: str, name: str) -> None:
        stream = self._stream(id)
        stream.signal = name
        self._signals.send(stream.writer, id, name)

    def on_signal(self, owner: str, call: Callable[[str, str], None]) -> Subscription:
        return self._signals.add(owner, call)

    async def present(self, ids: Sequence[str], watcher: str, ttl: float) -> None:
        self._settle()
        until = self._clock() + ttl
        for id in ids:
            stream = self._streams.get(id)
            if stream is None:
                continue
            if ttl > 0:
                stream.presence[watcher] = until
            else:
                stream.presence.pop(watcher, None)

    async def watchers(self, id: str) -> int:
        presence = self._stream(id).presence
        now = self._clock()
        for watcher in [w for w, until in presence.items() if until <= now]:
            del presence[watcher]
        return len(presence)

    async def set_meta(self, id: str, version: int, meta: bytes) -> int | None:
        stream = self._stream(id)
        if stream.meta_version != version:
            return None
        stream.meta = meta
        stream.meta_version += 1
        return stream.meta_version

    async def touch(self, id: str) -> None:
        self._stream(id).touched = self._clock()

    # -- upkeep

    async def page(self, owner: str | None, cursor: str | None = None, limit: int = 50) -> Page:
        self._settle()
        before = parse_cursor(cursor)
        found: list[_Stream] = []
        for stream in reversed(self._streams.values()):
            if before is not None and stream.number >= before:
                continue
            if owner is None or stream.spec.owner == owner:
                if len(found) == limit:
                    return Page(tuple(s.info() for s in found), sortable(found[-1].number))
                found.append(stream)
        return Page(tuple(s.info() for s in found), None)

    async def delete(self, id: str) -> None:
        self._stream(id)
        del self._streams[id]
        self._deleted.add(id)
        self._wakes.wake((id,))

    async def expire(self, retention: Retention) -> int:
        self._settle()
        now = self._clock()
        changed: list[str] = []
        for id, stream in list(self._streams.items()):
            if expired(retention, closed=stream.head.closed, touched=stream.touched, now=now):
                del self._streams[id]
                changed.append(id)
            elif self._trim(stream, retention):
                changed.append(id)
        self._wakes.wake(changed)
        return len(changed)

    def _trim(self, stream: _Stream, retention: Retention) -> bool:
        head = stream.head
        runs = [
            (head.first + i, sum(map(len, stream.records[i : i + _STRETCH])))
            for i in range(0, len(stream.records), _STRETCH)
        ]
        first = keep_from(retention, head, runs)
        if first <= head.first:
            return False
        gone = first - head.first
        stream.bytes -= sum(map(len, stream.records[:gone]))
        del stream.records[:gone]
        stream.head = log.trim(head, first)
        return True

    def commits(self) -> Commits | None:
        return None

    async def size(self) -> StoreSize:
        self._settle()
        streams = self._streams.values()
        return StoreSize(
            streams=len(streams),
            records=sum(len(s.records) for s in streams),
            record_bytes=sum(s.bytes for s in streams),
            disk_bytes=0,
        )
