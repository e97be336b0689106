"""The queue for room, as those see it who wait in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from fairlead.engine.ask import Ask
from fairlead.errors import Busy, TooMany
from fairlead.policy.admission import Room
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, BOB, Bench, make_engine


@pytest.fixture
async def narrow() -> AsyncGenerator[Bench, None]:
    """Room for one answer, and for two who wait, one of each consumer."""
    store, conversations, provider = MemoryStore(), MemoryConversations(), ScriptedProvider()
    await store.open()
    await conversations.open()
    engine = make_engine(
        store, conversations, provider, room=Room(running=1, waiting=2, waiting_each=1)
    )
    await engine.open()
    yield Bench(engine, provider)
    await engine.close()
    await conversations.close()
    await store.close()


async def test_who_waits_sees_its_place_then_the_work_begin(narrow: Bench) -> None:
    first = await narrow.ask("one")
    waiting = await narrow.read(await narrow.ask("two"))
    await waiting.until(lambda r: len(r.events) == 1)
    name, fields = waiting.events[0]
    assert (name, fields["status"], fields["position"]) == ("thinking", "queued", 1)
    await narrow.provider.wait_started(1)
    narrow.provider.finish()
    await (await narrow.read(first)).to_end()
    await narrow.provider.wait_started(2)
    narrow.provider.say("hello")
    narrow.provider.finish()
    await waiting.to_end()
    assert [fields.get("status") for _, fields in waiting.events[:2]] == ["queued", "writing"]
    assert "position" not in waiting.events[1][1]
    assert waiting.text == "hello"
    assert narrow.engine.turns.waiting == 0


async def test_who_moves_up_is_told(narrow: Bench) -> None:
    await narrow.ask("one")
    await narrow.ask("two", BOB)
    # Alice has had a turn and Bob has not, so that his comes before hers.
    last = await narrow.read(await narrow.ask("three"))
    await last.until(lambda r: r.events[-1:] != [] and r.events[-1][1].get("position") == 2)
    await narrow.provider.wait_started(1)
    narrow.provider.finish()
    await last.until(lambda r: r.events[-1][1].get("position") == 1)


async def test_beyond_the_queue_is_told_whose_fault_it_is(narrow: Bench) -> None:
    await narrow.ask("one")
    await narrow.ask("two")
    with pytest.raises(TooMany) as own:
        await narrow.ask("three")
    assert own.value.retry_after
    await narrow.ask("four", BOB)
    with pytest.raises(TooMany):
        await narrow.ask("five", BOB)
    assert len((await narrow.engine.streams(ALICE, None, 10)).items) == 2


async def test_a_full_queue_is_the_servers(narrow: Bench) -> None:
    from_many = [ALICE, ALICE, BOB]
    for caller in from_many:
        await narrow.ask("?", caller)
    with pytest.raises(Busy) as caught:
        await narrow.engine.start(type(ALICE)("carol"), Ask(message="?"))
    assert caught.value.retry_after


async def test_a_repeated_question_takes_no_second_place(narrow: Bench) -> None:
    await narrow.ask("one")
    started = await narrow.engine.start(ALICE, Ask(message="two"), "key")
    again = await narrow.engine.start(ALICE, Ask(message="two"), "key")
    assert (again.stream, again.created) == (started.stream, False)
    assert narrow.engine.turns.waiting == 1


async def test_one_who_waits_can_be_stopped(narrow: Bench) -> None:
    await narrow.ask("one")
    waiting = await narrow.ask("two")
    stopped = await narrow.engine.stop(ALICE, waiting)
    assert stopped.answer.status == "stopped"
    assert narrow.engine.turns.waiting == 0
    assert len(narrow.provider.requests) <= 1


async def test_who_has_waited_too_long_is_told_when_to_come_again(narrow: Bench) -> None:
    narrow.engine.turns.patience = 0.01
    await narrow.ask("one")
    waiting = await narrow.read(await narrow.ask("two"))
    await waiting.to_end()
    name, fields = waiting.events[-1]
    assert (name, fields["code"], fields["retryable"]) == ("error", "busy", True)
    assert fields["retry_after"] >= 1
    assert narrow.engine.turns.waiting == 0


async def test_an_interruption_gives_its_turn_to_what_comes_next(narrow: Bench) -> None:
    first = await narrow.ask("one")
    await narrow.provider.wait_started(1)
    started = await narrow.engine.interrupt(ALICE, first, None, Ask(message="two"))
    await narrow.provider.wait_started(2)
    assert started.created
    assert narrow.engine.turns.waiting == 0


async def test_one_consumer_reads_so_much_at_once_and_others_theirs() -> None:
    store, conversations, provider = MemoryStore(), MemoryConversations(), ScriptedProvider()
    await store.open()
    await conversations.open()
    engine = make_engine(store, conversations, provider, readers_each=1)
    await engine.open()
    bench = Bench(engine, provider)
    mine, theirs = await bench.ask(), await bench.ask("?", BOB)
    first = await bench.read(mine)
    with pytest.raises(TooMany):
        await bench.read(mine)
    await bench.read(theirs, caller=BOB)
    first.detach()
    await bench.read(mine)
    assert engine.readers == 2
    await engine.close()
    await conversations.close()
    await store.close()
