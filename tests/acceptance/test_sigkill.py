"""Durable before visible: the real server, killed with SIGKILL in the middle of its answers.

Each round starts some answers, kills the process when one of the readers has seen a random number
of events, starts it again on the same files, and has every reader go on. No reader may have seen
what the store lacks, none may miss or repeat anything, and a broken answer must end by saying so.

``FAIRLEAD_KILLS`` (default 200, over all seeds) asks for more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.support.server import ServerProcess
from tests.support.sse import Reader

KILLS = int(os.environ.get("FAIRLEAD_KILLS", "200"))
SEEDS = 4
STREAMS = 4
TOKENS = [f"t{n} " for n in range(60)]
TEXT = "".join(TOKENS)


@pytest.mark.timeout(300 + KILLS * 5)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_killed_servers_have_shown_nothing_that_is_lost(tmp_path: Path, seed: int) -> None:
    rounds = max(1, KILLS // SEEDS)
    chance = random.Random(seed)
    ends: dict[str, int] = {}
    async with ScriptedUpstream() as upstream, aiohttp.ClientSession() as session:
        upstream.script(Answer(tokens=tuple(TOKENS), pace=Pace(delay_s=0.002)))
        arguments = ("--upstream", upstream.base_url, "--model", "scripted", "--no-knowledge")
        server = ServerProcess(tmp_path, *arguments)
        async with server:
            for number in range(rounds):
                readers = await _until_killed(server, session, chance, number)
                await server.start()
                for reader in readers:
                    await _goes_on(reader, number)
                    code = reader.end.get("code", "done")
                    ends[code] = ends.get(code, 0) + 1
    assert set(ends) <= {"interrupted", "done"}, ends
    assert ends["interrupted"] > rounds, f"hardly any answer was cut in the middle: {ends}"


async def _until_killed(
    server: ServerProcess, session: aiohttp.ClientSession, chance: random.Random, number: int
) -> list[Reader]:
    readers = [Reader(session, server.url) for _ in range(STREAMS)]
    moment = asyncio.Event()
    after = chance.randint(0, len(TOKENS))
    if after == 0:
        moment.set()

    def seen(reader: Reader) -> None:
        # Tokens may come merged, so that the end may come first.
        if len(reader.events) >= after or reader.ended:
            moment.set()

    chance.choice(readers).on_event = seen

    async def ask(reader: Reader, key: str) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            await reader.ask({"message": "Go on."}, **{"Idempotency-Key": key})

    asks = [
        asyncio.create_task(ask(reader, f"round {number} reader {i}"))
        for i, reader in enumerate(readers)
    ]
    await moment.wait()
    await server.kill()
    await asyncio.gather(*asks)
    return readers


async def _goes_on(reader: Reader, number: int) -> None:
    seen = reader.text
    if not reader.stream:
        # It saw not even the headers: nobody knows whether the answer was begun. Asking again with
        # the same key is always right; here it is left be.
        await reader.ask({"message": "Go on."})
    elif not reader.ended:
        await reader.attach()
    assert reader.resets == 0, f"round {number}: a reader had seen what the store lacked"
    assert reader.ended
    document = await reader.document()
    assert document["text"] == reader.text
    assert reader.text.startswith(seen)
    assert TEXT.startswith(reader.text)
    if document["status"] == "completed":
        assert reader.text == TEXT
    else:
        assert document["status"] == "interrupted"
        assert reader.end["retryable"] is True
