"""Two servers on the same files: one start, any node serves any reader, stop from anywhere."""

from __future__ import annotations

import asyncio

import aiohttp

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.sse import Reader

TOKENS = tuple(f"t{n} " for n in range(30))
TEXT = "".join(TOKENS)


async def test_the_same_key_on_both_starts_one_generation(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with serve() as one, serve() as two:
        for number in range(40):
            readers = [Reader(session, server.url) for server in (one, two, one, two)]
            key = {"Idempotency-Key": f"question {number}"}
            await asyncio.gather(*(r.ask({"message": "Once?"}, **key) for r in readers))
            assert len({reader.stream for reader in readers}) == 1
            assert [reader.text for reader in readers] == [TEXT] * 4
        assert len(upstream.requests) == 40


async def test_a_reader_moves_between_processes_while_the_answer_is_written(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve() as one, serve() as two:
        asking = Reader(session, one.url)
        first = asyncio.create_task(asking.ask({"message": "Go on."}))
        upstream.release(10)
        await upstream.wait_tokens(10)
        await asking.until(lambda r: r.stream != "")
        # The writing process knows nothing of this reader but through the store.
        mover = Reader(session, two.url)
        second = asyncio.create_task(mover.attach(asking.stream))
        await mover.until(lambda r: r.text == "".join(TOKENS[:10]))
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        mover.url = one.url
        third = asyncio.create_task(mover.attach(asking.stream))
        upstream.release(len(TOKENS))
        await asyncio.gather(first, third)
        assert mover.text == asking.text == TEXT


async def test_stop_reaches_the_writer_from_the_other_process(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve() as one, serve() as two:
        reader = Reader(session, one.url)
        reading = asyncio.create_task(reader.ask({"message": "Go on."}))
        upstream.release(3)
        await upstream.wait_tokens(3)
        await reader.until(lambda r: r.stream != "")
        async with session.post(f"{two.url}/streams/{reader.stream}/stop") as response:
            assert response.status == 200
        await upstream.wait_closed()
        await reading
        assert reader.end["status"] == "stopped"


async def test_the_survivor_closes_what_a_killed_process_was_writing(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve() as one, serve() as two:
        reader = Reader(session, one.url)
        reading = asyncio.create_task(reader.ask({"message": "Go on."}))
        upstream.release(3)
        await upstream.wait_tokens(3)
        await reader.until(lambda r: r.text == "t0 t1 t2 ")
        await one.kill()
        await asyncio.gather(reading, return_exceptions=True)
        reader.url = two.url
        await reader.attach()
        assert reader.text == "t0 t1 t2 "
        assert reader.end["code"] == "interrupted"


async def test_a_watcher_on_the_other_process_keeps_an_answer_alive(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve() as one, serve() as two:
        asking = Reader(session, one.url)
        first = asyncio.create_task(asking.ask({"message": "Go on.", "orphan_window": 1}))
        upstream.release(1)
        await upstream.wait_tokens(1)
        await asking.until(lambda r: r.stream != "")
        watcher = Reader(session, two.url)
        watching = asyncio.create_task(watcher.attach(asking.stream))
        await watcher.until(lambda r: r.text != "")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        # The window of the asking reader passes; the answer would be abandoned within it.
        ended = asyncio.create_task(upstream.wait_closed())
        done, _ = await asyncio.wait([ended, watching], timeout=2.5)
        assert not done, "the answer was abandoned although it was watched"
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await ended
        document = await asking.document()
        assert (document["status"], document["reason"]) == ("stopped", "abandoned")
