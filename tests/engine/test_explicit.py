"""Answers that a program writes itself."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.errors import BadRequest, Conflict, Draining, Interrupted
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, BOB, Bench, make_engine

ASK = Ask(message="Make the report", background=True)


async def test_what_is_written_is_read_and_ends_with_the_block(bench: Bench) -> None:
    async with await bench.engine.write(ALICE, ASK, name="reporter") as out:
        reading = await bench.read(out.id)
        await out.thinking("reading", "Reading…")
        await out.token("Two ")
        await reading.until(lambda r: r.text == "Two ")  # while the block still runs
        assert out.status == "running"
        await out.progress("half", 0.5)
        await out.reasoning("because")
        await out.media("image/png", b"\x89PNG")
        await out.sources([])
        await out.write("lines")
    assert out.status == "completed"
    await reading.to_end()
    assert reading.text == "Two lines"
    assert reading.names() == [
        "thinking", "thinking", "token", "progress", "part", "reasoning", "part",
        "part", "media", "part", "sources", "token", "done",
    ]  # fmt: skip
    assert reading.events[0][1]["provider"] == "reporter"
    _, messages = await bench.engine.dialogues.read(ALICE, out.conversation)
    assert [(m.role, m.text, m.status) for m in messages] == [
        ("user", "Make the report", "completed"),
        ("assistant", "Two lines", "completed"),
    ]
    assert not bench.provider.requests
    with pytest.raises(Interrupted, match="has ended"):
        await out.token("more")


async def test_an_exception_ends_it_as_failed_and_goes_on(bench: Bench) -> None:
    out = await bench.engine.write(ALICE, ASK)

    async def program() -> None:
        async with out:
            await out.token("so far")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await program()
    found = await bench.engine.read(ALICE, out.id)
    assert (found.answer.status, found.answer.text) == ("failed", "so far")
    assert found.answer.error is not None
    assert "ZeroDivisionError" in found.answer.error.error


async def test_an_error_of_the_tree_keeps_its_code(bench: Bench) -> None:
    with pytest.raises(BadRequest):
        async with await bench.engine.write(ALICE, ASK) as out:
            raise BadRequest("no such report")
    found = await bench.engine.read(ALICE, out.id)
    assert found.answer.error is not None
    assert (found.answer.error.code, found.answer.error.error) == ("bad_request", "no such report")


async def test_a_stop_cancels_the_block_and_the_program_goes_on(bench: Bench) -> None:
    cancelled = False
    written = asyncio.Event()
    streams: list[str] = []

    async def program() -> str:
        nonlocal cancelled
        async with await bench.engine.write(ALICE, ASK) as out:
            streams.append(out.id)
            await out.token("one")
            written.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        await asyncio.sleep(0)  # it is not cancelled any more
        return out.status

    running = asyncio.create_task(program())
    await written.wait()
    snapshot = await bench.engine.stop(ALICE, streams[0])
    assert snapshot.answer.status == "stopped"
    assert await running == "stopped"
    assert cancelled


async def test_a_stop_that_meets_the_end_of_the_block_is_taken_there(bench: Bench) -> None:
    async with await bench.engine.write(ALICE, ASK) as out:
        await bench.engine.stop(ALICE, out.id)
    await asyncio.sleep(0)
    assert out.status == "stopped"


async def test_a_stop_before_the_block_begins_is_seen_in_it(bench: Bench) -> None:
    out = await bench.engine.write(ALICE, ASK)
    await bench.engine.stop(ALICE, out.id)
    async with out:
        await asyncio.Event().wait()
    assert out.status == "stopped"


async def test_cancelling_the_program_interrupts_the_answer(bench: Bench) -> None:
    streams: list[str] = []
    written = asyncio.Event()

    async def program() -> None:
        async with await bench.engine.write(ALICE, ASK) as out:
            streams.append(out.id)
            await out.token("one")
            written.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(program())
    await written.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    found = await bench.engine.read(ALICE, streams[0])
    assert (found.answer.status, found.answer.text) == ("interrupted", "one")


async def test_an_exception_while_it_is_stopped_is_not_hidden(bench: Bench) -> None:
    async def program() -> None:
        async with await bench.engine.write(ALICE, ASK) as out:
            try:
                await bench.engine.stop(ALICE, out.id)
            finally:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await program()


async def test_nobody_watching_ends_it_unless_in_the_background(bench: Bench) -> None:
    async with await bench.engine.write(ALICE, Ask(message="Hi", orphan_window=0)) as out:
        await asyncio.Event().wait()
    assert out.status == "stopped"
    found = await bench.engine.read(ALICE, out.id)
    assert found.answer.done is not None
    assert found.answer.done.reason == "abandoned"


async def test_a_drain_raises_in_the_block(bench: Bench) -> None:
    async def program() -> None:
        async with await bench.engine.write(ALICE, ASK):
            await bench.engine.interrupt_all()

    with pytest.raises(Interrupted, match="restarting"):
        await program()


async def test_the_same_key_writes_once(bench: Bench) -> None:
    async with await bench.engine.write(ALICE, ASK, "nightly") as out:
        await out.token("a")
    with pytest.raises(Conflict) as caught:
        await bench.engine.write(ALICE, ASK, "nightly")
    assert caught.value.details == {"stream": out.id}
    async with await bench.engine.write(BOB, ASK, "nightly") as other:
        pass
    assert other.id != out.id


async def test_a_draining_engine_begins_nothing(bench: Bench) -> None:
    bench.engine.draining = True
    with pytest.raises(Draining):
        await bench.engine.write(ALICE, ASK)


async def test_a_program_faster_than_the_store_waits() -> None:
    class Slow(MemoryStore):
        """Appends nothing until it is let."""

        def __init__(self) -> None:
            super().__init__()
            self.let = asyncio.Event()

        def submit(self, *args) -> None:  # type: ignore[no-untyped-def]
            async def later() -> None:
                await self.let.wait()
                MemoryStore.submit(self, *args)

            self.later = asyncio.ensure_future(later())

    store, conversations = Slow(), MemoryConversations()
    await store.open()
    await conversations.open()
    engine: Engine = make_engine(store, conversations, ScriptedProvider())
    await engine.open()
    piece = "x" * 1000
    count = 0

    async def program() -> None:
        nonlocal count
        async with await engine.write(ALICE, ASK) as out:
            for _ in range(1000):
                await out.token(piece)
                count += 1

    running = asyncio.create_task(program())
    for _ in range(3000):  # turns of the loop, more than it would need to write everything
        await asyncio.sleep(0)
    assert 0 < count < 200
    store.let.set()
    await running
    assert count == 1000
    await engine.close()
    await conversations.close()
    await store.close()
