"""One-use tickets: in a URL, once, soon, and nowhere else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.contract.readers import PROMISE
from tests.contract.test_authority import Desk, Key
from tests.support.node import Script
from tests.support.server import ServerProcess


@pytest.fixture
async def server(serve: Serve) -> AsyncGenerator[ServerProcess, None]:
    async with serve("--log-level", "debug", "--cors-origins", "http://page.example") as server:
        yield server


@pytest.fixture
async def key(tmp_path: Path, server: ServerProcess) -> Key:
    return await Desk(tmp_path).make()


class Client:
    """Asks with a key, and for tickets."""

    def __init__(self, server: ServerProcess, http: aiohttp.ClientSession, key: Key) -> None:
        self.url = server.url
        self.http = http
        self.headers = {"Authorization": f"Bearer {key.text}"}

    async def ticket(self) -> str:
        async with self.http.post(f"{self.url}/tickets", headers=self.headers) as response:
            body = await response.json()
        assert body["expires_in"] == 30
        assert body["ticket"].startswith("flt_")
        text: str = body["ticket"]
        return text

    async def ask(self) -> str:
        body = {"message": "Go on.", "background": True}
        async with self.http.post(
            f"{self.url}/chat/stream", json=body, headers=self.headers
        ) as response:
            return response.headers["Fairlead-Stream"]

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path, headers=headers) as response:
            if response.status == 200:
                return 200, None
            return response.status, await response.json()


@pytest.fixture
def client(server: ServerProcess, session: aiohttp.ClientSession, key: Key) -> Client:
    return Client(server, session, key)


async def test_a_ticket_opens_one_stream_once(
    client: Client, server: ServerProcess, upstream: ScriptedUpstream, key: Key
) -> None:
    upstream.script(Answer(tokens=("Hello.",)))
    stream = await client.ask()
    used = [await client.ticket() for _ in range(5)]
    assert len(set(used)) == 5
    assert (await client.get(f"/streams/{stream}?ticket={used[0]}"))[0] == 200
    status, told = await client.get(f"/streams/{stream}?ticket={used[0]}")
    assert (status, told["code"]) == (401, "unauthenticated")
    assert (await client.get(f"/chat/stream?message=Again&ticket={used[1]}"))[0] == 200
    # One that comes with a header is not used up by it.
    with_header = {"Authorization": f"Bearer {key.text}"}
    assert (await client.get(f"/streams/{stream}?ticket={used[2]}", **with_header))[0] == 200
    assert (await client.get(f"/streams/{stream}?ticket={used[2]}"))[0] == 200
    # Of many at once, one.
    found = await asyncio.gather(
        *(client.get(f"/streams/{stream}?ticket={used[3]}") for _ in range(20))
    )
    assert sorted(status for status, _ in found) == [200] + [401] * 19
    text = json.dumps(server.logs)
    for secret in (*used, key.text):
        assert secret not in text


async def test_a_ticket_is_for_streams_and_a_url_for_tickets(
    client: Client, upstream: ScriptedUpstream, key: Key
) -> None:
    upstream.script(Answer(tokens=("Hello.",)))
    stream = await client.ask()
    ticket = await client.ticket()
    for path in ("/conversations", "/streams", "/me", "/info"):
        status, told = await client.get(f"{path}?ticket={ticket}")
        assert (status, told) == (401, told) or (path, told) == ("/me", None)
    for method, path in (
        ("POST", "/chat/stream"),
        ("POST", "/tickets"),
        ("POST", f"/streams/{stream}/stop"),
        ("DELETE", f"/streams/{stream}"),
    ):
        url = f"{client.url}{path}?ticket={ticket}"
        async with client.http.request(method, url) as response:
            assert response.status == 401
    assert (await client.get(f"/streams/{stream}?ticket={ticket}"))[0] == 200, "it was kept"
    for wrong in (key.text, "fls_" + "0" * 52, "anything"):
        status, told = await client.get(f"/streams/{stream}?ticket={wrong}")
        assert status == 401
        assert "must not stand in a URL" in told["error"]
        assert wrong not in json.dumps(told)


async def test_a_browsers_eventsource_and_socket_open_with_tickets(
    client: Client, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=("Hello ", "there.")))
    stream = await client.ask()
    async with Script("browser.mjs") as chromium:
        await chromium.send(goto=f"{server.url}/health/live")
        await chromium.next("page")
        ticket = await client.ticket()
        await chromium.send(run=f"listen('{server.url}/streams/{stream}?ticket={ticket}')")
        await chromium.next("done")
        ticket = await client.ticket()
        await chromium.send(
            run=f"""new Promise((resolve) => {{
                const socket = new WebSocket('/ws?ticket={ticket}', ['fairlead.v1']);
                socket.onopen = () => socket.send('{{"type": "ping"}}');
                socket.onmessage = (event) =>
                  resolve([JSON.parse(event.data).type, socket.protocol]);
            }})"""
        )
        assert (await chromium.next("result", value=["pong", "fairlead.v1"]))["value"]


async def test_a_browsers_eventsource_reads_a_response(
    client: Client, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=("Hello ", "there.")))
    body = {"input": "Hi", "background": True}
    async with client.http.post(
        f"{client.url}/v1/responses", json=body, headers=client.headers
    ) as made:
        id = (await made.json())["id"]
    ticket = await client.ticket()
    url = f"/v1/responses/{id}?stream=true&starting_after=1&ticket={ticket}"
    async with Script("browser.mjs") as chromium:
        await chromium.send(goto=f"{server.url}/health/live")
        await chromium.next("page")
        await chromium.send(
            run=f"""new Promise((resolve) => {{
                const source = new EventSource('{url}');
                let text = '';
                source.addEventListener('response.output_text.delta', (event) => {{
                  text += JSON.parse(event.data).delta;
                }});
                source.addEventListener('response.completed', (event) => {{
                  source.close();
                  resolve([text, JSON.parse(event.data).response.status]);
                }});
            }})"""
        )
        assert await chromium.next("result", value=["Hello there.", "completed"])
    status, told = await client.get(f"/v1/responses/{id}?stream=true&ticket={ticket}")
    assert (status, told["error"]["code"]) == (401, "invalid_api_key")
    unused = await client.ticket()
    assert (await client.get(f"/v1/responses/{id}/input_items?ticket={unused}"))[0] == 401
    assert (await client.get(f"/v1/responses/{id}?ticket={unused}"))[0] == 200, "it was kept"


async def test_what_a_ticket_opened_ends_with_the_key_it_was_got_with(
    client: Client, upstream: ScriptedUpstream, key: Key, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=("Hello ", "there."), pace=Pace(gated=True)))
    stream = await client.ask()
    upstream.release(1)
    ticket = await client.ticket()
    unused = await client.ticket()
    async with client.http.get(
        f"{client.url}/streams/{stream}?ticket={ticket}", headers={"Accept": "application/x-ndjson"}
    ) as response:
        lines = response.content
        async for line in lines:
            if line.strip() and json.loads(line)["type"] == "token":
                break
        await Desk(tmp_path).revoke(key)
        async with asyncio.timeout(PROMISE):
            last = [json.loads(line) async for line in lines if line.strip()][-1]
    assert (last["type"], last["data"]["code"]) == ("error", "revoked")
    # A ticket that was got before and is used afterwards shows as much and no more.
    async with client.http.get(f"{client.url}/streams/{stream}?ticket={unused}") as response:
        async with asyncio.timeout(PROMISE):
            assert b"revoked" in await response.read()


async def test_of_the_subprotocols_only_the_one_without_a_secret_is_echoed(
    client: Client, server: ServerProcess, key: Key
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Protocol: fairlead.key.%b, fairlead.v1\r\n\r\n" % key.text.encode()
    )
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert b"101 switching" in head
    assert b"sec-websocket-protocol: fairlead.v1\r\n" in head
    assert key.text.encode() not in head
    writer.close()
