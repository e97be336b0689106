"""Fairlead behind nginx and Caddy with TLS: HTTP/2 in a real browser, WebSocket, polling, gRPC."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import grpc
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from fairlead.v1.answers_pb import AskRequest, AttachRequest
from tests.articles.conftest import Serve, ready, until_readers
from tests.contract.transports import Place, poll, sse
from tests.proxies.tls import CADDYFILE, Caddy, NginxTls
from tests.support.node import Script
from tests.support.ports import free_port
from tests.support.rpc import Grpc, text
from tests.support.server import ServerProcess
from tests.support.websocket import Client

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
TEXT = "".join(TOKENS)
#: More than the six connections that browsers make to a server over HTTP/1.1.
TABS = 12

Proxy = NginxTls | Caddy


@pytest.fixture
async def server(serve: Serve) -> ServerProcess:
    port = free_port()
    return await serve("--base-path", "/api", "--grpc-port", str(port), GRPC=str(port))


@pytest.fixture(params=[NginxTls, Caddy])
async def proxy(
    request: pytest.FixtureRequest, server: ServerProcess, tmp_path: Path
) -> AsyncGenerator[Proxy]:
    folder = tmp_path / "proxy"
    folder.mkdir()
    async with request.param(folder, server.port, int(server.env["GRPC"])) as proxy:
        yield proxy


def trusting(proxy: Proxy) -> aiohttp.ClientSession:
    """A client that trusts the proxy's certificate."""
    context = ssl.create_default_context(cafile=str(proxy.certificate.file))
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


@pytest.fixture
async def secure(proxy: Proxy) -> AsyncGenerator[aiohttp.ClientSession]:
    async with trusting(proxy) as session:
        yield session


@pytest.fixture
def gated(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))


async def begin(proxy: Proxy, secure: aiohttp.ClientSession) -> str:
    """Ask, and leave; the stream."""
    body = {"message": "Hi", "background": True}
    async with secure.post(f"{proxy.url}/chat/stream", json=body) as response:
        assert response.status == 200
        return response.headers["Fairlead-Stream"]


def browser() -> Script:
    return Script("browser.mjs", flags=["--ignore-certificate-errors"])


#: Opens so many EventSources at once; what they came to, when all of them are done.
ASK = """
Promise.all(Array.from({ length: %d }, (_, tab) => new Promise((resolve) => {
  const source = new EventSource(`${location.origin}/api/chat/stream?message=${tab}`);
  let text = "";
  source.addEventListener("thinking", () => report({ is: "thinking", tab }));
  source.addEventListener("token", ({ data }) => {
    text += JSON.parse(data).token;
    report({ is: "token", tab });
  });
  source.addEventListener("done", () => {
    source.close();
    resolve(text);
  });
})))
"""


