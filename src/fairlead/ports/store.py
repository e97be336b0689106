"""The port of a stream store: what the engine asks of whatever keeps streams. Bytes only.

One shared contract suite (``tests/stores``) runs over every implementation. Nothing above a store
may assume that there is only one process: another node may write, read, stop or watch any stream.

**Owners and leases.** A process that writes is an *owner*, a random name. An owner joins with a
time to live and renews it; all its leases live exactly as long as it does (by the store's clock).
A store that can tell sooner that an owner is dead (a lock that the system frees) may do so.

**Futures and callbacks** belong to the event loop on which the store was opened.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import accumulate
from typing import Protocol

import msgspec

from fairlead.journal.log import Closed, Fenced, Gap, Head
from fairlead.journal.position import Epoch
from fairlead.journal.retention import Retention


class Durability(StrEnum):
    """What a record survives once readers may see it."""

    MEMORY = "memory"  # nothing: it lives in the process
    PROCESS = "process"  # the death of the process
    POWER = "power"  # the loss of power


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is created with. ``fingerprint`` identifies the content of the request: the
    same id with another fingerprint is a conflict. ``meta`` is the engine's, opaque to the store;
    it can be replaced later (see :meth:`Store.set_meta`), the rest never changes."""

    id: str
    owner: str  # the consumer whose stream it is
    content_type: str
    fingerprint: bytes = b""
    meta: bytes = b""


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A stream without its records. ``created`` and ``touched`` in seconds since 1970 (UTC), by the
    store's clock. ``meta_version`` starts at 1 and rises with each change of ``meta``. ``signal``
    is the newest signal sent to it, or empty."""

    spec: StreamSpec
    head: Head
    created: float
    touched: float
    meta: bytes
    meta_version: int = 1
    signal: str = ""


class Created(msgspec.Struct, frozen=True):
    """The stream is new and ours; ``epoch`` is ours to write in, if a writer was named."""

    info: StreamInfo
    epoch: Epoch | None


class Exists(msgspec.Struct, frozen=True):
    """The stream was there, created from the same content."""

    info: StreamInfo


class Conflict(msgspec.Struct, frozen=True):
    """The stream was there, created from other content (or it was deleted: ``info`` is None)."""

    info: StreamInfo | None


class Acquired(msgspec.Struct, frozen=True):
    """The stream is ours to write in ``epoch``; ``head`` is the log as it now stands."""

    epoch: Epoch
    head: Head


class Held(msgspec.Struct, frozen=True):
    """A living owner holds the stream."""

    owner: str


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The records are durable, and ``tail`` is what follows them."""

    tail: int


AppendOutcome = Appended | Fenced | Gap | Closed


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Committed records from ``offset`` on, and the log's head at the moment of reading. It may be
    short of the tail (bounded by bytes); it is empty only at the tail."""

    head: Head
    offset: int
    records: Sequence[bytes]


class Page(msgspec.Struct, frozen=True):
    """A page of a listing, newest first; ``cursor`` asks for the next one, None at the end."""

    items: tuple[StreamInfo, ...]
    cursor: str | None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that ``writer``, a living owner, writes; the rest as in :class:`StreamInfo`."""

    writer: str
    spec: StreamSpec
    meta: bytes
    created: float


class Leases(msgspec.Struct, frozen=True):
    """The living ``owners``, and some of what they write, the newest first."""

    owners: tuple[str, ...]
    held: tuple[Lease, ...]


class StoreSize(msgspec.Struct, frozen=True):
    """How much a store holds. ``disk_bytes`` is 0 for one without a disk."""

    streams: int
    records: int
    record_bytes: int
    disk_bytes: int


#: Upper bounds of :attr:`Commits.counts`, in seconds.
COMMIT_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)


