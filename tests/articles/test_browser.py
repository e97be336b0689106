"""Chromium: its own ``EventSource`` and the articles' client, on the server's origin and others."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from fairlead.testing.toxic import ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.articles.conftest import Connect, Serve
from tests.articles.pages import Frontend, frontend
from tests.support.node import Script

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
TEXT = "".join(TOKENS)
ALLOWED = "https://app.example"
SAMPLES_HEADERS = {"authorization", "content-type", "last-event-id", "idempotency-key"}


@pytest.fixture
async def page() -> AsyncGenerator[Frontend]:
    """A frontend on another origin."""
    async with frontend() as page:
        yield page


async def goto(browser: Script, url: str) -> None:
    await browser.send(goto=url)
    await browser.next("page")


async def run(browser: Script, expression: str) -> Any:
    await browser.send(run=expression)
    return (await browser.next("result"))["value"]


def streamed(browser: Script) -> str:
    return "".join(report["data"]["token"] for report in browser.all("token"))


def asked(line: ToxicProxy, method: str) -> list[dict[str, str]]:
    """The headers of the requests for answers."""
    return [
        headers
        for verb, target, headers in line.requests
        if verb == method and target.startswith("/chat/stream")
    ]


async def test_eventsource_on_the_server_s_own_origin(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve("--heartbeat", "0.1"))
    async with Script("browser.mjs") as browser:
        await goto(browser, f"{line.url}/health/live")
        await run(browser, "listen('/chat/stream?message=Hi')")
        await browser.next("thinking")
        for _ in TOKENS[:3]:
            upstream.release()
            await browser.next("token")
            line.cut()
            await browser.next("broken", closed=False)
        await line.until_received(b": heartbeat\n", 3)
        upstream.release(len(TOKENS))
        done = await browser.next("done")
        # It comes once more, from the end, and is told by 204 not to.
        await browser.next("broken", closed=True)
        assert streamed(browser) == TEXT
        gets = asked(line, "GET")
        assert gets[-1]["last-event-id"] == done["id"]
        assert gets[0]["sec-fetch-site"] == "same-origin"
        assert len(upstream.requests) == 1

        # Unnamed events, for samples that listen with onmessage.
        upstream.script(Answer(tokens=TOKENS))
        await run(browser, "listen('/chat/stream?message=Hi&events=message')")
        await browser.next("broken", closed=True)
    messages = [report["data"] for report in browser.all("message")]
    assert "".join(m["data"]["token"] for m in messages if m["type"] == "token") == TEXT
    assert (messages[0]["type"], messages[-1]["type"]) == ("thinking", "done")


async def test_eventsource_of_an_allowed_origin_with_credentials(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect, page: Frontend
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve("--cors-origins", page.cross_site))
    async with Script("browser.mjs") as browser:
        await goto(browser, page.cross_site)
        url = f"{line.url}/chat/stream?message=Hi"
        await run(browser, f"listen({json.dumps(url)}, {{withCredentials: true}})")
        upstream.release(2)
        await browser.next("token")
        await browser.next("token")
        line.cut()
        upstream.release(len(TOKENS))
        await browser.next("done")
        await browser.next("broken", closed=True)
    assert streamed(browser) == TEXT
    assert len(upstream.requests) == 1
    assert {headers["sec-fetch-site"] for headers in asked(line, "GET")} == {"cross-site"}
    assert asked(line, "GET")[1]["last-event-id"]


async def test_the_articles_client_of_an_allowed_origin(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect, page: Frontend
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--cors-origins", page.cross_site, FAIRLEAD_API_KEYS="alice=secret")
    line = await connect(server)
    async with Script("browser.mjs") as browser:
        await goto(browser, page.cross_site)

        async def chat(token: str) -> None:
            options = json.dumps({"url": line.url, "token": token, "retryDelay": 10})
            await run(
                browser,
                f"""import("/client.js").then(({{ ChatClient, reporting }}) => {{
                    const headers = {{ "Idempotency-Key": "once" }};
                    new ChatClient({options}).chat("Hi", reporting(report), {{ headers }});
                }})""",
            )

        await chat("guessed")
        # An error, which a page can read because it has the CORS headers as well.
        assert "key" in (await browser.next("error"))["error"]
        await chat("secret")
        upstream.release(2)
        await browser.next("token", token=TOKENS[1])
        line.cut()
        upstream.release(len(TOKENS))
        await browser.next("done")
    assert "".join(report["token"] for report in browser.all("token")) == TEXT
    assert len(upstream.requests) == 1
    preflights = [h["access-control-request-headers"] for h in asked(line, "OPTIONS")]
    assert "authorization,content-type,idempotency-key" in preflights
    assert "last-event-id" in asked(line, "POST")[-1]


async def test_a_page_of_another_origin_starts_nothing(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect, page: Frontend
) -> None:
    line = await connect(await serve("--cors-origins", ALLOWED))
    url = f"{line.url}/chat/stream"
    get = json.dumps(f"{url}?message=Hi")
    async with Script("browser.mjs") as browser:
        await goto(browser, page.cross_site)
        await run(browser, f"listen({get}, {{withCredentials: true}})")
        await browser.next("broken", closed=True)
        # What needs no permission of the server to be sent: its effect must not happen.
        await run(browser, f"fetch({get}, {{mode: 'no-cors'}}).then(() => 0)")
        await run(browser, f"new Image().src = {get}")
        await run(
            browser,
            f"""fetch({json.dumps(url)}, {{
                method: 'POST', mode: 'no-cors', credentials: 'include',
                headers: {{'Content-Type': 'text/plain'}}, body: '{{"message": "Hi"}}',
            }}).then(() => 0)""",
        )
        # What needs permission is not even sent.
        for origin in (page.cross_site, page.same_site):
            await goto(browser, origin)
            refused = await run(
                browser,
                f"""fetch({json.dumps(url)}, {{
                    method: 'POST', headers: {{'Content-Type': 'application/json'}},
                    body: '{{"message": "Hi"}}',
                }}).then(() => 'sent', (error) => error.name)""",
            )
            assert refused == "TypeError"
    assert not upstream.requests
    assert len(asked(line, "GET")) == 3
    assert [headers["content-type"] for headers in asked(line, "POST")] == ["text/plain"]
    answers = b"".join(bytes(link.received) for link in line.links)
    assert answers.count(b"HTTP/1.1 403 ") == 4
    assert b"access-control-allow-origin" not in answers.lower()


# -- the headers themselves ------------------------------------------------------------------------


async def test_cors_names_the_origin_and_never_a_star(
    serve: Serve, http: aiohttp.ClientSession
) -> None:
    server = await serve("--cors-origins", ALLOWED, FAIRLEAD_API_KEYS="alice=secret")
    wanted = {"Origin": ALLOWED}
    preflight = wanted | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(sorted(SAMPLES_HEADERS)),
    }
    url = f"{server.url}/chat/stream"
    async with http.options(url, headers=preflight) as response:
        assert response.status == 200
        check_allowed(response.headers)
        methods = response.headers["Access-Control-Allow-Methods"]
        assert {"GET", "POST", "PATCH", "DELETE"} <= set(methods.split(", "))
        headers = response.headers["Access-Control-Allow-Headers"].lower()
        assert set(headers.split(", ")) >= SAMPLES_HEADERS
        assert "*" not in headers + methods

    key = {"Authorization": "Bearer secret"}
    async with http.post(url, json={"message": "Hi"}, headers=wanted | key) as response:
        assert response.status == 200
        check_allowed(response.headers)
        shown = response.headers["Access-Control-Expose-Headers"]
        assert {"Fairlead-Stream", "Retry-After"} <= set(shown.split(", "))

    # On errors too, or else a page only sees a "network error".
    for status, method, path, more in (
        (401, "POST", "/chat/stream", {}),
        (400, "POST", "/chat/stream", key),
        (404, "GET", "/nothing/here", key),
        (404, "GET", "/streams/00000000000000000000000000", key),
        (405, "PUT", "/chat/stream", key),
    ):
        async with http.request(method, server.url + path, headers=wanted | more) as response:
            assert response.status == status, path
            check_allowed(response.headers)

    foreign = {"Origin": "https://elsewhere.example"}
    for more in ({}, {"Access-Control-Request-Method": "POST"}):
        async with http.options(url, headers=foreign | more) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
    async with http.get(f"{server.url}/info", headers=foreign | key) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.headers["Vary"]


def check_allowed(headers: Any) -> None:
    assert headers["Access-Control-Allow-Origin"] == ALLOWED
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in headers["Vary"]