@pytest.mark.usefixtures("gated")
async def test_a_dozen_answers_in_a_browser_share_one_connection(
    proxy: Proxy, server: ServerProcess, upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    async with browser() as page:
        await page.send(goto=f"{proxy.url}/")
        await page.next("page")
        await page.send(run=ASK % TABS)
        for _ in range(TABS):
            await page.next("thinking")
        # All are read at once, and none of them has ended.
        assert (await ready(http, server))["readers"] == TABS
        for released in range(len(TOKENS)):
            upstream.release(TABS)
            for _ in range(TABS):
                await page.next("token")
            assert len(page.all("token")) == (released + 1) * TABS
        upstream.release(TABS)
        assert (await page.next("result"))["value"] == [TEXT] * TABS
    while len(connections := proxy.connections("/api/chat/stream")) < TABS:
        await proxy.more_logs()
    assert len(connections) == TABS
    assert len(set(connections)) == 1


@pytest.mark.usefixtures("gated")
@pytest.mark.parametrize("how", ["reloaded", "killed"])
async def test_a_browser_reads_on_when_the_proxy_starts_anew(
    proxy: Proxy, upstream: ScriptedUpstream, how: str
) -> None:
    async with browser() as page:
        await page.send(goto=f"{proxy.url}/")
        await page.next("page")
        await page.send(run=ASK % TABS)
        for _ in range(TABS):
            await page.next("thinking")
        upstream.release(2 * TABS)
        for _ in range(2 * TABS):
            await page.next("token")
        if how == "reloaded":
            await proxy.reloaded()
        else:
            await proxy.kill()
            upstream.release(TABS)
            await proxy.start()
        upstream.release(len(TOKENS) * TABS)
        assert (await page.next("result"))["value"] == [TEXT] * TABS
    assert len(upstream.requests) == TABS


@pytest.mark.usefixtures("gated")
async def test_each_event_arrives_before_the_next_one_is_made(
    proxy: Proxy, secure: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with secure.post(f"{proxy.url}/chat/stream", json={"message": "Hi"}) as response:
        assert response.status == 200
        assert b"event: thinking" in await response.content.readuntil(b"\n\n")
        for token in TOKENS:
            upstream.release()
            block = await response.content.readuntil(b"\n\n")
            data = block.partition(b"data: ")[2].partition(b"\n")[0]
            assert json.loads(data) == {"token": token}
        upstream.release()
        assert b"event: done" in await response.content.read()


async def test_caddy_compresses_the_page_and_no_answer(
    server: ServerProcess, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS * 100))
    async with (
        Caddy(tmp_path, server.port, int(server.env["GRPC"])) as caddy,
        trusting(caddy) as secure,
    ):
        async with secure.get(f"{caddy.url}/") as response:
            assert response.headers["Content-Encoding"] == "gzip"
            script = re.search(r'src="([^"]+[.]js)"', await response.text())
        assert script is not None
        async with secure.get(f"{caddy.url}/{script[1].rpartition('/api/')[2]}") as response:
            assert response.headers["Content-Encoding"] == "gzip"
        async with secure.post(f"{caddy.url}/chat/stream", json={"message": "Hi"}) as response:
            assert "Content-Encoding" not in response.headers
            stream = response.headers["Fairlead-Stream"]
            assert b"event: done" in await response.content.read()
        # All of it in one piece, as no answer begins that is just being written.
        headers = {"Accept": "text/event-stream"}
        async with secure.get(f"{caddy.url}/streams/{stream}", headers=headers) as response:
            assert "Content-Encoding" not in response.headers
            assert len(await response.content.read()) > 4096


@pytest.mark.usefixtures("gated")
async def test_a_page_that_is_left_leaves_the_server(
    proxy: Proxy, server: ServerProcess, http: aiohttp.ClientSession
) -> None:
    async with browser() as page:
        await page.send(goto=f"{proxy.url}/")
        await page.next("page")
        await page.send(run=f"void {ASK % TABS}")
        for _ in range(TABS):
            await page.next("thinking")
        assert (await ready(http, server))["readers"] == TABS
        await page.send(goto="about:blank")
        await until_readers(http, server, 0)
        # They have left, and the answers go on.
        assert (await ready(http, server))["generations"] == TABS


@pytest.mark.usefixtures("gated")
async def test_a_poll_waits_and_goes_on(
    proxy: Proxy, secure: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    place = Place(proxy.url, 0, secure)
    events = poll(place, await begin(proxy, secure), "")
    assert (await anext(events)).type == "thinking"
    for token in TOKENS:
        upstream.release()
        event = await anext(events)
        assert (event.type, event.text) == ("token", token)
    upstream.release()
    assert [event.type async for event in events][-1] == "done"


@pytest.mark.usefixtures("gated")
async def test_a_websocket_goes_on_after_the_proxy_was_killed_or_reloaded(
    proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    context = ssl.create_default_context(cafile=str(proxy.certificate.file))
    client = Client(proxy.url, "/ws/me", origin=proxy.origin, ssl=context)
    async with client:
        stream = await client.ask("Hi")
        for n in range(3):
            upstream.release()
            await client.events(stream, n + 2)
        for again in (proxy.reloaded, proxy.start):
            if again == proxy.start:
                await proxy.kill()
                await client.closed()
            await again()
            await client.close()
            await client.connect()
            await client.send("attach", stream=stream, after=client.streams[stream].position)
            upstream.release()
            await client.events(stream, len(client.streams[stream].messages) + 1)
        upstream.release(len(TOKENS))
        await client.end(stream)
    assert client.streams[stream].text == TEXT
    assert len(upstream.requests) == 1


class SecureGrpc(Grpc):
    """grpcio's client, with TLS."""

    def __init__(self, proxy: Proxy) -> None:
        credentials = grpc.ssl_channel_credentials(proxy.certificate.file.read_bytes())
        self.channel = grpc.aio.secure_channel(f"localhost:{proxy.port}", credentials)


@pytest.mark.usefixtures("gated")
async def test_grpc_and_then_sse(
    proxy: Proxy,
    secure: aiohttp.ClientSession,
    server: ServerProcess,
    upstream: ScriptedUpstream,
    http: aiohttp.ClientSession,
) -> None:
    async with SecureGrpc(proxy) as answers:
        call = answers.ask(AskRequest(message="Hi"))
        first = await anext(aiter(call))
        events = []
        for _ in range(2):
            upstream.release()
            events.append(await anext(aiter(call)))
        call.cancel()
        await until_readers(http, server, 0)
        after = events[-1].position
        reading = sse(Place(proxy.url, 0, secure), first.stream, after)
        upstream.release(len(TOKENS))
        rest = "".join([event.text async for event in reading if event.type == "token"])
        whole = await text(answers.attach(AttachRequest(stream=first.stream)))
    assert TOKENS[0] + TOKENS[1] + rest == whole == TEXT


@pytest.mark.usefixtures("gated")
async def test_grpc_calls_that_are_cancelled_by_the_hundred_harm_no_other(
    proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    async with SecureGrpc(proxy) as answers:
        long = answers.ask(AskRequest(message="Hi"))
        stream = (await anext(aiter(long))).stream

        async def cancelled() -> None:
            for _ in range(15):
                call = answers.attach(AttachRequest(stream=stream))
                await anext(aiter(call))
                call.cancel()

        await asyncio.gather(*(cancelled() for _ in range(20)))
        upstream.release(len(TOKENS) + 1)
        assert await text(long) == TEXT


async def test_no_question_is_logged(
    proxy: Proxy, secure: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    url = f"{proxy.url}/chat/stream?message=between-us&key=between-us"
    headers = {"Authorization": "Bearer between-us"}
    async with secure.get(url, headers=headers) as response:
        assert b"event: done" in await response.content.read()
    await proxy.wait_for("/api/chat/stream")
    assert "between-us" not in proxy.logs


def test_the_guide_to_caddy_shows_what_is_shipped() -> None:
    guide = CADDYFILE.parents[1] / "docs" / "how-to" / "caddy.md"
    (block,) = re.findall(r"```caddyfile[^\n]*\n(.*?)```", guide.read_text(), re.DOTALL)
    shipped = {line.strip() for line in CADDYFILE.read_text().splitlines()}
    assert {line.strip() for line in block.splitlines()} <= shipped
