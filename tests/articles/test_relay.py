"""The articles' servers, unchanged, behind Fairlead: their streams resume, their sockets have
identity."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest

from fairlead.framing.event_stream import Frame, Parser
from fairlead.testing.toxic import Cut, Pass, ToxicProxy
from tests.articles.fastapi_sample import TOKENS
from tests.support.apps import node_app, python_app
from tests.support.node import Script
from tests.support.server import ServerProcess

TEXT = "".join(TOKENS)
SAMPLE = "tests.articles.fastapi_sample:app"
Relay = Callable[..., Awaitable[ServerProcess]]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncGenerator[Relay]:
    """Starts a server with an application at ``/sample``; clients come back at once."""
    async with AsyncExitStack() as stack:

        async def start(target: str, **env: str) -> ServerProcess:
            file = tmp_path / "fairlead.toml"
            file.write_text(f'[[apps]]\nname = "sample"\npath = "/sample"\ntarget = "{target}"\n')
            server = ServerProcess(
                tmp_path / "data",
                *("--config", str(file), "--no-knowledge", "--retry", "0.02"),
                env=env,
            )
            return await stack.enter_async_context(server)

        yield start


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def line_to(url: str, *behaviours: Cut | Pass) -> ToxicProxy:
    """A line to an application, by which its requests can be counted."""
    port = urlsplit(url).port
    assert port is not None
    return ToxicProxy(port, *behaviours)


async def frames(response: aiohttp.ClientResponse, most: int = 1000) -> list[Frame]:
    parser, found = Parser(), list[Frame]()
    while len(found) < most and (data := await response.content.readany()):
        found += parser.feed(data)
    return found


async def test_fastapi_says_the_same_through_it(
    relay: Relay, session: aiohttp.ClientSession
) -> None:
    async with python_app(SAMPLE) as sample:
        server = await relay(sample)
        body = {"message": "断线之后?"}
        async with session.post(f"{sample}/chat/stream", json=body) as response:
            alone = await frames(response)
        async with session.post(f"{server.url}/sample/chat/stream", json=body) as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert response.headers["X-Accel-Buffering"] == "no"
            through = await frames(response)
        assert [(f.event, f.data) for f in through] == [(f.event, f.data) for f in alone]
        # What is no stream passes as it is.
        async with session.post(f"{server.url}/sample/chat/stream", json={}) as response:
            assert response.status == 422


async def test_fastapi_gains_resume_for_fetch_event_source(
    relay: Relay,
) -> None:
    async with python_app(SAMPLE) as sample, line_to(sample) as behind:
        server = await relay(behind.url)
        # Cut after ever more of the answer, each time in mid-answer; the head has about 300 bytes.
        async with ToxicProxy(server.port, Cut(500), Cut(500), Cut(500), Pass()) as line:
            async with Script(
                "fetch-event-source.mjs", url=f"{line.url}/sample", message="?", retryDelay=10
            ) as script:
                await script.next("done")
            assert line.connections == 4
        assert "".join(report["token"] for report in script.all("token")) == TEXT
        assert len(script.all("thinking")) == len(script.all("sources")) == 1
        assert [request.method for request in behind.requests] == ["POST"]


async def test_fastapi_gains_resume_for_eventsource(relay: Relay) -> None:
    async with python_app(SAMPLE) as sample, line_to(sample) as behind:
        server = await relay(behind.url)
        path = "/sample/chat/stream?message=" + quote("断线之后?")
        async with ToxicProxy(server.port, Cut(500), Cut(500), Pass()) as line:
            async with Script("eventsource.mjs", url=line.url + path) as script:
                await script.next("done")
                while not (last := await script.next("broken"))["closed"]:
                    pass
            assert last["code"] == 204  # it does not come again, as it would to the sample
        tokens = [report["data"]["token"] for report in script.all("token")]
        assert "".join(tokens) == TEXT
        assert len(script.all("done")) == 1
        assert len(behind.requests) == 1


async def test_express_gains_resume_while_it_writes(relay: Relay) -> None:
    async with node_app("express-sample.mjs", "0", "50", "60") as sample, line_to(sample) as behind:
        server = await relay(behind.url)
        async with ToxicProxy(server.port) as line:
            async with Script("eventsource.mjs", url=f"{line.url}/sample/events") as script:
                for number in (3, 6, 9):
                    while (await script.next("message"))["data"]["sent"] < number:
                        pass
                    line.cut()
                while not (await script.next("broken"))["closed"]:
                    pass
            # The last one is told that there is nothing more.
            assert line.connections >= 3
        # Each exactly once and in order, over all connections, of one run.
        assert [report["data"]["sent"] for report in script.all("message")] == [*range(1, 61)]
        assert script.all("message")[0]["data"]["message"] == "消息 1"
        assert len(behind.requests) == 1


async def test_refreshed_page_goes_on_where_it_was(
    relay: Relay, session: aiohttp.ClientSession
) -> None:
    async with node_app("express-sample.mjs", "0", "20", "8") as sample, line_to(sample) as behind:
        server = await relay(behind.url)
        url = f"{server.url}/sample/events"
        async with session.get(url, params={"fairlead_key": "this page"}) as response:
            before = await frames(response, 3)
        # The page that comes back knows the key alone: it is told all, and nothing is begun anew.
        async with session.get(url, params={"fairlead_key": "this page"}) as response:
            again = await frames(response)
        assert [json.loads(frame.data)["sent"] for frame in again] == [*range(1, 9)]
        assert [frame.id for frame in again][: len(before)] == [frame.id for frame in before]
        (request,) = behind.requests
        assert request.target == "/events"


async def test_websocket_sample_gains_identity(
    relay: Relay, session: aiohttp.ClientSession
) -> None:
    async with python_app("tests.articles.websocket_sample:app") as sample:
        server = await relay(sample, FAIRLEAD_API_KEYS="alice=key-of-alice")
        url = f"{server.url}/sample/ws/alice"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await session.ws_connect(url)
        async with session.ws_connect(url, protocols=("fairlead.key.key-of-alice",)) as ws:
            await ws.send_json({"type": "chat", "message": "断线之后?"})
            said: list[dict[str, Any]] = []
            async with asyncio.timeout(90):
                while not said or said[-1]["type"] != "done":
                    said.append(await ws.receive_json())
        assert [message["type"] for message in said] == ["thinking", *["token"] * 6, "done"]
        tokens = [message["data"]["token"] for message in said if message["type"] == "token"]
        assert "".join(tokens) == TEXT
        assert said[-1]["data"]["asked"] == "断线之后?"
