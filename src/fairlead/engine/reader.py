"""Readers: where catch-up and live meet.

A :class:`Live` is this node's view of one stream that has readers here. Each :class:`Reader` stands
at an offset and takes bytes from there: from the frames shared by all readers of the same wire when
it is at the live edge, from the store's memory a little behind it, from the store itself when far
behind. Nothing is ever queued for a reader: one that cannot keep up goes on from the log later.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic

from fairlead.engine.wire import Short, W, Wire, short
from fairlead.errors import FairleadError, HistoryGone
from fairlead.events.codec import decode, said
from fairlead.events.merge import merge, mergeable
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Done, Event, Unknown
from fairlead.journal.log import Head, position
from fairlead.journal.position import Writer as PositionWriter
from fairlead.policy.caller import Caller
from fairlead.ports.store import Batch, Store, StreamSpec, Subscription

#: Frames kept for readers of a live stream that are a moment behind.
_WINDOW = 32
#: A reader this many records behind is shown merged deltas, where its wire allows that.
_MERGE_FROM = 8
#: Bytes of records taken from the store at once.
READ_BYTES = 256 * 1024


class Live:
    """This node's view of one stream that has readers here."""

    # Here and below: with thousands of streams what an event touches is no longer in the
    # processor's cache, so that fewer and smaller objects are what makes it cheap.
    __slots__ = (
        "_position",
        "_subscription",
        "consumer",
        "head",
        "meta",
        "news",
        "readers",
        "shared",
        "store",
        "stream",
    )

    def __init__(self, store: Store, spec: StreamSpec, meta: GenerationMeta, head: Head) -> None:
        stream = spec.id
        self.store = store
        self.stream = stream
        #: Whose stream it is.
        self.consumer = spec.owner
        self.meta = meta
        self.head = head
        self.readers: set[Reader[Any]] = set()
        self.shared: dict[Hashable, SharedFrames] = {}
        #: How often the store has said that there is news: shared frames that have seen the same
        #: number need not ask it again.
        self.news = 0
        self._subscription: Subscription | None = None
        self._position: PositionWriter | None = None
        if not head.closed:
            self._subscription = store.watch(stream, self._wake)

    def close(self) -> None:
        """End the watch. The readers must be gone."""
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None

    def _wake(self) -> None:
        self.news += 1
        for reader in tuple(self.readers):
            reader.notify()

    def position(self, head: Head, offset: int) -> bytes:
        """The text of the position after ``offset`` records."""
        terms = head.terms
        if offset > terms[-1].first:
            # The newest epoch is nearly always meant; its writer keeps the text of the prefix.
            epoch = terms[-1].epoch
            kept = self._position
            if kept is None or (kept.epoch is not epoch and kept.epoch != epoch):
                kept = self._position = PositionWriter(epoch)
            return kept.text(offset)
        return str(position(head, offset)).encode()


class SharedFrames:
    """The frames of a stream's newest records, made once for all readers of one wire: those of the
    records from ``start`` to ``end``, where the wire's state is ``state``."""

    __slots__ = ("_news", "_short", "_wire", "end", "frames", "start", "state")

    def __init__(self, wire: Wire, start: int, state: Any) -> None:
        self._wire = wire
        self._short = short(wire)
        self.begin(start, state)

    def begin(self, start: int, state: Any) -> None:
        """Keep frames from ``start`` on only."""
        self._news = -1
        self.start = self.end = start
        self.state = state
        self.frames: list[bytes] = []

    def follow(self, live: Live) -> bool:
        """Make the frames of what is new. False: it is not at hand."""
        news = live.news
        if self._news == news and self.end >= live.head.tail:
            return True
        offset = self.end
        batch = live.store.recent(live.stream, offset, READ_BYTES)
        if batch is None or batch.offset != offset:
            return False
        head = live.head = batch.head
        state, frames = self.state, []
        for record in batch.records:
            offset += 1
            position = live.position(head, offset)
            state, frame = _step(self._wire, self._short, state, record, position)
            frames.append(frame)
        self.state = state
        self.end = offset
        # Who reads alone takes what is new at once; what it has taken nobody asks for again.
        if len(live.readers) > 1:
            frames = (self.frames + frames)[-_WINDOW:]
        self.frames = frames
        self.start = offset - len(frames)
        self._news = news
        return True


