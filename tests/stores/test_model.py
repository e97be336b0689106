"""Two stores over the same streams, used in any order, agree with the rules applied to a list."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from fairlead.errors import NotFound
from fairlead.journal import log
from fairlead.journal.log import Accepted, Closed, Fenced, Gap, Head
from fairlead.journal.position import Epoch
from fairlead.journal.retention import Retention
from fairlead.ports.store import Acquired, Appended, Conflict, Created, Exists, Held, Store
from fairlead.stores.sqlite import journal
from fairlead.testing.clock import Clock
from tests.stores.conftest import everything, memory, process, spec

IDS = ("a", "b", "c")
ids = st.sampled_from(IDS)
sides = st.sampled_from((0, 1))
LEASE = 60.0


class Stream:
    """What the rules make of what was done to a stream."""

    def __init__(self) -> None:
        self.head = Head()
        self.records: list[bytes] = []  # from offset 0, though it may be trimmed
        self.epochs: list[Epoch] = []
        self.holder: int | None = None  # whose lease it is, if nobody's time is over
        self.deleted = False


class Machine(RuleBasedStateMachine):
    """Both sides are the same store where there can be only one."""

    two: bool

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.directory = Path(tempfile.mkdtemp(prefix="fairlead-"))
        make = process if self.two else memory
        self.stores: list[Store] = [make(self.directory, self.clock)]
        self.stores.append(make(self.directory, self.clock) if self.two else self.stores[0])
        self.until = [0.0, 0.0]
        self.streams: dict[str, Stream] = {}
        self.words = 0
        for side in (0, 1):
            self.runner.run(self.stores[side].open())

    def teardown(self) -> None:
        for store in self.stores:
            self.runner.run(store.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def records(self, count: int) -> list[bytes]:
        self.words += count
        return [b"%d" % word for word in range(self.words - count, self.words)]

    def alive(self, side: int | None) -> bool:
        return side is not None and self.until[side] > self.clock()

    def owner(self, side: int) -> str:
        return f"owner {side}"

    @rule(side=sides)
    def join(self, side: int) -> None:
        self.runner.run(self.stores[side].join(self.owner(side), LEASE))
        self.until[side] = self.clock() + LEASE

    @rule(seconds=st.sampled_from((1.0, 30.0, 61.0)))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(id=ids, side=sides, count=st.integers(0, 3))
    def create(self, id: str, side: int, count: int) -> None:
        self.join(side)
        records = self.records(count)
        outcome = self.runner.run(
            self.stores[side].create(spec(id), writer=self.owner(side), records=records)
        )
        stream = self.streams.get(id)
        if stream is None:
            assert isinstance(outcome, Created)
            assert outcome.epoch is not None
            stream = self.streams[id] = Stream()
            stream.head = outcome.info.head
            stream.records = records
            stream.epochs.append(outcome.epoch)
            stream.holder = side
            assert (stream.head.epoch, stream.head.tail) == (outcome.epoch, count)
        elif stream.deleted:
            assert outcome == Conflict(None)
        else:
            assert isinstance(outcome, Exists)
            assert outcome.info.head == stream.head

    @rule(id=ids, side=sides)
    def acquire(self, id: str, side: int) -> None:
        self.join(side)
        stream = self.streams.get(id)
        try:
            outcome = self.runner.run(self.stores[side].acquire(id, self.owner(side)))
        except NotFound:
            assert stream is None or stream.deleted
            return
        assert stream is not None
        if stream.holder not in (None, side) and self.alive(stream.holder):
            assert outcome == Held(self.owner(1 - side))
            return
        assert isinstance(outcome, Acquired)
        expected, epoch = log.acquire(stream.head, outcome.epoch.suffix)
        assert (outcome.head, outcome.epoch) == (expected, epoch)
        stream.head = expected
        stream.epochs.append(epoch)
        stream.holder = side

    @rule(id=ids, side=sides)
    def release(self, id: str, side: int) -> None:
        stream = self.streams.get(id)
        if stream is not None and not stream.deleted:
            self.runner.run(self.stores[side].release(id, stream.epochs[-1]))
            stream.holder = None

    @rule(
        id=ids,
        side=sides,
        appends=st.lists(
            st.tuples(
                st.sampled_from((0, 0, 0, 0, 1)),  # how old an epoch
                st.sampled_from((0, 0, 0, 0, -2, -1, 1)),  # how far from the tail
                st.integers(0, 4),
                st.integers(0, 30).map(lambda n: n == 17),
            ),
            min_size=1,
            max_size=5,
        ),
    )
    def append(self, id: str, side: int, appends: list[tuple[int, int, int, bool]]) -> None:
        """Several at once, so that they share a commit."""
        stream = self.streams.get(id)
        if stream is None:
            return
        expected: list[object] = []
        calls: list[tuple[Epoch, int, list[bytes], bool]] = []
        head, kept = stream.head, list(stream.records)
        for age, distance, count, close in appends:
            epoch = stream.epochs[max(0, len(stream.epochs) - 1 - age)]
            at = max(0, head.tail + distance)
            # What is said again is said as before.
            records = kept[at : at + count]
            records += self.records(count - len(records))
            verdict = log.append(head, epoch, at, count, close=close)
            if isinstance(verdict, Accepted):
                kept += records[verdict.skip :]
                head = verdict.head
                expected.append(Appended(at + count))
            else:
                assert isinstance(verdict, Fenced | Gap | Closed)
                expected.append(verdict)
            calls.append((epoch, at, records, close))

        async def run() -> list[object]:
            store = self.stores[side]
            futures = [
                store.append(id, epoch, at, records, close=close)
                for epoch, at, records, close in calls
            ]
            return list(await asyncio.gather(*futures, return_exceptions=True))

        outcomes = self.runner.run(run())
        if stream.deleted:
            assert all(isinstance(outcome, NotFound) for outcome in outcomes)
        else:
            assert outcomes == expected
            if head.closed and not stream.head.closed:
                stream.holder = None
            stream.head, stream.records = head, kept

    @rule(id=ids, side=sides, offset=st.integers(0, 30), max_bytes=st.sampled_from((1, 5, 1000)))
    def read(self, id: str, side: int, offset: int, max_bytes: int) -> None:
        stream = self.streams.get(id)
        try:
            batch = self.runner.run(self.stores[side].read(id, offset, max_bytes))
        except NotFound:
            assert stream is None or stream.deleted
            return
        assert stream is not None
        assert batch.head == stream.head
        assert batch.offset == max(offset, stream.head.first)
        records = list(batch.records)
        assert records == stream.records[batch.offset : batch.offset + len(records)]
        assert records or batch.offset >= stream.head.tail
        assert len(records) <= 1 or sum(map(len, records)) <= max_bytes
        assert self.runner.run(self.stores[side].info(id)).head == stream.head

    @rule(id=ids, side=sides)
    def recent(self, id: str, side: int) -> None:
        """What is in memory may be behind, and is never wrong."""
        stream = self.streams.get(id)
        if stream is None:
            return

        async def look() -> None:
            store = self.stores[side]
            subscription = store.watch(id, lambda: None)
            for offset in range(len(stream.records) + 1):
                batch = store.recent(id, offset, 20)
                if batch is not None and not stream.deleted:
                    records = list(batch.records)
                    assert records == stream.records[offset : offset + len(records)]
                    assert batch.head.terms == stream.head.terms[: len(batch.head.terms)]
                    assert records or offset >= batch.head.tail
            if offset % 2:
                subscription.cancel()

        self.runner.run(look())

    @rule(id=ids, side=sides, luck=st.integers(0, 5))
    def delete(self, id: str, side: int, luck: int) -> None:
        stream = self.streams.get(id)
        if stream is not None and not stream.deleted and luck == 3:
            self.runner.run(self.stores[side].delete(id))
            stream.deleted = True

    @rule(side=sides, max_bytes=st.integers(1, 40))
    def trim(self, side: int, max_bytes: int) -> None:
        retention = Retention(max_age=None, max_bytes=max_bytes)
        self.runner.run(self.stores[side].expire(retention))
        for id, stream in self.streams.items():
            if not stream.deleted:
                # By how much is the store's to choose; what is left is looked at here.
                head = self.runner.run(self.stores[1 - side].info(id)).head
                assert head.first >= stream.head.first
                stream.head = log.trim(stream.head, head.first)
                assert head == stream.head
                assert (
                    self.runner.run(everything(self.stores[side], id))
                    == (stream.records[head.first :])
                )

    @rule(side=sides)
    def restart(self, side: int) -> None:
        """Closing gives up the leases; everything else is as before."""
        if self.two:
            self.runner.run(self.stores[side].close())
            self.runner.run(self.stores[side].open())
            self.until[side] = 0.0
            for stream in self.streams.values():
                if stream.holder == side:
                    stream.holder = None


class OneMemory(Machine):
    two = False


class TwoFiles(Machine):
    two = True


@pytest.mark.parametrize(
    ("machine", "fold_after"), [(OneMemory, 1.0), (TwoFiles, 1.0), (TwoFiles, 0.0)]
)
def test_any_order_of_use(
    machine: type[Machine], fold_after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FOLD_AFTER", fold_after)
    monkeypatch.setattr(journal, "PACK_AFTER", 2)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100 if machine is OneMemory else 50, stateful_step_count=40, deadline=None
        ),
    )
