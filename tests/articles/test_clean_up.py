"""The samples' ``finally``: what a cut, abandoned or failed answer held is given back."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import psutil

from fairlead.testing.toxic import ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, StreamError
from tests.articles.conftest import Connect, Serve, ready, until_readers

ROUNDS = 12
EACH = 10


async def test_cut_abandoned_and_failed_answers_leave_nothing_open(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect, http: aiohttp.ClientSession
) -> None:
    slow = Answer(text="to be read by nobody", pace=Pace(delay_s=0.005))
    fails = Answer(text="to break off in the middle", faults=(StreamError(after=2),))
    upstream.script(lambda request: fails if "fail" in request.message_texts()[-1] else slow)
    server = await serve("--max-generations", "1000")
    line = await connect(server)
    assert server.process is not None
    process = psutil.Process(server.process.pid)

    await _round(line, http)
    await until_readers(http, server, 0)
    await _until_idle(server.url, http)
    before = process.num_fds()
    for _ in range(ROUNDS):
        await _round(line, http)
    await until_readers(http, server, 0)
    await _until_idle(server.url, http)
    async with asyncio.timeout(90):
        # Connections to the model are kept for a while for the next answer, as many as a round had
        # at once. What leaks with each answer of a kind is twelve times that.
        while process.num_fds() > before + EACH:
            await ready(http, server)
    assert len(upstream.requests) == 3 * EACH * (ROUNDS + 1)


async def _round(line: ToxicProxy, http: aiohttp.ClientSession) -> None:
    async def ask(message: str) -> aiohttp.ClientResponse:
        # Each on a connection of its own, as different visitors have.
        headers = {"Connection": "close"}
        return await http.post(
            f"{line.url}/chat/stream", json={"message": message}, headers=headers
        )

    async def fail() -> None:
        async with await ask("fail") as response:
            assert b"event: error" in await response.read()

    async def begin(message: str) -> aiohttp.ClientResponse:
        response = await ask(message)
        await response.content.readuntil(b"\n\n")
        return response

    await asyncio.gather(*(fail() for _ in range(EACH)))
    for response in await asyncio.gather(*(begin("abandon") for _ in range(EACH))):
        response.close()
    responses = await asyncio.gather(*(begin("cut") for _ in range(EACH)))
    line.cut()
    for response in responses:
        with contextlib.suppress(aiohttp.ClientError):
            await response.read()
        response.close()


async def _until_idle(url: str, http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(90):
        while True:
            async with http.get(f"{url}/health/ready") as response:
                if (await response.json())["generations"] == 0:
                    return
