"""The provider is asked while its stream is being created, and for nothing that could be somebody
else's to ask, or has no place to be kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from fairlead.engine.accounts import Accounts
from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.engine.limits import Limits
from fairlead.engine.metering import Metering
from fairlead.engine.models import Model, Models
from fairlead.errors import NotFound, StoreUnavailable
from fairlead.policy.admission import Room
from fairlead.policy.budgets import Budget, Budgets
from fairlead.ports.store import Conflict, Created, Exists, StreamSpec
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.stores.memory_counters import MemoryCounters
from fairlead.stores.sqlite.store import SqliteStore
from fairlead.testing.clock import Clock
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, Bench, make_engine


class Slow(MemoryStore):
    """Creates streams when the test lets it, if it is not ``broken``."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.asked = asyncio.Semaphore(0)
        self.let = asyncio.Semaphore(0)

    async def create(
        self, spec: StreamSpec, *, writer: str | None = None, records: Sequence[bytes] = ()
    ) -> Created | Exists | Conflict:
        self.asked.release()
        await self.let.acquire()
        if self.broken:
            raise StoreUnavailable("the disk is full")
        return await super().create(spec, writer=writer, records=records)


class Ahead(Bench):
    """An engine with a store that takes its time, a budget, and room for one answer."""

    def __init__(self) -> None:
        self.store = Slow()
        self.clock = Clock()
        self.metering = Metering(
            Accounts(
                budgets=Budgets([Budget(name="day", limit=1000)]),
                counters=MemoryCounters(self.clock),
                clock=self.clock,
            )
        )
        provider = ScriptedProvider()
        engine = Engine(
            store=self.store,
            conversations=MemoryConversations(),
            models=Models([Model("scripted", provider)]),
            knowledge=None,
            secret=b"a secret of the deployment",
            limits=Limits(room=Room(running=1, waiting=0)),
            metering=self.metering,
            clock=self.clock,
        )
        super().__init__(engine, provider)

    async def taken(self) -> int:
        [(_, standing)] = await self.engine.budgets(ALICE)
        return standing.taken


@pytest.fixture
async def bench() -> AsyncIterator[Ahead]:
    bench = Ahead()
    await bench.store.open()
    await bench.engine.open()
    yield bench
    await bench.engine.close()
    await bench.store.close()


async def test_the_provider_answers_while_the_stream_is_being_created(bench: Ahead) -> None:
    asking = asyncio.create_task(bench.ask())
    request = await bench.provider.wait_started()
    bench.provider.say("at once")
    bench.provider.finish()
    await bench.store.asked.acquire()
    # Nobody sees it before it is kept.
    with pytest.raises(NotFound):
        await bench.read(request.stream)
    bench.store.let.release()
    assert await asking == request.stream
    reading = await (await bench.read(request.stream)).to_end()
    assert reading.names() == ["thinking", "token", "done"]
    assert reading.text == "at once"


async def test_for_an_idempotency_key_it_waits_for_the_stream(bench: Ahead) -> None:
    ask = Ask(message="Why?")
    first = asyncio.create_task(bench.engine.start(ALICE, ask, "key"))
    await bench.store.asked.acquire()
    assert bench.provider.requests == []
    bench.store.let.release()
    begun = await first
    assert (await bench.provider.wait_started()).stream == begun.stream
    again = await bench.engine.start(ALICE, ask, "key")
    assert (again.stream, again.created) == (begun.stream, False)
    assert len(bench.provider.requests) == 1


async def test_what_cannot_be_created_ends_and_leaves_nothing(bench: Ahead) -> None:
    bench.store.broken = True
    asking = asyncio.create_task(bench.ask())
    request = await bench.provider.wait_started()
    bench.provider.say("in vain")
    assert await bench.taken() > 0
    bench.store.let.release()
    with pytest.raises(StoreUnavailable):
        await asking
    assert bench.provider.closed == 1
    assert bench.engine.running == 0
    assert await bench.taken() == 0
    with pytest.raises(NotFound):
        await bench.read(request.stream)

    # The room is free again. A store that has failed must show first that it keeps streams.
    bench.store.broken = False
    for ahead in (False, True):
        asked = len(bench.provider.requests)
        await bench.store.asked.acquire()
        asking = asyncio.create_task(bench.ask())
        await bench.store.asked.acquire()
        bench.store.asked.release()
        assert (len(bench.provider.requests) > asked) is ahead
        bench.store.let.release()
        stream = await asking
        await bench.provider.wait_started(asked + 1)
        await bench.engine.stop(ALICE, stream)


async def test_whoever_leaves_while_it_is_created_leaves_nothing_running(bench: Ahead) -> None:
    asking = asyncio.create_task(bench.ask())
    await bench.provider.wait_started()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert bench.provider.closed == 1
    assert bench.engine.running == 0
    assert await bench.taken() == 0


class Read(SqliteStore):
    """Counts what is read from its file."""

    reads = 0

    async def read(self, id: str, offset: int, max_bytes: int):  # type: ignore[no-untyped-def]
        self.reads += 1
        return await super().read(id, offset, max_bytes)


async def test_an_answers_beginning_is_waited_for_without_reading_the_file(tmp_path: Path) -> None:
    store, provider = Read(tmp_path / "journal.db"), ScriptedProvider()
    await store.open()
    engine = make_engine(store, MemoryConversations(), provider)
    await engine.open()
    bench = Bench(engine, provider)
    stream = await bench.ask()
    waiting = asyncio.create_task(engine.begun(stream, 60))
    await provider.wait_started()
    provider.say("here")
    assert await waiting is None
    assert store.reads == 0
    await engine.close()
    await store.close()
