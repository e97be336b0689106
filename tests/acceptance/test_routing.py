"""The server over several upstreams: killed, slow, limited, and back again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Silent, Status
from tests.support.server import ServerProcess
from tests.support.sse import Reader
from tests.support.upstream import UpstreamProcess

Serve = Callable[..., Awaitable[ServerProcess]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncGenerator[Serve]:
    """Starts a server with a configuration file."""
    async with AsyncExitStack() as stack:

        async def start(text: str, *flags: str, **env: str) -> ServerProcess:
            file = tmp_path / "fairlead.toml"
            file.write_text(text, encoding="utf-8")
            server = ServerProcess(
                tmp_path / "data", "--config", str(file), "--no-knowledge", *flags, env=env
            )
            return await stack.enter_async_context(server)

        yield start


def upstream(name: str, base_url: str, models: str = '"m"', more: str = "") -> str:
    return (
        f'[[upstreams]]\nname = "{name}"\nbase_url = "{base_url}"\n'
        f"models = [{models}]\nmax_retries = 0\n{more}\n"
    )


async def ask(session: aiohttp.ClientSession, server: ServerProcess, **body: Any) -> Reader:
    headers = body.pop("headers", {})
    reader = Reader(session, server.url)
    await reader.ask({"message": "hello", **body}, **headers)
    return reader


def told(reader: Reader) -> dict[str, Any]:
    """Who answered, by the answer's own events."""
    events = [data for name, data, _ in reader.events if name == "thinking"]
    return next((data for data in events if "provider" in data and "stream" not in data), {})


