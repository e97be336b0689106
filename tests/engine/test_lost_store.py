"""A store that fails in the middle of an answer: nothing is shown that is not stored, and the
answer ends in words as soon as the store is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from fairlead.engine import writer
from fairlead.errors import StoreUnavailable
from fairlead.journal.position import Epoch
from fairlead.ports.store import AppendOutcome
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, Bench, make_engine


class FlakyStore(MemoryStore):
    """Refuses appends while ``broken``; with ``takes`` it takes them all the same."""

    broken = False
    takes = False
    refused: asyncio.Semaphore

    def submit(
        self,
        id: str,
        epoch: Epoch,
        at: int,
        records: Sequence[bytes],
        close: bool,
        told: Callable[[AppendOutcome | Exception], None],
    ) -> None:
        if not self.broken:
            super().submit(id, epoch, at, records, close, told)
            return
        self.refused.release()
        if self.takes:
            super().submit(id, epoch, at, records, close, lambda _: None)
        loop = asyncio.get_running_loop()
        loop.call_soon(told, StoreUnavailable("the disk is full"))


@pytest.fixture
async def flaky(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[tuple[Bench, FlakyStore], None]:
    monkeypatch.setattr(writer, "_PAUSE", 0.0001)
    store, conversations, provider = FlakyStore(), MemoryConversations(), ScriptedProvider()
    store.refused = asyncio.Semaphore(0)
    await store.open()
    engine = make_engine(store, conversations, provider)
    await engine.open()
    yield Bench(engine, provider), store
    store.broken = False
    await engine.close()
    await store.close()


@pytest.mark.parametrize("takes", [False, True])
async def test_a_store_that_comes_back_loses_and_repeats_nothing(
    flaky: tuple[Bench, FlakyStore], takes: bool
) -> None:
    bench, store = flaky
    stream = await bench.ask()
    reading = await (await bench.read(stream)).until(lambda r: r.names() == ["thinking"])
    store.broken, store.takes = True, takes
    bench.provider.say("one ", "two ")
    await store.refused.acquire()
    await store.refused.acquire()
    bench.provider.say("three")
    bench.provider.finish()
    store.broken = False
    await reading.to_end()
    assert reading.text == "one two three"
    assert reading.events[-1] == ("done", {"status": "completed"})


async def test_an_answer_that_cannot_be_stored_ends_as_soon_as_the_store_is_back(
    flaky: tuple[Bench, FlakyStore],
) -> None:
    bench, store = flaky
    stream = await bench.ask()
    bench.provider.say("stored")
    reading = await (await bench.read(stream)).until(lambda r: r.text == "stored")
    store.broken = True
    bench.provider.say(" never stored")
    await bench.provider.wait_closed()
    await bench.engine.wait_idle()
    assert reading.text == "stored"
    store.broken = False
    await bench.engine._upkeep.recover()
    await reading.to_end()
    assert reading.text == "stored"
    assert reading.events[-1][1]["code"] == "store_unavailable"
    assert reading.events[-1][1]["error"] == "the disk is full"
    snapshot = await bench.engine.read(ALICE, stream)
    _, messages = await bench.engine.dialogues.read(ALICE, snapshot.meta.conversation)
    assert (messages[-1].text, messages[-1].status) == ("stored", "failed")


async def test_a_writer_that_is_fenced_ends_without_a_word(
    flaky: tuple[Bench, FlakyStore],
) -> None:
    bench, store = flaky
    stream = await bench.ask()
    bench.provider.say("mine")
    await (await bench.read(stream)).until(lambda r: r.text == "mine")
    await store.acquire(stream, bench.engine.node)
    bench.provider.say(" no more")
    await bench.provider.wait_closed()
    await bench.engine.wait_idle()
    info = await store.info(stream)
    assert not info.head.closed, "the new writer, whoever it is, has the stream"