class Commits:
    """How long commits took, since the store was made. Written by one thread."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        #: How many took at most so long, each counted once; the last is for those beyond.
        self.counts = [0] * (len(COMMIT_BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """One took so long."""
        self.seconds += seconds
        self.counts[bisect_left(COMMIT_BOUNDS, seconds)] += 1

    def __add__(self, other: Commits) -> Commits:
        """Those of both."""
        both = Commits()
        both.seconds = self.seconds + other.seconds
        both.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        return both

    def cumulated(self) -> list[tuple[float, int]]:
        """How many took no longer than each bound, the last of which is infinity."""
        return list(zip((*COMMIT_BOUNDS, float("inf")), accumulate(self.counts), strict=True))


class Subscription(Protocol):
    """What ends a watch. Cancelling twice is fine."""

    def cancel(self) -> None: ...


class Store(Protocol):
    """Where streams live. Unless said otherwise the methods raise
    :class:`~fairlead.errors.NotFound` for an id that is unknown or deleted, and
    :class:`~fairlead.errors.StoreUnavailable` or :class:`~fairlead.errors.StoreCorrupt` when the
    store itself fails; after such a failure nothing half-done is visible."""

    @property
    def durability(self) -> Durability:
        """What a record survives once it is visible."""
        ...

    async def open(self) -> None:
        """Make ready for use on the running event loop."""
        ...

    async def close(self) -> None:
        """Commit what was accepted, leave (as :meth:`leave`), free everything. Idempotent."""
        ...

    # -- owners

    async def join(self, owner: str, ttl: float) -> None:
        """Become (or go on being) a living owner for ``ttl`` seconds."""
        ...

    async def leave(self, owner: str) -> None:
        """Give up every lease of ``owner`` at once."""
        ...

    async def abandoned(self, limit: int = 100) -> list[str]:
        """Ids of streams that are not closed, had a writer, and whose writer's lease is over."""
        ...

    async def leases(self, limit: int = 100, but: str = "") -> Leases:
        """Who lives, and the ``limit`` newest streams that are not closed and are held by one of
        them, other than ``but``."""
        ...

    # -- writing

    async def create(
        self, spec: StreamSpec, *, writer: str | None = None, records: Sequence[bytes] = ()
    ) -> Created | Exists | Conflict:
        """Create a stream, atomically over all processes: exactly one caller gets ``Created``.

        With ``writer`` (a joined owner) the stream is acquired and ``records`` are appended in the
        same commit, so that no moment exists in which a started stream has no writer.
        """
        ...

    async def acquire(self, id: str, owner: str) -> Acquired | Held:
        """Begin a new epoch for ``owner``, which must have joined. The owner's own earlier epoch of
        the stream, and one whose owner is dead, are superseded. A closed stream may be acquired."""
        ...

    async def release(self, id: str, epoch: Epoch) -> None:
        """Give up the lease, if ``epoch`` is still the newest; otherwise nothing."""
        ...

    def append(
        self, id: str, epoch: Epoch, at: int, records: Sequence[bytes], *, close: bool = False
    ) -> asyncio.Future[AppendOutcome]:
        """Append ``records`` at offset ``at``, closing the stream with the last one if asked
        (which ends the lease, too).

        Returns at once; appends to a stream are committed in the order of the calls. The future's
        outcome is known only when it is durable, and readers see the records no earlier. The call
        may be repeated as it was when the outcome is unknown. Rules:
        :func:`fairlead.journal.log.append`.
        """
        ...

    def submit(
        self,
        id: str,
        epoch: Epoch,
        at: int,
        records: Sequence[bytes],
        close: bool,
        told: Callable[[AppendOutcome | Exception], None],
    ) -> None:
        """As :meth:`append`, for those who append all the time: ``told`` is called with the outcome
        or the error, before readers are woken. It must be quick and may not raise."""
        ...

    # -- reading

    async def info(self, id: str) -> StreamInfo:
        """What is known of a stream."""
        ...

    async def read(self, id: str, offset: int, max_bytes: int) -> Batch:
        """Committed records from ``offset`` on, up to about ``max_bytes`` (at least one record if
        there is one). Never waits for records to come. Reading from before the first kept offset
        begins at that offset: compare ``Batch.offset``."""
        ...

    def recent(self, id: str, offset: int, max_bytes: int) -> Batch | None:
        """As :meth:`read`, at once and from memory, or None where that cannot be done. A stream is
        in memory only while it is watched here."""
        ...

    def watch(self, id: str, wake: Callable[[], None]) -> Subscription:
        """Call ``wake`` after each commit to the stream, by any process, once per commit and only
        when :meth:`recent` or :meth:`read` can see it. It may be called without reason; it never
        stays away. ``wake`` must be quick and may not raise. An unknown id is never woken."""
        ...

    # -- signals, presence, meta

    async def signal(self, id: str, name: str) -> None:
        """Leave a signal (such as ``stop``) for whoever writes the stream, on any node. It stays in
        :attr:`StreamInfo.signal` for a writer that comes later."""
        ...

    def on_signal(self, owner: str, call: Callable[[str, str], None]) -> Subscription:
        """Call with (id, name) for each signal to a stream whose lease ``owner`` holds."""
        ...

    async def present(self, ids: Sequence[str], watcher: str, ttl: float) -> None:
        """``watcher`` (a node) has readers on these streams, for ``ttl`` seconds from now.
        Unknown ids are passed over. ``ttl`` 0 takes the presence back."""
        ...

    async def watchers(self, id: str) -> int:
        """How many watchers are present on the stream."""
        ...

    async def set_meta(self, id: str, version: int, meta: bytes) -> int | None:
        """Replace the meta if its version is still ``version``; the new version, or None."""
        ...

    async def touch(self, id: str) -> None:
        """Count the stream as used now, for its retention."""
        ...

    # -- upkeep

    async def page(self, owner: str | None, cursor: str | None = None, limit: int = 50) -> Page:
        """The streams of a consumer (None: of everyone), newest first."""
        ...

    async def delete(self, id: str) -> None:
        """Remove the stream and its records; the id stays taken."""
        ...

    async def expire(self, retention: Retention) -> int:
        """Apply retention: remove closed streams past their age, trim the others. Returns how many
        streams were removed or trimmed."""
        ...

    def commits(self) -> Commits | None:
        """How long its commits take; None where they take no time worth telling."""
        ...

    async def size(self) -> StoreSize:
        """How much the store holds."""
        ...
