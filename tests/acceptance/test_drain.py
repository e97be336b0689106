"""A deploy loses nothing: SIGTERM's three phases on the real server."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Silent
from tests.acceptance.conftest import Serve
from tests.support.sse import Reader

TOKENS = tuple(f"t{n} " for n in range(10))
TEXT = "".join(TOKENS)


@pytest.fixture(autouse=True)
def gated(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))


async def test_running_answers_finish_new_ones_are_refused_readers_stay(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(executable=True) as server:
        reader = Reader(session, server.url)
        reading = asyncio.create_task(reader.ask({"message": "Go on."}))
        upstream.release(3)
        await upstream.wait_tokens(3)
        server.terminate()
        await server.wait_log(lambda line: line["event"] == "draining")

        async with session.post(f"{server.url}/chat/stream", json={"message": "New?"}) as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"]
            assert (await refused.json())["code"] == "draining"
        async with session.get(f"{server.url}/health/ready") as ready:
            assert ready.status == 503
        late = Reader(session, server.url)
        late_reading = asyncio.create_task(late.attach(reader.stream))

        upstream.release(len(TOKENS))
        await asyncio.gather(reading, late_reading)
        assert reader.text == late.text == TEXT
        assert reader.end == {"status": "completed", "finish": "stop"}
        assert await server.wait() == 0


async def test_when_the_grace_is_over_answers_are_interrupted_and_readers_told(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve("--drain-grace", "0", executable=True) as server:
        reader = Reader(session, server.url)
        reading = asyncio.create_task(reader.ask({"message": "Go on."}))
        upstream.release(3)
        await upstream.wait_tokens(3)
        assert await server.stop() == 0
        await reading
        assert reader.text == "t0 t1 t2 "
        assert reader.end["code"] == "interrupted"
        assert reader.end["retryable"] is True
        await upstream.wait_closed()

        await server.start()
        assert (await reader.document())["status"] == "interrupted"


async def test_a_second_signal_ends_the_grace(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Silent(headers=True))
    async with serve("--drain-grace", "600", executable=True) as server:
        reader = Reader(session, server.url)
        reading = asyncio.create_task(reader.ask({"message": "Go on."}))
        await upstream.wait_request()
        server.terminate()
        await server.wait_log(lambda line: line["event"] == "draining")
        assert await server.stop() == 0
        await reading
        assert reader.end["code"] == "interrupted"


async def test_an_idle_server_ends_at_once(serve: Serve) -> None:
    async with serve("--drain-grace", "600", executable=True) as server:
        assert await server.stop() == 0


async def test_a_server_whose_log_nobody_reads_drains_all_the_same(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if "FAIRLEAD" not in name}
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "fairlead"), "serve", "--port", "0",
        "--data-dir", str(tmp_path), "--log-format", "json",
        stderr=writing, env=environ,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading, "rb") as log:
        await asyncio.to_thread(lambda: next(line for line in log if b'"listening"' in line))
    process.terminate()
    async with asyncio.timeout(90):
        assert await process.wait() == 0
