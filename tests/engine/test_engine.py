"""The engine's verbs, without any wire but the one that the tests read through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairlead.dialects import native
from fairlead.engine.ask import Ask
from fairlead.engine.limits import Limits
from fairlead.errors import (
    BadRequest,
    Busy,
    Conflict,
    Draining,
    NotFound,
    TooLarge,
    Unauthenticated,
    UpstreamCut,
)
from fairlead.events.model import Part, Reasoning, Usage
from fairlead.journal.position import Epoch, Position
from fairlead.policy.caller import READ, Caller
from fairlead.transports.sse import SseWire
from tests.engine.conftest import ALICE, BOB, Bench, Reading


async def test_an_answer_from_question_to_done(bench: Bench) -> None:
    stream = await bench.ask("Why is the sky blue?")
    bench.provider.say("Because ", "of ", "Rayleigh.", Usage(0, 7, 3))
    bench.provider.finish()
    reading = await (await bench.read(stream)).to_end()
    assert reading.text == "Because of Rayleigh."
    assert reading.names()[0] == "thinking"
    assert reading.names()[-2:] == ["usage", "done"]
    assert reading.events[0][1]["stream"] == stream
    assert reading.events[-1][1] == {"status": "completed"}


async def test_a_reader_that_leaves_and_returns_misses_and_repeats_nothing(bench: Bench) -> None:
    stream = await bench.ask()
    first = await bench.read(stream)
    bench.provider.say("one ", "two ")
    await first.until(lambda r: r.text == "one two ")
    first.detach()
    bench.provider.say("three ", "four")
    bench.provider.finish()
    second = await (await bench.read(stream, first.position)).to_end()
    assert first.text + second.text == "one two three four"


async def test_a_generation_outlives_its_readers(bench: Bench) -> None:
    stream = await bench.ask()
    reading = await bench.read(stream)
    reading.detach()
    bench.provider.say("still here")
    bench.provider.finish()
    assert (await (await bench.read(stream)).to_end()).text == "still here"


async def test_late_readers_catch_up_in_few_writes(bench: Bench) -> None:
    stream = await bench.ask()
    words = [f"w{n} " for n in range(3000)]
    bench.provider.say(*words)
    bench.provider.finish()
    await (await bench.read(stream)).to_end()
    late = await (await bench.read(stream)).to_end()
    assert late.text == "".join(words)
    assert late.writes < 20


async def test_many_readers_of_one_stream_see_the_same(bench: Bench) -> None:
    stream = await bench.ask()
    readings = [await bench.read(stream) for _ in range(8)]
    ends = [asyncio.create_task(reading.to_end()) for reading in readings]
    words = [f"w{n} " for n in range(200)]
    for word in words:
        bench.provider.say(word)
        await asyncio.sleep(0)
    bench.provider.finish()
    for reading in await asyncio.gather(*ends):
        assert reading.text == "".join(words)


async def test_stop_closes_the_provider_and_keeps_what_was_written(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.say("half an ans")
    reading = await (await bench.read(stream)).until(lambda r: r.text != "")
    snapshot = await bench.engine.stop(ALICE, stream)
    await bench.provider.wait_closed()
    assert snapshot.answer.status == "stopped"
    assert snapshot.answer.text == "half an ans"
    await reading.to_end()
    assert reading.events[-1] == ("done", {"status": "stopped", "reason": "stop"})
    again = await bench.engine.stop(ALICE, stream)
    assert again.answer.status == "stopped"
    assert again.position == snapshot.position


async def test_stop_before_the_work_has_begun_ends_the_stream_too(bench: Bench) -> None:
    stream = await bench.ask()
    assert bench.provider.requests == []
    snapshot = await bench.engine.stop(ALICE, stream)
    assert snapshot.answer.status == "stopped"
    await bench.engine.wait_idle()


async def test_stop_after_the_end_changes_nothing(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.finish()
    await (await bench.read(stream)).to_end()
    assert (await bench.engine.stop(ALICE, stream)).answer.status == "completed"


async def test_a_failing_provider_ends_its_stream_in_words(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.say("as far as ")
    bench.provider.fail(UpstreamCut("the connection ended in the middle of the answer"))
    reading = await (await bench.read(stream)).to_end()
    name, fields = reading.events[-1]
    assert name == "error"
    assert fields["code"] == "upstream_cut"
    assert fields["retryable"] is True
    assert reading.text == "as far as "


async def test_a_providers_bug_names_no_secret_and_ends_its_stream(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.fail(RuntimeError("sk-secret-key"))
    reading = await (await bench.read(stream)).to_end()
    assert reading.events[-1][1]["code"] == "internal"
    assert "sk-secret" not in str(reading.events)


async def test_events_out_of_order_are_the_providers_fault(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.say(Reasoning(0, "hm", part=3))
    reading = await (await bench.read(stream)).to_end()
    assert reading.events[-1][1]["code"] == "upstream_protocol"


async def test_parts_reach_the_reader(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.say(
        Part(0, 1, "open", type="reasoning"), Reasoning(0, "hm", part=1), Part(0, 1, "close"), "So."
    )
    bench.provider.finish()
    reading = await (await bench.read(stream)).to_end()
    assert reading.names() == ["thinking", "part", "reasoning", "part", "token", "done"]
    assert reading.events[2][1] == {"reasoning": "hm", "part": 1}


async def test_an_unwatched_generation_is_abandoned(bench: Bench) -> None:
    stream = await bench.ask(orphan_window=0.0)
    await bench.provider.wait_closed()
    reading = await (await bench.read(stream)).to_end()
    assert reading.events[-1] == ("done", {"status": "stopped", "reason": "abandoned"})


async def test_the_time_unwatched_begins_when_the_asker_can_watch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, held, waiting = bench.engine.conversations.put, asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> Any:
        waiting.set()
        await held.wait()
        return await put(*args)

    monkeypatch.setattr(bench.engine.conversations, "put", slow)
    ask = Ask(message="Why?", orphan_window=0.0)
    asking = asyncio.create_task(
        bench.engine.start_and_attach(
            ALICE, ask, "", lambda id, meta: SseWire(id, meta, native.Options())
        )
    )
    await waiting.wait()
    (generation,) = bench.engine.generations.running.values()
    bench.provider.say("Because.")
    # Long enough for it to be found alone, and to be ended for that.
    for _ in range(100):
        await asyncio.sleep(0)
    assert generation.answer.text == "Because."
    held.set()
    reading = Reading(bench.engine, await asking)
    bench.provider.finish()
    await reading.to_end()
    assert reading.text == "Because."
    assert reading.events[-1] == ("done", {"status": "completed"})


async def test_a_watched_one_is_not_and_background_never(bench: Bench) -> None:
    watched = await bench.ask(orphan_window=30.0)
    reading = await bench.read(watched)
    background = await bench.ask(background=True)
    generation = bench.engine.generations.running[background]
    assert generation._orphan_timer is None
    assert bench.engine.generations.running[watched]._orphan_timer is None
    reading.detach()
    assert bench.engine.generations.running[watched]._orphan_timer is not None


async def test_readers_on_other_nodes_keep_it_alive(bench: Bench) -> None:
    stream = await bench.ask(background=True)
    generation = bench.engine.generations.running[stream]
    await bench.provider.wait_started()
    await bench.engine.store.present([stream], "another-node", 30.0)
    await generation._check_orphaned()
    assert stream in bench.engine.generations.running
    await bench.engine.store.present([stream], "another-node", 0)
    await generation._check_orphaned()
    await bench.provider.wait_closed()


async def test_the_same_key_starts_once(bench: Bench) -> None:
    ask = Ask(message="Why?")
    starts = await asyncio.gather(*(bench.engine.start(ALICE, ask, "key-1") for _ in range(20)))
    assert len({started.stream for started in starts}) == 1
    assert sum(started.created for started in starts) == 1
    assert len({started.meta.conversation for started in starts}) == 1
    await bench.provider.wait_started()
    assert len(bench.provider.requests) == 1


async def test_the_same_key_for_another_question_is_a_conflict(bench: Bench) -> None:
    await bench.engine.start(ALICE, Ask(message="Why?"), "key-1")
    with pytest.raises(Conflict):
        await bench.engine.start(ALICE, Ask(message="How?"), "key-1")


async def test_keys_of_two_consumers_do_not_meet(bench: Bench) -> None:
    a = await bench.engine.start(ALICE, Ask(message="Why?"), "key-1")
    b = await bench.engine.start(BOB, Ask(message="How?"), "key-1")
    assert a.stream != b.stream


async def test_a_repetition_is_found_before_the_cap_is_charged(bench: Bench) -> None:
    first = await bench.engine.start(ALICE, Ask(message="Why?"), "key-1")
    for n in range(4):
        await bench.ask(f"question {n}")
    with pytest.raises(Busy) as busy:
        await bench.ask("one too many")
    assert busy.value.retry_after
    again = await bench.engine.start(ALICE, Ask(message="Why?"), "key-1")
    assert again.stream == first.stream
    assert not again.created


async def test_the_readers_are_capped_and_counted_until_they_leave(bench: Bench) -> None:
    stream = await bench.ask()
    readings = [await bench.read(stream) for _ in range(8)]
    with pytest.raises(Busy):
        await bench.read(stream)
    readings[0].detach()
    readings[0].detach()
    await bench.read(stream)
    with pytest.raises(Busy):
        await bench.read(stream)


async def test_what_belongs_to_another_is_not_found(bench: Bench) -> None:
    stream = await bench.ask()
    for verb in (
        bench.engine.read(BOB, stream),
        bench.engine.stop(BOB, stream),
        bench.engine.delete(BOB, stream),
        bench.read(stream, caller=BOB),
        bench.engine.read(ALICE, "0" * 26),
        bench.engine.read(ALICE, "../../etc/passwd"),
    ):
        with pytest.raises(NotFound):
            await verb


async def test_scopes_and_expiry_are_asked_by_the_engine(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.engine.start(Caller("alice", frozenset({READ})), Ask(message="Why?"))
    with pytest.raises(Unauthenticated):
        await bench.engine.start(Caller("alice", expires_at=1.0), Ask(message="Why?"))


@pytest.mark.parametrize(
    ("ask", "word"),
    [
        (Ask(message=" "), "message"),
        (Ask(message="x", regenerate="m"), "regenerate"),
        (Ask(regenerate="m"), "conversation_id"),
        (Ask(message="x", orphan_window=-1.0), "orphan_window"),
        (Ask(message="x", model="none-such"), "none-such"),
        (Ask(message="x", conversation="c" * 200), "conversation_id"),
    ],
)
async def test_what_cannot_be_asked_is_named(bench: Bench, ask: Ask, word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        await bench.engine.start(ALICE, ask)
    assert bench.engine.running == 0


async def test_a_prompt_has_a_limit(bench: Bench) -> None:
    with pytest.raises(TooLarge):
        await bench.ask("x" * 100_001)


async def test_a_lost_position_is_served_a_reset_with_the_text_so_far(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.say("the text ", "so far")
    await (await bench.read(stream)).until(lambda r: r.text == "the text so far")
    lost = Position(Epoch(1, "zzzzzz"), 2)
    reading = await bench.read(stream, lost)
    bench.provider.say(" and on")
    bench.provider.finish()
    await reading.to_end()
    assert reading.names()[0] == "reset"
    assert reading.text == "the text so far and on"


async def test_draining_starts_nothing_new_but_serves_the_rest(bench: Bench) -> None:
    first = await bench.engine.start(ALICE, Ask(message="Why?"), "key-1")
    bench.engine.draining = True
    with pytest.raises(Draining):
        await bench.ask("something new")
    again = await bench.engine.start(ALICE, Ask(message="Why?"), "key-1")
    assert again.stream == first.stream
    reading = await bench.read(first.stream)
    bench.provider.say("served")
    await reading.until(lambda r: r.text == "served")
    await bench.engine.interrupt_all()
    await reading.to_end()
    assert reading.events[-1][1]["code"] == "interrupted"
    assert reading.events[-1][1]["retryable"] is True
    await bench.engine.wait_idle()


async def test_deleting_ends_readers_and_takes_the_stream_away(bench: Bench) -> None:
    stream = await bench.ask()
    reading = await bench.read(stream)
    await bench.engine.delete(ALICE, stream)
    with pytest.raises(NotFound):
        await bench.engine.read(ALICE, stream)
    assert reading.reader.ended


async def test_streams_are_listed_newest_first_for_their_owner_only(bench: Bench) -> None:
    mine = [await bench.ask(f"question {n}") for n in range(3)]
    await bench.ask("not mine", caller=BOB)
    page = await bench.engine.streams(ALICE, None, 2)
    rest = await bench.engine.streams(ALICE, page.cursor, 2)
    assert [i.spec.id for i in (*page.items, *rest.items)] == mine[::-1]


async def test_a_deadline_ends_a_generation(bench: Bench) -> None:
    bench.engine.limits = Limits(deadline=0.01)
    stream = await bench.ask()
    reading = await (await bench.read(stream)).to_end()
    assert reading.events[-1][1]["code"] == "deadline_exceeded"


async def test_news_that_come_while_a_reader_fetches_are_not_missed(bench: Bench) -> None:
    stream = await bench.ask()
    reading = await (await bench.read(stream)).until(lambda r: r.names() == ["thinking"])
    reader = reading.reader
    assert reader.at_tail
    await reader.fill()
    bench.provider.say("news")
    bench.provider.finish()
    await bench.engine.wait_idle()
    reader.take(4096)
    assert not reader.at_tail, "a transport that stops here would wait for ever"
    await reading.to_end()
    assert reading.text == "news"
