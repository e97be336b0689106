"""What bounds a Realtime session: its time, budgets, rules, its caller's authority, a restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.sdks.serving import KEY, serving
from tests.support.phone import Phone
from tests.support.server import ServerProcess
from tests.support.speaking import SpeakingUpstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

OVERSEER = {
    "consumer": "tester",
    "key_env": "TESTER_KEY",
    "scopes": ["ask", "read", "admin"],
}
RULE = {
    "name": "closed",
    "act": "deny",
    "paths": ["/v1/realtime"],
    "headers": {"x-bad": "*"},
}
TEXT = "Hello there, how are you?"

Begin = Callable[..., Awaitable[ServerProcess]]


@pytest_asyncio.fixture(loop_scope="module")
async def begin(running: ScriptedUpstream, tmp_path: Path) -> AsyncGenerator[Begin]:
    servers: list[ServerProcess] = []

    async def begin(*flags: str, **settings: Any) -> ServerProcess:
        upstream = {"name": "scripted", "base_url": running.base_url, "models": ["m-1"]}
        server = serving(tmp_path, upstream, flags=flags, keys=[OVERSEER], **settings)
        servers.append(server)
        return await server.start()

    yield begin
    for server in servers:
        await server.kill()


def session(server: ServerProcess, key: str = KEY, query: str = "") -> Any:
    url = server.url.replace("http", "ws") + f"/v1/realtime{query}"
    return connect(url, additional_headers={"Authorization": f"Bearer {key}"}, max_size=None)


async def until(socket: ClientConnection, type: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not events or events[-1]["type"] != type:
            events.append(json.loads(await socket.recv()))
    return events


async def closed(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def ask(socket: ClientConnection, text: str = "Hi") -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create", "event_id": "mine"}))


async def test_it_lasts_so_long(begin: Begin) -> None:
    server = await begin("--realtime-seconds", "0.5")
    async with session(server) as socket:
        assert (await until(socket, "error"))[-1]["error"]["code"] == "session_expired"
        assert await closed(socket) == 1001


async def test_budgets(begin: Begin, upstream: ScriptedUpstream) -> None:
    few = {"name": "few", "unit": "requests", "limit": 1, "per": "month"}
    server = await begin(budgets=[few])
    async with session(server) as socket:
        await ask(socket)
        events = await until(socket, "response.done")
        (limits,) = [event for event in events if event["type"] == "rate_limits.updated"]
        (told,) = limits["rate_limits"]
        assert (told["name"], told["limit"], told["remaining"]) == ("requests", 1, 0)
        assert told["reset_seconds"] > 0
        await socket.send(json.dumps({"type": "response.create", "event_id": "mine"}))
        refused = (await until(socket, "error"))[-1]["error"]
        assert (refused["code"], refused["event_id"]) == ("rate_limit_exceeded", "mine")
        # The session goes on.
        await socket.send(json.dumps({"type": "session.update", "session": {}}))
        await until(socket, "session.updated")


async def test_rules_and_places(begin: Begin) -> None:
    server = await begin("--max-sockets-each", "1", rules=[RULE])
    url = server.url.replace("http", "ws") + "/v1/realtime"
    headers = {"Authorization": f"Bearer {KEY}", "X-Bad": "1"}
    with pytest.raises(InvalidStatus) as denied:
        await connect(url, additional_headers=headers)
    assert denied.value.response.status_code == 403
    assert json.loads(denied.value.response.body or b"")["error"]["code"] == "forbidden"
    async with session(server) as first:
        await until(first, "session.created")
        async with session(server) as second:
            assert (await until(second, "error"))[-1]["error"]["type"] == "rate_limit_error"
            assert await closed(second) == 1013


async def test_a_revoked_key_ends_it(begin: Begin, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    server = await begin()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        made = (await http.post(f"{server.url}/admin/keys", json={"consumer": "ann"})).json()
        before = len(upstream.requests)
        async with session(server, made["key"]) as socket:
            await ask(socket)
            (await upstream.wait_requests(before + 1)).release(1)
            await until(socket, "response.output_text.delta")
            id = made["id"]
            assert (await http.delete(f"{server.url}/admin/keys/{id}")).status_code < 300
            assert (await until(socket, "error"))[-1]["error"]["code"] == "invalid_api_key"
            assert await closed(socket) == 1008


async def test_a_restart_ends_it_and_says_so(begin: Begin, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    server = await begin("--drain-grace", "0.1")
    async with session(server) as socket:
        await ask(socket)
        (await upstream.wait_requests(before + 1)).release(1)
        await until(socket, "response.output_text.delta")
        server.terminate()
        done = (await until(socket, "response.done"))[-1]["response"]
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == "interrupted"
        assert await closed(socket) == 1012
    assert await server.wait() == 0


async def test_a_restart_ends_calls_as_well(begin: Begin, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    server = await begin("--drain-grace", "0.1")
    async with (
        Phone() as phone,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        made = await client.realtime.calls.create(sdp=await phone.offer())
        await phone.answered(made.text)
        await phone.until("session.created")
        phone.say("Hi")
        (await upstream.wait_requests(before + 1)).release(1)
        await phone.until("response.output_text.delta")
        # One that nobody has taken yet does not hold the server up either.
        async with Phone() as waiting:
            await client.realtime.calls.create(sdp=await waiting.offer())
            server.terminate()
            done = (await phone.until("response.done"))[-1]["response"]
            assert done["status"] == "failed"
            await phone.until("closed")
            assert await server.wait() == 0


async def test_too_large_an_event_ends_nothing(begin: Begin) -> None:
    server = await begin("--max-body-bytes", "1KiB")
    async with session(server) as socket:
        await ask(socket, "x" * 2000)
        told = await until(socket, "error")
        assert told[-1]["error"]["code"] == "too_large"
        await socket.send(json.dumps({"type": "session.update", "session": {}}))
        await until(socket, "session.updated")


async def test_a_session_that_an_upstream_holds_is_seen_and_can_be_closed(tmp_path: Path) -> None:
    async with SpeakingUpstream() as speaking:
        upstream = {"name": "speaking", "base_url": speaking.base_url, "models": ["speaks"]}
        async with (
            serving(tmp_path, {**upstream, "realtime": True}, keys=[OVERSEER]) as server,
            httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as admin,
            session(server, query="?model=speaks") as socket,
        ):
            await socket.send(json.dumps({"type": "response.create"}))
            await until(socket, "response.done")
            (seen,) = (await admin.get(f"{server.url}/admin/streams")).json()["sockets"]
            assert seen["kind"] == "realtime"
            assert (seen["name"], seen["consumer"], seen["tokens"]) == ("speaks", "tester", 100)
            metrics = (await admin.get(f"{server.url}/metrics")).text
            assert 'fairlead_sockets{kind="realtime",name="speaks"} 1.0' in metrics
            stopped = await admin.post(f"{server.url}/admin/sockets/{seen['socket']}/stop")
            assert stopped.status_code == 204
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (1008, "stopped")
            assert (await admin.get(f"{server.url}/admin/streams")).json()["sockets"] == []
