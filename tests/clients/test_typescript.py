"""The TypeScript client, as it is built, against the real server: what its user asks of it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

import fairlead
from fairlead.events.pieces import Piece
from fairlead.ports.provider import GenerationRequest
from fairlead.testing.toxic import Cut, Pass, Split, ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.clients.lines import PACKAGE, READER, TEXT, TOKENS, as_recorded, exact, reader
from tests.library.conftest import served
from tests.support.server import ServerProcess

GATED = Pace(gated=True)
every_transport = pytest.mark.parametrize(
    "transport", ["sse", "websocket", "poll", "ndjson", "connect"]
)


@pytest.mark.timeout(900)
async def test_its_own_tests_pass() -> None:
    process = await asyncio.create_subprocess_exec(
        "node_modules/.bin/vitest", "run", "--silent=passed-only",
        cwd=PACKAGE, env=os.environ | {"NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(840):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


async def test_in_a_browser(serve: Serve, upstream: ScriptedUpstream) -> None:
    paced = Answer(tokens=TOKENS, pace=Pace(delay_s=0.005))
    upstream.script(paced, paced, paced, Answer(tokens=TOKENS, pace=GATED), paced)
    upstream.release(3)
    server = serve()
    server.env["FAIRLEAD_API_KEYS"] = "alice=k(1)/2"
    async with server:
        seen = await browser("browser.mjs", server)
    whole = {"status": "completed", "text": TEXT}
    for transport in ("sse", "websocket", "poll"):
        assert seen[transport] == whole | {"transports": [transport]}
    fetched = seen["fetched"]
    assert fetched["sse"] < fetched["websocket"] == fetched["poll"]
    first, then = seen["interrupted"]
    assert (first["status"], first["transports"]) == ("stopped", ["sse"])
    assert TEXT.startswith(first["text"])
    assert first["text"].startswith(seen["shown"])
    assert then == whole | {"transports": ["websocket"]}
    assert len(upstream.requests) == 5
    turns = json.loads(upstream.requests[-1].body)["messages"]
    assert turns[-2] == {"role": "assistant", "content": seen["shown"]}


async def test_chat_in_a_browser(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED), Answer(tokens=("Four ", "five")))
    upstream.release(3)
    async with serve() as server:
        first, stopped, second, completed = await browser("chat.mjs", server)
    assert first == ["user", "completed", "Count."]
    assert stopped[:2] == ["assistant", "stopped"]
    assert TEXT.startswith(stopped[2])
    assert second == ["user", "completed", "Anew!"]
    assert completed == ["assistant", "completed", "Four five"]
    assert len(upstream.requests) == 2


async def browser(script: str, server: ServerProcess) -> Any:
    """What a script saw in Chromium."""
    process = await asyncio.create_subprocess_exec(
        "node", str(Path(READER).with_name(script)), f"{server.url}/",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@every_transport
async def test_in_pieces_of_three_bytes(
    serve: Serve, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with (
        serve() as server,
        ToxicProxy(server.port, Split(3)) as line,
        reader(line.url, transport=transport) as client,
    ):
        await client.send(ask="Go on.")
        exact(await client.next("answer"))


@every_transport
async def test_media_come_as_their_bytes(tmp_path: Path, transport: str) -> None:
    picture = bytes(range(256)) * 20

    async def paint(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        yield "Here: "
        yield fairlead.media("image/png", picture)

    ai = fairlead.Fairlead(data_dir=tmp_path, drain_grace=0, providers={"paint": paint})
    async with (
        served(ai.asgi()) as url,
        ToxicProxy(urlsplit(url).port or 0, Cut(1000), Cut(4000), Pass()) as line,
        reader(line.url, transport=transport, maxDelay=0) as client,
    ):
        await client.send(ask="Paint.")
        answer = await client.next("answer")
        exact(answer, "Here: ")
        assert answer["media"] == [picture.hex()]


async def test_many_answers_share_one_socket(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with (
        serve() as server,
        ToxicProxy(server.port) as line,
        reader(line.url, transport="websocket") as client,
    ):
        await client.send(ask="Go on.", count=30, together=True)
        for _ in range(30):
            await client.next("begun")
        line.cut()
        upstream.release(30 * (len(TOKENS) + 1))
        answers = [await client.next("answer") for _ in range(30)]
        for answer in answers:
            exact(answer)
            await as_recorded(session, server, answer)
        assert len({answer["stream"] for answer in answers}) == 30
        assert line.connections == 2
    assert len(upstream.requests) == 30


@every_transport
async def test_stop_and_document(serve: Serve, upstream: ScriptedUpstream, transport: str) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve() as server, reader(server.url, transport=transport) as client:
        await client.send(ask="Go on.")
        stream = (await client.next("begun"))["stream"]
        upstream.release(3)
        await upstream.wait_tokens(3)
        await client.send(stop=stream)
        assert (await client.next("document"))["status"] == "stopped"
        # The reading and the stopping end in either order.
        (answer,) = client.all("answer") or [await client.next("answer")]
        assert answer["status"] == "stopped"
        assert TEXT.startswith(answer["text"])
        await client.send(document=stream)
        document = await client.next("document")
        assert document["text"] == answer["text"]
        assert document["position"] == answer["positions"][-1]


@every_transport
async def test_a_restart_interrupts_and_the_client_is_told(
    serve: Serve, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    hasty = {"maxDelay": 50, "maxRetries": 1000}
    async with (
        serve() as server,
        ToxicProxy(server.port) as line,
        reader(line.url, transport=transport, **hasty) as client,
    ):
        await client.send(ask="Go on.")
        await client.next("begun")
        upstream.release(3)
        await line.until_received(TOKENS[2][:3].encode())
        await server.kill()
        await server.start()
        answer = await client.next("answer")
        assert (answer["status"], answer["code"]) == ("interrupted", "interrupted")
        assert answer["text"] == "".join(TOKENS[:3])


@every_transport
async def test_a_server_that_restarts_is_come_back_to(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, transport: str
) -> None:
    """It drains: the answer is written to its end, while its reader is sent away to come back."""
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    hasty = {"maxDelay": 50, "maxRetries": 1000}
    async with (
        serve("--drain-grace", "0.1") as server,
        ToxicProxy(server.port) as line,
        reader(line.url, transport=transport, **hasty) as client,
    ):
        await client.send(ask="Go on.")
        await client.next("begun")
        server.terminate()
        await server.wait()
        await server.start()
        answer = await client.next("answer")
        assert (answer["status"], answer["code"]) == ("interrupted", "interrupted")
        await client.send(ask="Once more.")
        upstream.release(2 * (len(TOKENS) + 1))
        answer = await client.next("answer")
        exact(answer)
        await as_recorded(session, server, answer)


async def test_a_server_that_has_no_room_for_a_socket_is_asked_later(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with (
        serve("--max-readers", "1") as server,
        ToxicProxy(server.port) as line,
        reader(server.url, transport="websocket") as first,
        reader(line.url, transport="websocket", maxDelay=50, maxRetries=1000) as second,
    ):
        await first.send(ask="Go on.")
        await first.next("begun")
        await second.send(ask="And I?")
        await line.until_received(b"\x03\xf5too many connections", 2)  # 1013
        assert len(upstream.requests) == 1
        upstream.release(2 * (len(TOKENS) + 1))
        exact(await first.next("answer"))
        exact(await second.next("answer"))


async def test_a_quiet_socket_answers_the_servers_pings(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with (
        serve("--heartbeat", "0.2") as server,
        ToxicProxy(server.port) as line,
        reader(line.url, transport="websocket") as client,
    ):
        await client.send(ask="Go on.")
        await client.next("begun")
        await line.until_received(b"\x89\x04", 4)
        upstream.release(len(TOKENS) + 1)
        exact(await client.next("answer"))
        assert line.connections == 1


@every_transport
async def test_a_wrong_credential_is_final(
    serve: Serve, upstream: ScriptedUpstream, transport: str
) -> None:
    server = serve("--no-direct")
    server.env["FAIRLEAD_API_KEYS"] = "alice=9f2c6c1e"
    upstream.script(Answer(tokens=TOKENS))
    async with server, ToxicProxy(server.port, Pass()) as line:
        for key, status, code in (
            ("wrong", "failed", "unauthenticated"),
            ("9f2c6c1e", "completed", None),
        ):
            before = line.connections
            async with reader(line.url, apiKey=key, transport=transport) as client:
                await client.send(ask="Who am I?")
                answer = await client.next("answer")
                assert (answer["status"], answer.get("code")) == (status, code)
            if status == "failed":
                assert line.connections == before + 1
