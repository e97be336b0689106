"""Answers that an upstream writes in the background outlive the server: killed, drained, replaced
by another one. The reader's text is exact, and the upstream has made one response."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.events.codec import decode
from fairlead.events.model import Mark
from fairlead.stores.sqlite import SqliteStore
from fairlead.testing.upstream import Answer, Pace, Reset, ScriptedUpstream, ToolCall
from tests.acceptance.conftest import session, upstream
from tests.support.server import ServerProcess
from tests.support.sse import Reader

__all__ = ["session", "upstream"]

TOKENS = tuple(f"{n} 断线 👩‍👩‍👧\n" for n in range(200))
TEXT = "".join(TOKENS)


def configured(folder: Path, upstream: ScriptedUpstream, more: str = "", top: str = "") -> Path:
    file = folder / "fairlead.toml"
    file.write_text(
        f'knowledge = false\n{top}\n[[upstreams]]\nname = "thinker"\nmodels = ["m"]\n'
        f'base_url = "{upstream.base_url}"\napi = "responses"\nbackground = true\n{more}\n'
    )
    return file


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncGenerator[ServerProcess, None]:
    file = configured(tmp_path, upstream)
    async with ServerProcess(tmp_path, "--config", str(file), "--drain-grace", "0") as process:
        yield process


async def asking(reader: Reader, **fields: Any) -> None:
    """Ask, and read as long as the server lives."""
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        await reader.ask({"message": "Go on.", **fields})


def made(upstream: ScriptedUpstream) -> int:
    """How many responses the upstream was asked for."""
    return sum(request.path == "/v1/responses" for request in upstream.requests)


@pytest.mark.parametrize("how", ["killed", "drained"])
@pytest.mark.parametrize("after", [0, 1, 63, 64, 65, 150, 200])
async def test_a_restart_in_mid_answer_costs_nothing(
    server: ServerProcess,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    how: str,
    after: int,
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    reader = Reader(session, server.url)
    reading = asyncio.create_task(asking(reader))
    await reader.until(lambda r: r.stream != "")
    await upstream.wait_requests(1)
    if after:
        upstream.release(after)
        await reader.until(lambda r: r.text == "".join(TOKENS[:after]))
    else:
        # What the upstream is doing is in the log as soon as it has said so.
        await started(server, reader.stream)
    if how == "killed":
        await server.kill()
    else:
        assert await server.stop() == 0
    await reading
    assert not reader.ended
    await server.start()
    upstream.release(len(TOKENS) + 1)
    await reader.attach()
    assert reader.text == TEXT
    assert reader.end == {"status": "completed", "finish": "stop"}
    assert reader.resets == 0
    assert made(upstream) == 1

    whole = Reader(session, server.url)
    await whole.attach(reader.stream)
    assert whole.text == TEXT
    (usage,) = (data for name, data, _ in whole.events if name == "usage")
    assert usage["output_tokens"] == len(TOKENS)
    document = await reader.document()
    assert document["status"] == "completed"
    async with session.get(f"{server.url}/conversations/{document['conversation_id']}") as found:
        message = (await found.json())["messages"][-1]
    assert (message["status"], message["text"]) == ("completed", TEXT)


def pieces(reader: Reader) -> int:
    return sum(name in ("reasoning", "token", "tool") for name, _, _ in reader.events)


async def more(reader: Reader) -> None:
    """Wait until it has seen another piece."""
    seen = pieces(reader)
    await reader.until(lambda r: pieces(r) > seen)


async def started(server: ServerProcess, stream: str) -> None:
    """Wait until the log says how the answer can be gone on with."""
    store = SqliteStore(server.data_dir / "journal.db")
    await store.open()
    try:
        async with asyncio.timeout(60):
            while True:
                batch = await store.read(stream, 0, 1 << 20)
                if any(isinstance(decode(record), Mark) for record in batch.records):
                    return
    finally:
        await store.close()


async def test_it_goes_on_over_many_restarts_with_reasoning_and_calls(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    call = ToolCall("find", json.dumps({"what": "断线" * 10}), pieces=20)
    upstream.script(
        Answer(
            tokens=TOKENS[:40],
            reasoning=[f"r{n} " for n in range(40)],
            tool_calls=(call,),
            pace=Pace(gated=True),
            faults=(Reset(after=50),),
        )
    )
    reader = Reader(session, server.url)
    for number in range(6):
        reading = asyncio.create_task(asking(reader) if not number else reader.attach())
        upstream.release(12)
        await more(reader)
        await server.kill()
        await asyncio.gather(reading, return_exceptions=True)
        await server.start()
    upstream.release(200)
    await reader.attach()
    assert reader.text == "".join(TOKENS[:40])
    reasoning = "".join(d["reasoning"] for name, d, _ in reader.events if name == "reasoning")
    assert reasoning == "".join(f"r{n} " for n in range(40))
    arguments = "".join(d["arguments"] for name, d, _ in reader.events if name == "tool")
    assert arguments == call.arguments
    assert reader.end == {"status": "completed", "finish": "tool_calls"}
    assert made(upstream) == 1


async def test_another_server_takes_over_while_the_reader_stays(
    tmp_path: Path, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    file = str(configured(tmp_path, upstream))
    async with (
        ServerProcess(tmp_path, "--config", file) as first,
        ServerProcess(tmp_path, "--config", file) as second,
    ):
        asker = Reader(session, first.url)
        asked = asyncio.create_task(asking(asker))
        upstream.release(10)
        await asker.until(lambda r: r.text == "".join(TOKENS[:10]))
        reader = Reader(session, second.url)
        reading = asyncio.create_task(reader.attach(asker.stream))
        await reader.until(lambda r: r.text == "".join(TOKENS[:10]))
        await first.kill()
        await asked
        await second.wait_log(lambda line: line["event"] == "generation_resumed")
        upstream.release(len(TOKENS))
        await reading
        assert reader.text == TEXT
        assert reader.end["status"] == "completed"
        assert made(upstream) == 1


@pytest.mark.parametrize("killed", [False, True], ids=["by its writer", "by whoever comes"])
async def test_a_stop_reaches_the_upstream(
    server: ServerProcess,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    killed: bool,
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    reader = Reader(session, server.url)
    reading = asyncio.create_task(asking(reader))
    upstream.release(3)
    await reader.until(lambda r: r.text == "".join(TOKENS[:3]))
    if killed:
        await server.kill()
        await reading
        await server.start()
    async with session.post(f"{server.url}/streams/{reader.stream}/stop") as response:
        assert (await response.json())["status"] == "stopped"
    await (reader.attach() if killed else reading)
    assert reader.end["status"] == "stopped"
    assert reader.text == "".join(TOKENS[:3])
    assert upstream.responses["resp_1"].cancelled


async def test_what_the_upstream_has_forgotten_ends_in_words(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    reader = Reader(session, server.url)
    reading = asyncio.create_task(asking(reader))
    upstream.release(3)
    await reader.until(lambda r: r.text == "".join(TOKENS[:3]))
    await server.kill()
    await reading
    upstream.responses.clear()
    await server.start()
    await reader.attach()
    assert reader.text == "".join(TOKENS[:3])
    assert reader.end["code"] == "upstream_cut"
    assert reader.end["retryable"] is True


async def test_what_was_written_is_charged_once(
    tmp_path: Path, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    """By whichever server; in the end by what the upstream says."""
    upstream.script(Answer(tokens=("word ",) * 100, pace=Pace(gated=True)))
    budget = '[[budgets]]\nname = "daily"\nlimit = 100000\n'
    file = str(configured(tmp_path, upstream, budget))
    async with ServerProcess(tmp_path, "--config", file, "--drain-grace", "0") as server:
        reader = Reader(session, server.url)
        reading = asyncio.create_task(asking(reader))
        upstream.release(60)
        await reader.until(lambda r: r.text == "word " * 60)
        assert await server.stop() == 0
        await reading
        await server.start()
        upstream.release(100)
        await reader.attach()
        assert reader.end["status"] == "completed"
        async with session.get(f"{server.url}/budgets") as response:
            (daily,) = (await response.json())["budgets"]
        async with session.get(f"{server.url}/usage") as response:
            (used,) = (await response.json())["usage"]
    # The prompt is estimated by the first server, which has not heard what the upstream says of it.
    assert 100 <= daily["used"] <= 130
    assert (used["requests"], used["output_tokens"]) == (1, 100)


async def test_where_the_model_was_told_to_stop_is_known_after_a_restart(
    tmp_path: Path, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=("word ",) * 1000, pace=Pace(gated=True), obeys=True))
    budget = '[[budgets]]\nname = "month"\nlimit = 100\nper = "month"\n'
    file = str(configured(tmp_path, upstream, budget))
    async with ServerProcess(tmp_path, "--config", file, "--drain-grace", "0") as server:
        reader = Reader(session, server.url)
        reading = asyncio.create_task(asking(reader))
        upstream.release(60)
        await reader.until(lambda r: r.text == "word " * 60)
        most = upstream.requests[0].json["max_output_tokens"]
        assert 90 < most < 100
        assert await server.stop() == 0
        await reading
        await server.start()
        upstream.release(100)
        await reader.attach()
        assert reader.text == "word " * most
        assert reader.events[-1][0] == "error"
        assert (reader.end["code"], reader.end["budget"]) == ("budget_exhausted", "month")
