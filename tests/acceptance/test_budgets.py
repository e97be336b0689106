"""Budgets on the real server: what callers are told on each transport, and what the operator's
settings do."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from connectrpc.code import Code

from fairlead.policy.budgets import window
from fairlead.testing.upstream import Answer, Ending, Pace, ReceivedRequest, ScriptedUpstream
from fairlead.v1.answers_pb import AskRequest
from tests.acceptance.conftest import Serve
from tests.acceptance.test_rpc import failing
from tests.support.ports import free_port
from tests.support.rpc import PROTOCOLS, client
from tests.support.server import ServerProcess
from tests.support.sse import Reader
from tests.support.websocket import Client

QUESTION = "q" * 40  # about 10 tokens
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 20},
}
CONFIG = """
[[budgets]]
name = "tokens"
limit = 100
per = "month"

[[budgets]]
name = "purse"
limit = 0.001
unit = "money"
per = "month"
keyed_by = ["consumer", "model"]

[[prices]]
model = "*"
input = 1
cached = 0.1
output = 2
"""


@pytest.fixture
def grpc_port() -> int:
    return free_port()


@pytest.fixture
async def server(
    serve: Serve, tmp_path: Path, upstream: ScriptedUpstream, grpc_port: int
) -> AsyncGenerator[ServerProcess, None]:
    upstream.script(Answer(tokens=["word "] * 12, usage=USAGE))
    async with configured(serve, tmp_path, CONFIG, "--grpc-port", str(grpc_port)) as server:
        yield server


def configured(serve: Serve, tmp_path: Path, text: str, *arguments: str) -> ServerProcess:
    (tmp_path / "fairlead.toml").write_text(text)
    return serve("--config", str(tmp_path / "fairlead.toml"), *arguments)


async def budgets(session: aiohttp.ClientSession, server: ServerProcess) -> dict[str, Any]:
    async with session.get(f"{server.url}/budgets") as response:
        return {each["name"]: each for each in (await response.json())["budgets"]}


async def test_who_asks_sees_what_is_left(
    server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    reader = Reader(session, server.url)
    await reader.ask({"message": QUESTION})
    (usage,) = [data for name, data, _ in reader.events if name == "usage"]
    refills = window("month", time.time()).end
    # 10 tokens at 1, 20 at 0.1, 12 at 2 millionths.
    assert usage == {
        "input_tokens": 30,
        "output_tokens": 12,
        "estimated": False,
        "cached_tokens": 20,
        "budgets": [
            {"name": "tokens", "remaining": 58, "unit": "tokens", "refills_at": refills},
            {"name": "purse", "remaining": 0.000964, "unit": "USD", "refills_at": refills},
        ],
    }
    found = await budgets(session, server)
    assert 0 < found["tokens"].pop("refills_in") <= 31 * 86_400
    assert found["tokens"] == {
        "name": "tokens",
        "unit": "tokens",
        "limit": 100,
        "per": "month",
        "used": 42,
        "remaining": 58,
        "refills_at": refills,
        "on_exhausted": "cut",
    }
    purse = found["purse"]
    assert (purse["used"], purse["unit"], purse["model"]) == (0.000036, "USD", "scripted")
    async with session.get(f"{server.url}/usage") as response:
        assert (await response.json())["usage"] == [
            {
                "day": time.strftime("%Y-%m-%d", time.gmtime()),
                "model": "scripted",
                "requests": 1,
                "input_tokens": 30,
                "output_tokens": 12,
                "cached_tokens": 20,
                "estimated": 0,
                "money": 0.000036,
                "currency": "USD",
            }
        ]
    assert (await reader.document())["usage"]["budgets"] == usage["budgets"]


async def test_a_start_says_how_the_budgets_stand(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=["word "] * 12, pace=Pace(gated=True)))
    left, purse = 100, 1000
    for accept in ("text/event-stream", "application/x-ndjson", "application/json"):
        # The prompt and a first step of the answer are held.
        left, purse = left - 26, purse - 42
        async with session.post(
            f"{server.url}/chat/stream", json={"message": QUESTION}, headers={"Accept": accept}
        ) as response:
            assert response.status == 200
            assert response.headers["RateLimit-Policy"] == (
                '"tokens";q=100;qu="tokens";w=2592000, "purse";q=1000;qu="micro-usd";w=2592000'
            )
            first, second = response.headers["RateLimit"].split(", ")
            assert first.startswith(f'"tokens";r={left};t=')
            assert second.startswith(f'"purse";r={purse};t=')
    message = json.dumps({"message": "q"}).encode()
    async with session.post(
        f"{server.url}/fairlead.v1.Answers/Ask",
        data=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={"Content-Type": "application/connect+json", "Connect-Protocol-Version": "1"},
    ) as response:
        assert response.headers["RateLimit"].startswith('"tokens";r=5;t=')
    for query in ("?since=yesterday", "?since=2026-13-01", "?since=2026-02-01&until=2026-01-01"):
        async with session.get(f"{server.url}/usage{query}") as response:
            assert response.status == 400
            assert "'since'" in (await response.json())["error"]


async def test_every_transport_refuses_in_its_own_words(
    server: ServerProcess,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    grpc_port: int,
) -> None:
    for _ in range(2):  # 42 tokens each
        await Reader(session, server.url).ask({"message": QUESTION})
    words = "the budget 'tokens' (100 tokens per month) is used up; it refills at"
    for accept in ("text/event-stream", "application/x-ndjson", "application/json"):
        headers, ask = {"Accept": accept}, {"message": QUESTION * 2}
        address = f"{server.url}/chat/stream"
        for asking in (
            session.post(address, json=ask, headers=headers),
            session.get(address, params=ask, headers=headers),
        ):
            async with asking as response:
                assert response.status == 429
                problem = await response.json()
                seconds = int(response.headers["Retry-After"])
                assert response.headers["RateLimit"] == f'"tokens";r=0;t={seconds}'
            assert problem.pop("error").startswith(words)
            assert problem == {
                "code": "budget_exhausted",
                "budget": "tokens",
                "retryable": True,
                "retry_after": seconds,
            }
    chat = {"model": "scripted", "messages": [{"role": "user", "content": QUESTION * 2}]}
    for stream in (True, False):
        async with session.post(
            f"{server.url}/v1/chat/completions", json=chat | {"stream": stream}
        ) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) > 0
            assert response.headers["RateLimit"].startswith('"tokens";r=0;t=')
            error = (await response.json())["error"]
        assert error["message"].startswith(words)
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    async with Client(server.url) as socket:
        await socket.send("chat", message=QUESTION * 2, id="1")
        refused = (await socket.reply("1"))["data"]
        assert refused["error"].startswith(words)
        assert (refused["code"], refused["budget"]) == ("budget_exhausted", "tokens")
        assert refused["retry_after"] > 0
        await socket.send("ping", id="2")
        assert (await socket.reply("2"))["type"] == "pong"
    for protocol in PROTOCOLS:
        async with client(protocol, server.url, grpc_port) as calls:
            code, detail = await failing(calls.ask(AskRequest(message=QUESTION * 2)))
        assert code is Code.RESOURCE_EXHAUSTED
        assert detail.error.startswith(words)
        assert (detail.code, detail.retryable) == ("budget_exhausted", True)
        assert detail.retry_after is not None
        assert detail.retry_after > 0
    assert len(upstream.requests) == 2


async def test_an_answer_is_cut_while_it_flows(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=["word "] * 1000, pace=Pace(gated=True)))
    upstream.release(91)
    reader = Reader(session, server.url)
    await reader.ask({"message": QUESTION})
    assert reader.text == "word " * 90
    assert reader.events[-1][0] == "error"
    assert reader.end["code"] == "budget_exhausted"
    assert reader.end["budget"] == "tokens"
    assert reader.end["retry_after"] > 0
    await upstream.requests[0].wait_ended()
    assert upstream.tokens_sent == 91
    # It reads the same for whoever comes later.
    later = Reader(session, server.url)
    await later.attach(reader.stream)
    assert later.end == reader.end


RESPONSES = """
[[upstreams]]
name = "answers"
base_url = "{url}"
models = ["answering"]
api = "responses"
"""


@pytest.mark.parametrize("model", ["scripted", "answering"])
async def test_the_model_stops_by_itself_where_a_budget_ends(
    serve: Serve,
    tmp_path: Path,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    model: str,
) -> None:
    """It is told how much there is, and writes nothing that nobody pays for."""

    def answer(request: ReceivedRequest) -> Answer:
        written = min(1000, request.most)
        used = {"input_tokens": 10, "output_tokens": written}
        used |= {"prompt_tokens": 10, "completion_tokens": written}
        return Answer(tokens=["word "] * 1000, usage=used, obeys=True)

    upstream.script(answer)
    month = '[[budgets]]\nname = "tokens"\nlimit = 100\nper = "month"\n'
    more = RESPONSES.format(url=upstream.base_url)
    async with configured(serve, tmp_path, month + more) as server:
        reader = Reader(session, server.url)
        await reader.ask({"message": QUESTION, "model": model, "parameters": {"max_tokens": 20}})
        assert reader.text == "word " * 20
        assert (reader.events[-1][0], reader.end["finish"]) == ("done", "length")

        reader = Reader(session, server.url)
        await reader.ask({"message": QUESTION, "model": model, "parameters": {"max_tokens": 2000}})
        assert reader.text == "word " * 60
        assert reader.events[-1][0] == "error"
        assert (reader.end["code"], reader.end["budget"]) == ("budget_exhausted", "tokens")
        assert "is used up; it refills at" in reader.end["error"]
        assert [await request.wait_ended() for request in upstream.requests] == [
            Ending.COMPLETED,
            Ending.COMPLETED,
        ]
        assert upstream.tokens_sent == 20 + 60
        assert (await budgets(session, server))["tokens"]["used"] == 100


async def test_in_a_vendors_words_too_its_end_is_the_budgets(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=["word "] * 1000, obeys=True))
    question = [{"role": "user", "content": QUESTION}]
    chat = {"model": "scripted", "messages": question, "stream": True, "max_tokens": 500}
    async with session.post(f"{server.url}/v1/chat/completions", json=chat) as response:
        said = await response.text()
    most = upstream.requests[0].json["max_tokens"]
    assert 50 <= most <= 90  # a body that is sent on counts with all it holds
    assert said.count("word ") == most == upstream.tokens_sent
    assert '"finish_reason":"length"' not in said
    assert "the budget 'tokens' (100 tokens per month)" in said


async def test_a_keys_quota_is_a_budget(
    serve: Serve, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    table = (
        '[[budgets]]\nname = "gold"\nlimit = 1\nunit = "requests"\nper = "month"\nquota = true\n'
    )

    async def make(*arguments: str) -> dict[str, str]:
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "fairlead"), "keys", "create", "ann", "--json"),
            *("--data-dir", str(tmp_path), *arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return {"Authorization": f"Bearer {json.loads(out)['key']}"}

    gold, misspelt = await make("--quota", "gold"), await make("--quota", "glod")
    free = await make()
    async with configured(serve, tmp_path, table) as server:
        statuses = []
        for headers in (gold, gold, free, free, misspelt):
            async with session.post(
                f"{server.url}/chat/stream", json={"message": QUESTION}, headers=headers
            ) as response:
                statuses.append(response.status)
    assert statuses == [200, 429, 200, 200, 500]


async def test_a_slow_budget_lets_the_model_wait(
    serve: Serve, tmp_path: Path, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    """The model's server is read no faster than the budget allows, so that it has to wait."""
    slow = '[[budgets]]\nname = "pace"\nlimit = 2000\nper = "second"\non_exhausted = "slow"\n'
    piece, pieces = "w" * 4000, 5000  # of 1000 tokens each, as they are counted here
    upstream.script(Answer(tokens=[piece] * pieces))
    async with configured(serve, tmp_path, slow) as server:
        reader = Reader(session, server.url)
        reading = asyncio.create_task(reader.ask({"message": QUESTION}))
        await reader.until(lambda r: len(r.text) >= 8 * len(piece))
        # Windows of a second each, two pieces in each: time enough to send them all. What was sent
        # is what was read, and what the sockets' buffers hold.
        async with session.post(f"{server.url}/streams/{reader.stream}/stop") as stopped:
            assert stopped.status == 200
        await reading
    assert upstream.tokens_sent < pieces // 2


async def test_a_killed_servers_answers_are_charged_for_what_they_used(
    serve: Serve, tmp_path: Path, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=["word "] * 5000, pace=Pace(gated=True)))
    upstream.release(300)
    month = '[[budgets]]\nname = "tokens"\nlimit = 10000\nper = "month"\n'
    async with configured(serve, tmp_path, month) as server:
        async with session.post(
            f"{server.url}/chat/stream", json={"message": QUESTION}
        ) as response:
            text = b""
            while text.count(b"word ") < 300:
                text += await response.content.readany()
        assert server.process is not None
        server.process.send_signal(signal.SIGKILL)
        await server.wait()
        await server.start()
        used = (await budgets(session, server))["tokens"]["used"]
        # What it metered last, and what it held in advance, which lapses.
        assert 10 + 300 - 256 <= used <= 10 + 300 + 256