def _step(
    wire: Wire, short: Short, state: Any, record: bytes, position: bytes
) -> tuple[Any, bytes]:
    """The bytes of one record, and the state after it."""
    if text := said(record):
        made = short(state, text, position)
        if made is not None:
            return made
    return wire.step(state, decode(record), position)


class Reader(Generic[W]):
    """One reader of one stream.

    The transport sets ``notify`` (called when there may be something to take), takes bytes until
    there are none, calls :meth:`fill` when :attr:`cold`, and ends when :attr:`ended`.
    """

    __slots__ = (
        "_along",
        "_batch",
        "_behind",
        "_news",
        "_prefix",
        "_state",
        "admitted",
        "at_tail",
        "caller",
        "cold",
        "failure",
        "live",
        "notify",
        "offset",
        "wire",
    )

    def __init__(
        self,
        live: Live,
        wire: W,
        offset: int,
        caller: Caller,
        *,
        prefix: bytes = b"",
        state: Any = None,
    ) -> None:
        """``state``: of the wire after ``offset`` records, where it remembers them."""
        self.live = live
        self._news = -1
        self.wire = wire
        self.caller = caller
        #: In whose room it is; its caller may become another one.
        self.admitted = caller.consumer
        self.offset = offset
        self.cold = False
        #: Whether the last :meth:`take` has taken everything known to be written. What came while
        #: :meth:`fill` fetched is known of, though nobody may have seen it yet.
        self.at_tail = False
        self.failure: FairleadError | None = None
        self.notify: Callable[[], None] = _nothing
        self._state = wire.begin(offset) if state is None else state
        self._prefix = prefix
        self._batch: Batch | None = None
        self._behind = False
        #: The shared frames that it goes along with.
        self._along: SharedFrames | None = None

    @property
    def ended(self) -> bool:
        """Whether everything has been taken of a stream that is closed, or reading was ended."""
        if self.failure is not None:
            return True
        head = self.live.head
        return head.closed and self.offset >= head.tail and not self._prefix

    async def over(self) -> bool:
        """Whether nothing is left that it would be shown: it has :attr:`ended`, or all that is left
        is the end of another application's stream, which says its end itself."""
        head, meta = self.live.head, self.live.meta
        if self.ended or not (meta.relayed and head.closed and self.offset == head.tail - 1):
            return self.ended
        batch = await self.live.store.read(self.live.stream, self.offset, READ_BYTES)
        last = decode(batch.records[0]) if batch.records else None
        return isinstance(last, Done) and last.status == "completed"

    @property
    def keeps(self) -> bool:
        """Whether the wire keeps something back that :meth:`flush` would give."""
        return self.wire.keeps(self._state)

    def end(self, failure: FairleadError) -> None:
        """End reading from outside (authority gone, history gone); the transport learns it. Nothing
        more can be taken, though more may have been written."""
        self.failure = failure
        self.notify()

    def take(self, max_bytes: int) -> bytes:
        """The next bytes for the reader, about ``max_bytes`` at most; empty if there are none now,
        or if :meth:`fill` must fetch them (:attr:`cold`)."""
        live = self.live
        along = self._along
        if along is None or self.failure is not None:
            data = self._find(max_bytes)
        else:
            # Nearly always.
            self._news = live.news
            found = self._shared(along)
            data = self._find(max_bytes) if found is None else found
        self.at_tail = self.offset >= live.head.tail and self._news == live.news
        return data

    def _find(self, max_bytes: int) -> bytes:
        """As :meth:`take`, wherever the next bytes are."""
        self._along = None
        if self.failure is not None:
            self.cold = False
            return b""
        if self._prefix:
            prefix, self._prefix = self._prefix, b""
            return prefix
        if self._batch is not None:
            batch, self._batch = self._batch, None
            return self._alone(batch, max_bytes)
        self._news = self.live.news
        key = self.wire.key
        if key is not None:
            shared = self.live.shared.get(key)
            if shared is not None and not self._behind:
                data = self._shared(shared)
                if data is not None:
                    self._along = shared
                    return data
        recent = self.live.store.recent(self.live.stream, self.offset, READ_BYTES)
        if recent is None:
            self.cold = True
            return b""
        return self._alone(recent, max_bytes)

    async def fill(self) -> None:
        """Fetch records from the store for the next :meth:`take`."""
        news = self.live.news
        batch = await self.live.store.read(self.live.stream, self.offset, READ_BYTES)
        self.cold = False
        self._batch = batch
        self._along = None
        self._news = news

    def rest(self) -> None:
        """It cannot take more for now: keep nothing that the store has."""
        self._batch = None

    def flush(self) -> bytes:
        """What the wire has kept back."""
        self._state, data = self.wire.flush(self._state)
        return data

    def _shared(self, shared: SharedFrames) -> bytes | None:
        """Bytes from the shared frames; None where this reader must go on alone."""
        if self.offset < shared.start or not shared.follow(self.live):
            return None
        lag = shared.end - self.offset
        if lag == 0:
            return b""
        frames = shared.frames
        if lag < 0 or lag > len(frames):
            return None
        if lag > _MERGE_FROM and self.wire.mergeable:
            self._behind = True
            return None
        self.offset = shared.end
        # Its own state goes along, so that it can go on alone whenever it falls behind.
        self._state = shared.state
        return frames[-1] if lag == 1 else b"".join(frames[-lag:])

    def _alone(self, batch: Batch, max_bytes: int) -> bytes:
        live = self.live
        head = batch.head
        if batch.offset != self.offset:
            self.failure = HistoryGone("the records that come next were removed by retention")
            return b""
        if head.tail >= live.head.tail:
            live.head = head
        state, wire, offset = self._state, self.wire, batch.offset
        out: list[bytes] = []
        size = 0
        merging = wire.mergeable and len(batch.records) > _MERGE_FROM
        if merging:
            state, offset = self._merged(batch, state, out, max_bytes)
        else:
            quick = short(wire)
            for record in batch.records:
                offset += 1
                position = live.position(head, offset)
                state, data = _step(wire, quick, state, record, position)
                out.append(data)
                size += len(data)
                if size >= max_bytes:
                    break
        self._state = state
        self.offset = offset
        if offset >= head.tail:
            self._behind = False
            key = wire.key
            if key is not None:
                known = live.shared.get(key)
                if known is None:
                    live.shared[key] = SharedFrames(wire, offset, state)
                elif known.end < offset:
                    known.begin(offset, state)
        elif offset < batch.offset + len(batch.records):
            rest = batch.records[offset - batch.offset :]
            self._batch = Batch(head, offset, rest)
        return b"".join(out)

    def _merged(
        self, batch: Batch, state: Any, out: list[bytes], max_bytes: int
    ) -> tuple[Any, int]:
        """Fold with adjacent deltas joined, each run within one epoch, until ``max_bytes``."""
        wire, head, live = self.wire, batch.head, self.live
        borders = {term.first for term in head.terms}
        offset, size = batch.offset, 0
        run: list[Event | Unknown] = []
        chars = 0

        def close_run() -> None:
            nonlocal state, size, chars
            for event in merge(run):
                state, data = wire.step(state, event, live.position(head, offset))
                out.append(data)
                size += len(data)
            run.clear()
            chars = 0

        for record in batch.records:
            event = decode(record)
            if run and (offset in borders or chars > 16_000 or not mergeable(run[-1], event)):
                close_run()
                if size >= max_bytes:
                    return state, offset
            run.append(event)
            chars += len(record)
            offset += 1
        if run:
            close_run()
        return state, offset


def _nothing() -> None:
    pass
