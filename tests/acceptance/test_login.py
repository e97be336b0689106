"""Logging in at a real OpenID provider: with Chromium, and with clients that do not play fair."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from yarl import URL

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.node import Script
from tests.support.ports import free_port
from tests.support.provider import Provider
from tests.support.server import ServerProcess

SECRET = "the secret of fairlead"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def provider(port: int) -> AsyncIterator[Provider]:
    async with Provider(f"http://127.0.0.1:{port}") as provider:
        yield provider


@pytest.fixture
async def server(
    serve: Serve, provider: Provider, tmp_path: Path, port: int
) -> AsyncGenerator[ServerProcess, None]:
    file = tmp_path / "fairlead.toml"
    file.write_text(
        f"""
        [oidc]
        issuer = "{provider.issuer}"
        client_id = "fairlead"
        client_secret_env = "OIDC_SECRET"
        url = "http://127.0.0.1:{port}"
        scopes_claim = "groups"
        grants = {{ admins = ["admin"] }}
        """
    )
    process = serve("--config", str(file))
    process.port = port
    process.env["OIDC_SECRET"] = SECRET
    async with process as running:
        yield running


class Browser:
    """A client with cookies, which follows redirects when it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.under_way = ""
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def get(self, url: str, **how: Any) -> aiohttp.ClientResponse:
        url = url if url.startswith("http") else self.url + url
        response = await self.http.get(url, allow_redirects=False, **how)
        await response.read()
        return response

    async def post(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.http.post(self.url + path, headers=headers, json={}) as response:
            return response.status, await response.json()

    async def me(self) -> Any:
        return await (await self.get("/me")).json()

    async def log_in(self, name: str, back: str = "", ends: str = "") -> str:
        """Up to where the provider sends the browser back to: the callback's address, which begins
        with ``ends`` (empty: with the server's)."""
        response = await self.get("/login" + (f"?back={back}" if back else ""))
        assert response.status == 307
        self.under_way = response.headers["Set-Cookie"].partition(";")[0]
        at = URL(response.headers["Location"])
        for _ in range(10):
            response = await self.get(str(at))
            if response.status == 200:
                page = await response.text()
                form = re.search(r'action="([^"]+)"', page)
                assert form is not None, page
                prompt = "login" if 'name="login"' in page else "consent"
                fields = {"prompt": prompt, "login": name, "password": "x"}
                response = await self.http.post(form[1], data=fields, allow_redirects=False)
                await response.read()
            at = response.url.join(URL(response.headers["Location"]))
            if str(at).startswith(ends or self.url):
                return str(at)
        raise AssertionError("the provider asked on and on")

    def cookie(self, name: str = "fairlead") -> str:
        return next((c.value for c in self.http.cookie_jar if c.key == name), "")


@pytest.fixture
async def browser(server: ServerProcess) -> AsyncIterator[Browser]:
    async with Browser(server.url) as browser:
        yield browser


async def test_with_chromium_in_and_out_again(
    server: ServerProcess, provider: Provider, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=("one ", "two ", "three"), pace=Pace(gated=True)))
    async with Script("login.mjs", url=server.url, provider=provider.issuer) as chromium:
        nobody = await chromium.next("nobody")
        assert nobody["me"] == {"consumer": None, "login": "/login"}

        inside = await chromium.next("logged in")
        assert inside["me"]["consumer"] == "root"
        assert inside["me"]["scopes"] == ["admin", "ask", "read"]
        assert inside["me"]["by"] == "session"
        assert inside["script"] == "", "no script can read the cookie"
        (cookie,) = inside["cookies"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        assert cookie["value"].startswith("fls_")

        asked = await chromium.next("asked")
        assert (asked["status"], asked["pong"]) == (200, "pong")
        assert asked["protocol"] == "fairlead.v1"
        upstream.release(2)
        await chromium.send(go="on")

        foreign = await chromium.next("foreign")
        assert foreign["opened"] is False
        assert len(upstream.requests) == 1, "a foreign page has asked at our visitor's cost"
        assert (await chromium.next("still logged in"))["me"]["consumer"] == "root"

        out = await chromium.next("logged out")
        assert (out["ended"], out["closed"]) == ("revoked", 1008)
        assert out["me"]["consumer"] is None
        assert out["cookies"] == []
        assert out["location"].startswith(provider.issuer)
        assert (await chromium.next("asked for a name again"))["there"] == 1
    text = json.dumps(server.logs)
    assert cookie["value"] not in text
    assert SECRET not in text


async def test_a_login_leads_back_and_is_done_once(browser: Browser) -> None:
    callback = await browser.log_in("ann", "/conversations")
    done = await browser.get(callback)
    assert (done.status, done.headers["Location"]) == (303, "/conversations")
    assert "no-store" in done.headers["Cache-Control"]
    assert (await browser.me())["consumer"] == "ann"
    first = browser.cookie()
    again = await browser.get(callback)
    assert again.status == 400, "the cookie of the login under way is gone"
    assert browser.cookie() == first
    # Another login makes another session: nobody goes on with a cookie from before.
    await browser.get(await browser.log_in("ann"))
    assert browser.cookie() != first


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example/", "/\\evil.example", "%2F%2Fevil.example"]
)
async def test_a_login_leads_nowhere_else(browser: Browser, back: str) -> None:
    done = await browser.get(await browser.log_in("ann", back))
    assert done.headers["Location"] == "/"