async def test_kill_of_an_upstream_loses_only_what_it_had_begun(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    async with (
        UpstreamProcess("--tokens", "20", "--delay-ms", "10") as a,
        UpstreamProcess("--tokens", "20") as b,
    ):
        rest = "breaker_failures = 3\nbreaker_rest = 0.3"
        server = await serve(
            upstream("a", a.base_url, more=rest)
            + upstream("b", b.base_url, more=rest)
            + '[[routes]]\nstrategy = "in_order"\n'
        )
        tasks = [asyncio.create_task(ask(session, server)) for _ in range(30)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert told(next(iter(done)).result())["provider"] == "a"
        more = [asyncio.create_task(ask(session, server)) for _ in range(20)]
        await a.kill()
        readers = [*await asyncio.gather(*tasks), *await asyncio.gather(*more)]
        for reader in readers:
            assert reader.ended
            who = told(reader).get("provider")
            if reader.events[-1][0] == "error":
                # It had begun to answer: what was shown is never taken back or said twice.
                assert (who, reader.end["code"], reader.end["retryable"]) == (
                    "a", "upstream_cut", True,
                )  # fmt: skip
                assert "".join(f"word{n} " for n in range(20)).startswith(reader.text)
            else:
                assert reader.text == "".join(f"word{n} " for n in range(20))
        assert {told(r)["provider"] for r in readers if r.events[-1][0] == "done"} >= {"b"}

        after = [await ask(session, server) for _ in range(10)]
        assert {told(reader)["provider"] for reader in after} == {"b"}
        assert (await after[0].document())["provider"] == "b"

        await a.start()
        async with asyncio.timeout(90):
            while told(await ask(session, server))["provider"] != "a":
                pass


async def test_slow_refusing_and_limited_upstreams_are_passed_by(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    async with (
        ScriptedUpstream() as slow,
        ScriptedUpstream(api_key="another") as refusing,
        ScriptedUpstream() as limited,
        ScriptedUpstream() as good,
    ):
        slow.script(Silent())
        limited.script(Status(429, retry_after=120))
        good.script(Answer("here it is"))
        server = await serve(
            upstream("slow", slow.base_url, more="first_token_timeout = 2\nbreaker_failures = 1")
            + upstream("refusing", refusing.base_url, more='api_key_env = "A_KEY"')
            + upstream("limited", limited.base_url)
            + upstream("good", good.base_url)
            + '[[routes]]\nstrategy = "in_order"\n',
            A_KEY="sk-secret-of-the-server",
        )
        for _ in range(3):
            reader = await ask(session, server)
            assert reader.text == "here it is"
            assert told(reader)["provider"] == "good"
        asked = [len(each.requests) for each in (slow, refusing, limited, good)]
        assert asked == [1, 1, 1, 3]
        assert "sk-secret" not in str(server.logs)


async def test_health_check_keeps_questions_from_a_dead_upstream(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    async with UpstreamProcess("--tokens", "2") as a, UpstreamProcess("--tokens", "2") as b:
        server = await serve(
            upstream("a", a.base_url, more="health_interval = 0.1")
            + upstream("b", b.base_url)
            + '[[routes]]\nstrategy = "in_order"\n'
        )
        assert told(await ask(session, server))["provider"] == "a"
        await a.kill()
        await server.wait_log(lambda line: line.get("event") == "upstream_unwell")
        seen = len(server.logs)
        assert told(await ask(session, server))["provider"] == "b"
        assert not [line for line in server.logs[seen:] if line.get("event") == "upstream_failed"]
        await a.start()
        await server.wait_log(lambda line: line.get("event") == "upstream_well")
        assert told(await ask(session, server))["provider"] == "a"


async def test_cap_of_concurrent_answers_under_load(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    async with ScriptedUpstream() as a, ScriptedUpstream() as b:
        for each in (a, b):
            each.script(Answer("one two three", pace=Pace(delay_s=0.002)))
        server = await serve(
            upstream("a", a.base_url, more="max_concurrent = 3")
            + upstream("b", b.base_url, more="max_concurrent = 2")
        )
        readers = await asyncio.gather(*(ask(session, server) for _ in range(60)))
        assert {reader.text for reader in readers} == {"one two three"}
        # A connection is kept for the next answer, so never more were needed than answers at once.
        assert a.connections_made <= 3
        assert b.connections_made <= 2
        assert len(a.requests) + len(b.requests) == 60
        statuses = [d["status"] for r in readers for n, d, _ in r.events if n == "thinking"]
        assert statuses.count("queued") >= 30


async def test_weights_spread_and_stickiness_holds(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    async with UpstreamProcess("--tokens", "1") as a, UpstreamProcess("--tokens", "1") as b:
        server = await serve(
            upstream("a", a.base_url, more="weight = 9")
            + upstream("b", b.base_url)
            + '[[routes]]\nheader = "x-mode"\nvalue = "sticky"\nstrategy = "sticky"\n'
        )
        readers = await asyncio.gather(*(ask(session, server) for _ in range(60)))
        by_weight = Counter(told(reader)["provider"] for reader in readers)
        assert by_weight["a"] > by_weight["b"]
        for talk in ("one", "two", "three"):
            same = {
                told(
                    await ask(session, server, conversation_id=talk, headers={"X-Mode": "sticky"})
                )["provider"]
                for _ in range(4)
            }
            assert len(same) == 1


async def test_routes_aliases_and_fallback(session: aiohttp.ClientSession, serve: Serve) -> None:
    async with ScriptedUpstream() as big, ScriptedUpstream() as small:
        big.script(Answer("from big"))
        small.script(Answer("from small"))
        server = await serve(
            upstream("big", big.base_url, '"large", "m"')
            + upstream("small", small.base_url, '"tiny", "m"')
            + """
[[aliases]]
name = "fast"
model = "tiny"

[[routes]]
header = "x-tier"
value = "gold*"
upstreams = ["big"]

[[routes]]
consumer = "intern"
use = "tiny"

[[routes]]
model = "large"
fallback = ["tiny"]
""",
            FAIRLEAD_API_KEYS="boss=key-of-boss,intern=key-of-intern",
        )
        boss = {"Authorization": "Bearer key-of-boss"}
        intern = {"Authorization": "Bearer key-of-intern"}
        assert (await ask(session, server, headers=boss)).text == "from big"
        assert (await ask(session, server, model="fast", headers=boss)).text == "from small"
        assert small.requests[-1].json["model"] == "tiny"
        assert (await ask(session, server, model="large", headers=intern)).text == "from small"
        for _ in range(4):
            gold = {**boss, "X-Tier": "gold-plus"}
            assert (await ask(session, server, model="m", headers=gold)).text == "from big"
        big.script(Status(500))
        reader = await ask(session, server, model="large", headers=boss)
        assert reader.text == "from small"
        assert (told(reader)["provider"], told(reader)["model"]) == ("small", "tiny")

        async with session.get(f"{server.url}/models", headers=boss) as response:
            found = await response.json()
        assert [model["name"] for model in found["models"]] == ["large", "m", "tiny"]
        assert found["aliases"] == [{"name": "fast", "model": "tiny"}]
        assert found["default"] == "large"
        async with session.post(
            f"{server.url}/chat/stream", json={"message": "hi", "model": "none"}, headers=boss
        ) as response:
            assert response.status == 400
            assert "fast" in (await response.json())["error"]
