"""Fairlead behind the real nginx, with the configuration in ``deploy/nginx.conf``."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.articles.conftest import Connect, Serve, ready, until_readers
from tests.proxies.nginx import CONFIGURATION, TLS_CONFIGURATION, Nginx
from tests.proxies.process import DEPLOY, replace
from tests.support.node import Script

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
TEXT = "".join(TOKENS)


@pytest.mark.parametrize(
    "without",
    [
        (),
        ("proxy_buffering",),
        ("proxy_buffering", "proxy_http_version", "proxy_set_header Connection"),
    ],
    ids=["shipped", "buffering on", "nginx's own defaults"],
)
async def test_each_event_arrives_before_the_next_one_is_made(
    serve: Serve,
    upstream: ScriptedUpstream,
    http: aiohttp.ClientSession,
    tmp_path: Path,
    without: tuple[str, ...],
) -> None:
    """Also where somebody forgot half of the configuration: ``X-Accel-Buffering: no`` in the
    response turns buffering off, and chunks go on as they come even over HTTP/1.0."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--base-path", "/api")
    async with (
        Nginx(tmp_path, server.port, without=without) as nginx,
        http.post(f"{nginx.url}/chat/stream", json={"message": "Hi"}) as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
        assert response.headers["Transfer-Encoding"] == "chunked"
        # nginx keeps this one for itself.
        assert "X-Accel-Buffering" not in response.headers
        assert b"event: thinking" in await response.content.readuntil(b"\n\n")
        for token in TOKENS:
            upstream.release()
            block = await response.content.readuntil(b"\n\n")
            data = block.partition(b"data: ")[2].partition(b"\n")[0]
            assert json.loads(data) == {"token": token}
        upstream.release()
        assert b"event: done" in await response.content.read()


async def test_nginx_dies_in_the_middle_and_eventsource_goes_on(
    serve: Serve, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--base-path", "/api")
    async with (
        Nginx(tmp_path, server.port) as nginx,
        Script("eventsource.mjs", url=f"{nginx.url}/chat/stream?message=Hi") as script,
    ):
        upstream.release(2)
        await script.next("token")
        await script.next("token")
        await nginx.kill()
        await script.next("broken", closed=False)
        upstream.release(2)
        await nginx.start()
        await script.next("token")
        upstream.release(len(TOKENS))
        await script.next("done")
        assert (await script.next("broken", closed=True))["code"] == 204
    assert "".join(report["data"]["token"] for report in script.all("token")) == TEXT
    assert len(upstream.requests) == 1


async def test_the_articles_client_through_nginx(
    serve: Serve, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--base-path", "/api", "--heartbeat", "0.1")
    async with (
        Nginx(tmp_path, server.port) as nginx,
        Script(
            "fetch-event-source.mjs",
            url=f"http://127.0.0.1:{nginx.port}",
            path="/api/chat/stream",
            message="Hi",
            retryDelay=200,
        ) as script,
    ):
        upstream.release(3)
        await script.next("token", token=TOKENS[2])
        await nginx.kill()
        await nginx.start()
        upstream.release(len(TOKENS))
        await script.next("done")
    assert "".join(report["token"] for report in script.all("token")) == TEXT
    assert not script.all("error")
    assert len(upstream.requests) == 1


async def test_reloading_nginx_cuts_nobody(
    serve: Serve, upstream: ScriptedUpstream, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--base-path", "/api")
    async with (
        Nginx(tmp_path, server.port) as nginx,
        http.post(f"{nginx.url}/chat/stream", json={"message": "Hi"}) as response,
    ):
        upstream.release(2)
        await response.content.readuntil(b"\n\n")
        nginx.reload()
        await nginx.wait_for("gracefully shutting down")
        upstream.release(len(TOKENS))
        assert b"event: done" in await response.content.read()


async def test_a_client_that_leaves_nginx_leaves_the_server(
    serve: Serve, upstream: ScriptedUpstream, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--base-path", "/api")
    async with Nginx(tmp_path, server.port) as nginx:
        response = await http.post(f"{nginx.url}/chat/stream", json={"message": "Hi"})
        await response.content.readuntil(b"\n\n")
        assert (await ready(http, server))["readers"] == 1
        response.close()
        await until_readers(http, server, 0)
        # It has left, and the answer goes on.
        assert (await ready(http, server))["generations"] == 1


async def test_connections_to_the_server_are_kept(
    serve: Serve,
    upstream: ScriptedUpstream,
    connect: Connect,
    http: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    line = await connect(await serve("--base-path", "/api"))
    async with Nginx(tmp_path, line.port) as nginx:
        for message in ("1", "2", "3"):
            async with http.post(f"{nginx.url}/chat/stream", json={"message": message}) as response:
                assert b"event: done" in await response.read()
        assert [target for _, target, _ in line.requests] == ["/api/chat/stream"] * 3
        assert len(line.links) == 1
        (_, _, headers) = line.requests[0]
        assert headers["host"] == "127.0.0.1"
        assert headers["x-real-ip"] == headers["x-forwarded-for"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] == "http"
        assert "connection" not in headers


async def test_polls_go_through_a_cache_that_keeps_what_it_may(
    serve: Serve, upstream: ScriptedUpstream, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--base-path", "/api")
    proxy = Nginx(tmp_path, server.port, without=("proxy_buffering",))
    file = tmp_path / "nginx.conf"
    zone = f"http {{\nproxy_cache_path {tmp_path / 'cache'} keys_zone=kept:1m;\n"
    text = replace(file.read_text(), r"^http \{\n", zone)
    keep = "proxy_cache kept; proxy_cache_valid any 1h;"
    file.write_text(replace(text, r"^ +proxy_cache off;", keep))
    said, position, closed = "", "", False
    async with proxy as nginx, asyncio.timeout(90):
        body, headers = {"message": "Hi"}, {"Accept": "application/json"}
        async with http.post(f"{nginx.url}/chat/stream", json=body, headers=headers) as response:
            stream = (await response.json())["stream"]
        while not closed:
            # The same address is asked before there is anything, and again when there is.
            url = f"{nginx.url}/streams/{stream}?wait=0&after={position}"
            async with http.get(url) as response:
                if response.status == 204:
                    upstream.release()
                    continue
                news = await response.json()
            events = [event for event in news["events"] if event["type"] == "token"]
            said += "".join(event["data"]["token"] for event in events)
            position, closed = news["position"], news["closed"]
    assert said == TEXT


async def test_no_question_is_logged(
    serve: Serve, upstream: ScriptedUpstream, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    server = await serve("--base-path", "/api")
    async with Nginx(tmp_path, server.port) as nginx:
        url = f"{nginx.url}/chat/stream?message=between-us&key=between-us"
        async with http.get(url) as response:
            assert b"event: done" in await response.read()
        await nginx.wait_for('"GET /api/chat/stream" 200')
        assert "between-us" not in nginx.logs


def lines(text: str) -> set[str]:
    """What says something in a configuration."""
    stripped = {line.strip() for line in text.splitlines()}
    return {line for line in stripped if line and not line.startswith("#")}


def test_the_guide_shows_what_is_shipped() -> None:
    shipped = lines(CONFIGURATION.read_text()) | lines(TLS_CONFIGURATION.read_text())
    guide = DEPLOY.parent / "docs" / "how-to" / "nginx.md"
    blocks = re.findall(r"```nginx[^\n]*\n(.*?)```", guide.read_text(), re.DOTALL)
    assert blocks
    assert lines("".join(blocks)) <= shipped


def test_with_tls_everything_stays_as_it_is_without() -> None:
    without, blocks = (
        re.findall(r"^ +(?:location|upstream) .*?^ +}$", file.read_text(), re.DOTALL | re.MULTILINE)
        for file in (CONFIGURATION, TLS_CONFIGURATION)
    )
    assert len(without) == 3
    assert [block for block in blocks if block in without] == without