async def test_what_the_browser_brings_back_must_be_what_it_took_along(
    browser: Browser, server: ServerProcess, provider: Provider
) -> None:
    callback = await browser.log_in("ann")
    query = {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}
    assert query["iss"] == provider.issuer
    cases: list[tuple[dict[str, str], int]] = [
        ({"state": "0" * 32}, 400),
        ({"state": ""}, 400),
        ({"iss": "https://evil.example"}, 400),
        ({"code": ""}, 400),
        ({"code": "x" * 5000}, 400),
        ({"code": "guessed"}, 401),
        ({"error": "access_denied"}, 401),
    ]
    for change, status in cases:
        response = await browser.http.get(
            f"{server.url}/login/callback", params=query | change, allow_redirects=False
        )
        assert response.status == status, change
        body = await response.text()
        assert query["code"] not in body
        assert "guessed" not in body
    # Somebody else's browser: the attacker's code must not log the victim in as the attacker.
    async with Browser(server.url) as victim:
        assert (await victim.get(callback)).status == 400
        await victim.get("/login")
        assert (await victim.get(callback)).status == 400
        under_way = victim.cookie("fairlead-login")
        _, until, rest = under_way.split(".", 2)
        for forged in (f"{query['state']}.{until}.{rest}", under_way[:-1] + "x", "a.b.c.d", ""):
            headers = {"Cookie": f"fairlead-login={forged}"}
            async with (
                aiohttp.ClientSession() as http,
                http.get(callback, headers=headers, allow_redirects=False) as response,
            ):
                assert response.status == 400
        assert (await victim.me())["consumer"] is None


async def says_pong(browser: Browser, headers: dict[str, str]) -> bool:
    """Whether a socket that opens with the browser's cookie may be used."""
    try:
        async with browser.http.ws_connect(f"{browser.url}/ws", headers=headers) as socket:
            await socket.send_json({"type": "ping"})
            told = await socket.receive_json()
    except aiohttp.WSServerHandshakeError:
        return False
    return bool(told["type"] == "pong")


async def test_a_session_is_not_used_by_others_pages(
    browser: Browser, server: ServerProcess
) -> None:
    await browser.get(await browser.log_in("ann"))
    own, host = server.url, urlsplit(server.url).netloc
    evil = "http://127.0.0.1:1"
    for headers, status in (
        ({}, 403),
        ({"Origin": evil}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"{evil}#{host}"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": evil, "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": own}, 200),
        ({"Origin": own, "Sec-Fetch-Site": "same-origin"}, 200),
    ):
        found, body = await browser.post("/tickets", **headers)
        assert found == status, (headers, body)
    for headers, opens in (({}, False), ({"Origin": evil}, False), ({"Origin": own}, True)):
        assert await says_pong(browser, headers) == opens, headers


async def test_a_wrong_or_ended_session_is_no_session(
    browser: Browser, server: ServerProcess
) -> None:
    await browser.get(await browser.log_in("ann"))
    good = browser.cookie()
    own = {"Origin": server.url}
    async with aiohttp.ClientSession() as http:

        async def me(cookie: str) -> Any:
            headers = {"Cookie": cookie}
            async with http.get(f"{server.url}/me", headers=headers) as response:
                return await response.json()

        assert (await me(f"fairlead={good}"))["consumer"] == "ann"
        assert (await me(f"fairlead={good[:-1]}"))["code"] == "unauthenticated"
        assert (await me("fairlead=flk_0123456789_x"))["code"] == "unauthenticated"
        assert (await me(f"other={good}"))["consumer"] is None
        status, answer = await browser.post("/logout", **own)
        assert (status, answer["location"].partition("?")[0][-12:]) == (200, "/session/end")
        assert browser.cookie() == ""
        assert (await me(f"fairlead={good}"))["code"] == "unauthenticated"


async def test_logging_in_comes_and_goes_while_the_server_runs(
    serve: Serve, provider: Provider, tmp_path: Path, port: int, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=("one ", "two "), pace=Pace(gated=True)))
    digest = hashlib.sha256(b"key-of-ann").hexdigest()
    key = f'[[keys]]\nconsumer = "ann"\nsha256 = "{digest}"\n'
    login = (
        f'[oidc]\nissuer = "{provider.issuer}"\nclient_id = "fairlead"\n'
        f'client_secret_env = "OIDC_SECRET"\nurl = "http://127.0.0.1:{port}"\n'
    )
    file = tmp_path / "fairlead.toml"
    file.write_text(key)
    process = serve("--config", str(file))
    process.port = port
    process.env["OIDC_SECRET"] = SECRET

    async def change(text: str) -> dict[str, Any]:
        since = len(process.logs)
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").replace(file)
        return await process.wait_log(lambda line: line["event"].startswith("reload"), since)

    async with process as server, Browser(server.url) as browser:
        own = {"Origin": server.url}
        assert (await browser.get("/login")).status == 404
        told = await change(key + login.replace('client_id = "fairlead"', 'client_id = ""'))
        assert told["event"] == "reload_refused"
        told = await change(key + login)
        assert (told["changed"], told["needs_restart"]) == (["oidc"], [])
        await browser.get(await browser.log_in("ann"))
        assert (await browser.me())["by"] == "session"

        async def ask(**headers: str) -> aiohttp.ClientResponse:
            response = await browser.http.post(
                f"{server.url}/chat/stream", json={"message": "Count."}, headers=headers
            )
            assert response.status == 200
            (await upstream.wait_request()).release(1)
            assert b"one" in await response.content.readuntil(b'"one ')
            return response

        # What is told of logins by other rules ends with them, and nothing else does.
        mine, others = await ask(**own), await ask(Authorization="Bearer key-of-ann")
        told = await change(key + login + "session_hours = 1\n")
        assert (await browser.me())["by"] == "session", "a shorter life is for the logins to come"
        await change(key + login + 'consumer_prefix = "people:"\n')
        assert b'"revoked"' in await mine.read()
        assert (await browser.me())["code"] == "unauthenticated"
        await browser.get(await browser.log_in("ann"))
        assert (await browser.me())["consumer"] == "people:ann"
        await change(key)
        assert (await browser.get("/login")).status == 404
        assert (await browser.me())["consumer"] is None, "the cookie means nothing any more"
        upstream.requests[1].release(5)
        assert b'"completed"' in await others.read()


async def test_over_tls_the_cookies_are_bound_to_the_host(
    serve: Serve, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with Provider("https://chat.example/base") as provider:
        file = tmp_path / "tls.toml"
        file.write_text(
            f'[oidc]\nissuer = "{provider.issuer}"\nclient_id = "fairlead"\n'
            'url = "https://chat.example/base"\nclient_secret_env = "OIDC_SECRET"\n'
        )
        process = serve("--config", str(file), "--base-path", "/base")
        process.env["OIDC_SECRET"] = SECRET
        async with process as server, Browser(server.url) as browser:
            begun = await browser.get("/login")
            query = parse_qs(urlsplit(begun.headers["Location"]).query)
            assert query["redirect_uri"] == ["https://chat.example/base/login/callback"]
            assert query["code_challenge_method"] == ["S256"]
            cookies = [begun.headers["Set-Cookie"]]
            # As the proxy that speaks TLS does: the same, over plain HTTP.
            back = await browser.log_in("ann", ends="https://chat.example/")
            missing = await browser.get(back.replace("https://chat.example/base", server.url))
            assert missing.status == 400, "the client sends no secure cookie over plain HTTP"
            done = await session.get(
                back.replace("https://chat.example/base", server.url),
                headers={"Cookie": browser.under_way},
                allow_redirects=False,
            )
            await done.read()
            assert (done.status, done.headers["Location"]) == (303, "/base/")
            cookies += done.headers.getall("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "__Host-fairlead-login",
        "__Host-fairlead-login",
        "__Host-fairlead",
    ]
    for cookie in cookies:
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
        assert not any(attribute.startswith("domain") for attribute in attributes)


async def test_without_the_provider_nobody_logs_in_and_everybody_is_told(
    browser: Browser, provider: Provider
) -> None:
    await provider.__aexit__(None, None, None)
    response = await browser.get("/login")
    assert response.status == 503
    assert (await response.json())["code"] == "identity_unavailable"


async def test_where_there_is_no_provider_there_is_no_login(
    serve: Serve, session: aiohttp.ClientSession
) -> None:
    async with serve() as server:
        async with session.get(f"{server.url}/login") as response:
            assert response.status == 404
        async with session.get(f"{server.url}/me") as response:
            assert (await response.json())["consumer"] == "anonymous"
        async with session.post(f"{server.url}/logout") as response:
            assert (await response.json())["location"] is None
