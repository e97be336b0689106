"""An application behind a real server: what reaches it, what comes back, what is kept from it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yarl
from aiohttp import web

from fairlead.framing.event_stream import Frame, Parser
from tests.cli.command import run
from tests.support.server import ServerProcess

KEYS = "alice=key-of-alice,bob=key-of-bob"
ALICE = {"Authorization": "Bearer key-of-alice"}
BOB = {"Authorization": "Bearer key-of-bob"}


class Backend:
    """An application that does what the test says. ``asked``: the requests so far; ``say`` gives
    its event streams their bytes, None ends them; ``left`` counts those that were dropped."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.say: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.left = 0
        self.news = asyncio.Event()
        self.closes: list[tuple[int | None, str]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Backend:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/base/events", self._events)
        app.router.add_get("/base/ws", self._socket)
        app.router.add_get("/base/big", self._big)
        app.router.add_get("/base/away", self._away)
        app.router.add_route("*", "/{rest:.*}", self._echo)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}/base"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _note(self, request: web.Request) -> None:
        self.asked.append(request)
        self.news.set()

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(90):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self._note(request)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "X-Of-The-App": "kept",
                "Connection": "X-Of-One-Hop",
                "X-Of-One-Hop": "dropped",
            }
        )
        await response.prepare(request)
        try:
            while (data := await self.say.get()) is not None:
                await response.write(data)
        except asyncio.CancelledError:
            self.left += 1
            self.news.set()
            raise
        return response

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        self._note(request)
        if "refuse" in request.query:
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(protocols=("chat",), max_msg_size=1 << 22, autoclose=False)
        await socket.prepare(request)
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                if message.data.startswith("close "):
                    await socket.close(code=int(message.data[6:]), message=b"as told")
                    break
                if message.data.startswith("big "):
                    await socket.send_bytes(b"x" * int(message.data[4:]))
                    continue
                await socket.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            else:
                self.closes.append((socket.close_code, str(message.extra or "")))
                self.news.set()
                break
        return socket

    async def _big(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.query["kib"])):
            await response.write(b"x" * 1024)
        return response

    async def _away(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response(status=302, headers={"Location": request.query["to"]})

    async def _echo(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._note(request)
        return web.json_response(
            {
                "method": request.method,
                "path": request.raw_path,
                "headers": [[n.lower(), v] for n, v in request.headers.items()],
                "size": len(body),
            },
            status=201,
            headers={"X-Of-The-App": "kept", "Set-Cookie": "theirs=1; Path=/"},
        )


@pytest.fixture
async def backend() -> AsyncGenerator[Backend]:
    async with Backend() as backend:
        yield backend


class Relayed:
    """The server before the backend."""

    def __init__(self, server: ServerProcess, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    @property
    def url(self) -> str:
        return f"{self.server.url}/shop"

    async def read(self, response: aiohttp.ClientResponse, n: int = 10_000) -> list[Frame]:
        """``n`` events of a response, or as many as there are."""
        assert response.status == 200, await response.text()
        parser, frames = Parser(), list[Frame]()
        async with asyncio.timeout(90):
            while len(frames) < n and (data := await response.content.readany()):
                frames += parser.feed(data)
        assert len(frames) <= n
        return frames


def app(path: str, backend: Backend, more: str = "") -> str:
    """The table of an application at this path, and what else stands in the file."""
    name = path.strip("/")
    return f'[[apps]]\nname = "{name}"\npath = "{path}"\ntarget = "{backend.url}"\n{more}\n'


@pytest.fixture
async def relayed(tmp_path: Path, backend: Backend) -> AsyncGenerator[Any]:
    """Starts the server with further keys of its app."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )

        async def start(more: str = "", *flags: str, **env: str) -> Relayed:
            file = tmp_path / "fairlead.toml"
            file.write_text(app("/shop", backend, more))
            server = ServerProcess(
                tmp_path / "data", "--config", str(file), "--no-knowledge", *flags, env=env
            )
            return Relayed(await stack.enter_async_context(server), session)

        yield start


async def test_requests_pass_without_our_credentials(backend: Backend, relayed: Any) -> None:
    shop = await relayed('api_key_env = "SHOP_KEY"', FAIRLEAD_API_KEYS=KEYS, SHOP_KEY="sk-of-app")
    async with shop.session.put(
        shop.url + "/a%2Fb/ü?x=1%202&ticket=flt_secret&y",
        data=b"12345",
        headers={
            **ALICE,
            "Cookie": "mine=1; fairlead=fls_secret; other=2",
            "Connection": "X-One-Hop",
            "X-One-Hop": "1",
            "X-Real-IP": "6.6.6.6",
            "Fairlead-Consumer": "root",
            "X-Mine": "kept",
        },
    ) as response:
        assert response.status == 201
        assert response.headers["X-Of-The-App"] == "kept"
        assert response.headers["Set-Cookie"] == "theirs=1; Path=/"
        got = await response.json()
    assert (got["method"], got["size"]) == ("PUT", 5)
    assert got["path"] == "/base/a%2Fb/%C3%BC?x=1%202&y"
    headers = dict(got["headers"])
    assert headers["authorization"] == "Bearer sk-of-app"
    assert headers["cookie"] == "mine=1; other=2"
    assert headers["fairlead-consumer"] == "alice"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == f"127.0.0.1:{shop.server.port}"
    assert headers["x-forwarded-prefix"] == "/shop"
    assert headers["x-mine"] == "kept"
    assert headers["accept-encoding"] == "identity"
    assert not headers.keys() & {"x-one-hop", "x-real-ip"}
    everything = json.dumps(got)
    assert "key-of-alice" not in everything
    assert "secret" not in everything


async def test_who_may_not_ask_does_not_reach_it(backend: Backend, relayed: Any) -> None:
    shop = await relayed(FAIRLEAD_API_KEYS=KEYS)
    for path, status in (("/x", 401), ("", 401)):
        async with shop.session.get(shop.url + path) as response:
            assert response.status == status
    for path in ("/%2e%2e/admin", "/a/..%2fb", "/a/%2e"):
        async with shop.session.get(
            yarl.URL(shop.url + path, encoded=True), headers=ALICE
        ) as response:
            assert response.status == 400, path
    async with shop.session.post(
        shop.url + "/x", headers={**ALICE, "Origin": "https://evil.example"}
    ) as response:
        assert response.status == 403
    async with shop.session.get(shop.server.url + "/shopping", headers=ALICE) as response:
        assert response.status == 404
    assert not backend.asked


async def test_anonymous_server_may_pass_authorization_on(backend: Backend, relayed: Any) -> None:
    shop = await relayed("pass_authorization = true")
    async with shop.session.get(shop.url, headers={"Authorization": "Basic dTpw"}) as response:
        got = await response.json()
    assert dict(got["headers"])["authorization"] == "Basic dTpw"
    assert got["path"] == "/base"


async def test_sizes_are_bounded_both_ways(backend: Backend, relayed: Any) -> None:
    shop = await relayed("max_request_bytes = 2048\nmax_response_bytes = 65536")
    async with shop.session.post(shop.url + "/x", data=b"x" * 2049) as response:
        assert response.status == 413
    assert not backend.asked
    async with shop.session.get(shop.url + "/big?kib=64") as response:
        assert len(await response.read()) == 65536
    async with shop.session.get(shop.url + "/big?kib=4096") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_locations_are_shown_as_they_are_reached(backend: Backend, relayed: Any) -> None:
    shop = await relayed("", "--base-path", "/api")
    here = "/api/shop"
    for to, shown in (
        (f"{backend.url}/cart?x=1", f"{here}/cart?x=1"),
        ("/base/cart", f"{here}/cart"),
        ("/elsewhere", "/elsewhere"),
        ("cart", "cart"),
        ("https://pay.example/base", "https://pay.example/base"),
    ):
        async with shop.session.get(
            f"{shop.url}/away", params={"to": to}, allow_redirects=False
        ) as response:
            assert (response.status, response.headers["Location"]) == (302, shown)


async def test_application_that_is_away_is_said_to_be(relayed: Any, backend: Backend) -> None:
    shop = await relayed("response_timeout = 0.3")
    async with shop.session.get(shop.url + "/events", headers={}) as response:
        assert response.status == 200  # its head has come in time
    await backend.__aexit__()
    async with shop.session.get(shop.url + "/x") as response:
        assert response.status == 502
        assert (await response.json())["code"] == "upstream_unavailable"


async def test_event_stream_is_resumed_exactly(backend: Backend, relayed: Any) -> None:
    shop = await relayed(FAIRLEAD_API_KEYS=KEYS)
    async with shop.session.get(shop.url + "/events", headers=ALICE) as response:
        assert response.headers["X-Of-The-App"] == "kept"
        assert "X-Of-One-Hop" not in response.headers
        assert response.headers["Content-Type"] == "text/event-stream"
        backend.say.put_nowait(
            b": hello\n\nretry: 1234\n\nid: 7\nevent: cart\ndata: one\r\ndata:two\n\n"
            b'data: {"n": 1}\n\nid:\ndata: \xe4\xb8\n\n'
        )
        first = await shop.read(response, 3)
    assert [(f.event, f.data) for f in first] == [
        ("cart", b"one\ntwo"), ("", b'{"n": 1}'), ("", "\ufffd".encode()),
    ]  # fmt: skip
    assert [(f.id or "").partition(" ")[2] for f in first] == ["7", "7", ""]

    # Nobody reads now, and the application goes on.
    backend.say.put_nowait(b"data: while away\n\n")
    backend.say.put_nowait(b"event: end\ndata: bye\n\n")
    backend.say.put_nowait(None)
    known = {"Last-Event-ID": first[0].id}
    for _ in range(2):
        async with shop.session.get(shop.url + "/events", headers={**ALICE, **known}) as response:
            rest = await shop.read(response)
        assert [f.data for f in rest] == [first[1].data, first[2].data, b"while away", b"bye"]
    known = {"Last-Event-ID": rest[-1].id}
    async with shop.session.get(shop.url + "/events", headers={**ALICE, **known}) as response:
        assert response.status == 204  # which tells an EventSource to stop
    assert len(backend.asked) == 1

    # It is the caller's, and nobody else's.
    async with shop.session.get(shop.url + "/events", headers={**BOB, **known}) as response:
        assert response.status == 404
    # And it is a stream like any other.
    stream = (first[0].id or "").partition(".")[0]
    async with shop.session.get(
        f"{shop.server.url}/streams/{stream}",
        params={"after": first[0].id or ""},
        headers={**ALICE, "Accept": "text/event-stream"},
    ) as response:
        assert [f.data for f in await shop.read(response)] == [f.data for f in rest]
    async with shop.session.get(
        f"{shop.server.url}/streams/{stream}",
        headers={**ALICE, "Accept": "application/x-ndjson"},
    ) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines() if line]
    assert [(line["type"], line["data"]) for line in lines] == [
        ("cart", {"data": "one\ntwo"}),
        ("message", {"n": 1}),
        ("message", {"data": "\ufffd"}),
        ("message", {"data": "while away"}),
        ("end", {"data": "bye"}),
        ("done", {"status": "completed"}),
    ]


async def test_post_with_an_idempotency_key_asks_once(backend: Backend, relayed: Any) -> None:
    shop = await relayed()
    key = {"Idempotency-Key": "order-1"}
    async with shop.session.post(shop.url + "/events", data=b"a", headers=key) as response:
        backend.say.put_nowait(b"data: 1\n\n")
        (one,) = await shop.read(response, 1)
    backend.say.put_nowait(b"data: 2\n\n")
    backend.say.put_nowait(None)
    async with shop.session.post(shop.url + "/events", data=b"a", headers=key) as response:
        assert [frame.data for frame in await shop.read(response)] == [b"1", b"2"]
    async with shop.session.post(
        shop.url + "/events", data=b"a", headers={"Last-Event-ID": one.id}
    ) as response:
        assert [frame.data for frame in await shop.read(response)] == [b"2"]
    async with shop.session.post(shop.url + "/events", data=b"b", headers=key) as response:
        assert response.status == 409
    assert len(backend.asked) == 1


async def test_stream_that_nobody_watches_and_one_that_is_stopped_end(
    backend: Backend, relayed: Any
) -> None:
    shop = await relayed("orphan_window = 0.1")
    async with shop.session.get(shop.url + "/events") as response:
        backend.say.put_nowait(b"data: 1\n\n")
        await shop.read(response, 1)
    await backend.until(lambda: backend.left == 1)
    async with shop.session.get(shop.url + "/events") as response:
        backend.say.put_nowait(b"data: 2\n\n")
        (two,) = await shop.read(response, 1)
        stream = (two.id or "").partition(".")[0]
        async with shop.session.post(f"{shop.server.url}/streams/{stream}/stop") as stopped:
            assert (await stopped.json())["status"] == "stopped"
        (done,) = await shop.read(response)
        assert (done.event, json.loads(done.data)["status"]) == ("done", "stopped")
    await backend.until(lambda: backend.left == 2)


async def test_endless_stream_goes_on_at_the_application(backend: Backend, relayed: Any) -> None:
    shop = await relayed("finite = false")
    async with shop.session.get(shop.url + "/events") as response:
        backend.say.put_nowait(b"id: 41\ndata: a\n\n")
        backend.say.put_nowait(None)
        (last,) = await shop.read(response)
    assert (last.id or "").endswith(" 41")
    async with shop.session.get(
        shop.url + "/events", headers={"Last-Event-ID": last.id}
    ) as response:
        backend.say.put_nowait(b"id: 42\ndata: b\n\n")
        backend.say.put_nowait(None)
        (next_one,) = await shop.read(response)
    assert next_one.data == b"b"
    assert [request.headers.get("Last-Event-ID") for request in backend.asked] == [None, "41"]


async def test_application_cut_in_mid_stream_is_an_error_at_the_end(
    backend: Backend, relayed: Any
) -> None:
    shop = await relayed("silence_timeout = 0.2")
    async with shop.session.get(shop.url + "/events") as response:
        backend.say.put_nowait(b"data: 1\n\n")
        frames = await shop.read(response)
    assert frames[0].data == b"1"
    assert frames[1].event == "error"
    assert json.loads(frames[1].data)["code"] == "upstream_timeout"


async def test_killed_server_says_so_to_those_who_come_back(backend: Backend, relayed: Any) -> None:
    shop = await relayed()
    async with shop.session.get(shop.url + "/events") as response:
        backend.say.put_nowait(b"data: 1\n\n")
        (one,) = await shop.read(response, 1)
        await shop.server.kill()
    await shop.server.start()
    async with shop.session.get(
        shop.url + "/events", headers={"Last-Event-ID": one.id}
    ) as response:
        (error,) = await shop.read(response)
    assert (error.event, json.loads(error.data)["code"]) == ("error", "interrupted")


# -- budgets


BUDGET = '[[budgets]]\nname = "month"\nlimit = 20\nper = "month"\n'


async def used(shop: Relayed, headers: dict[str, str] = ALICE) -> dict[str, int]:
    async with shop.session.get(f"{shop.server.url}/budgets", headers=headers) as response:
        assert response.status == 200
        return {each["name"]: each["used"] for each in (await response.json())["budgets"]}


async def test_event_stream_is_cut_at_the_end_of_a_budget(backend: Backend, relayed: Any) -> None:
    shop = await relayed(BUDGET, FAIRLEAD_API_KEYS=KEYS)
    # Forty characters are about ten tokens of prompt; each event is one.
    async with shop.session.post(shop.url + "/events", data=b"q" * 40, headers=ALICE) as response:
        for number in range(50):
            backend.say.put_nowait(f'data: {{"token": "w{number}"}}\n\n'.encode())
        frames = await shop.read(response)
    *tokens, end = frames
    assert [json.loads(frame.data)["token"] for frame in tokens] == [f"w{n}" for n in range(10)]
    told = json.loads(end.data)
    assert (end.event, told["code"], told["budget"]) == ("error", "budget_exhausted", "month")
    assert told["retry_after"] > 0
    # The application is asked no more, nor is what nobody saw charged.
    await backend.until(lambda: backend.left == 1)
    assert await used(shop) == {"month": 20}
    assert await used(shop, BOB) == {"month": 0}
    async with shop.session.get(
        shop.url + "/events", headers={**ALICE, "Accept": "text/event-stream"}
    ) as response:
        assert response.status == 429
        assert (await response.json())["budget"] == "month"
        assert int(response.headers["Retry-After"]) > 0
    assert len(backend.asked) == 1
    # Who does not say that it wants a stream is asked for, and refused when it turns out to be one.
    async with shop.session.get(shop.url + "/events", headers=ALICE) as response:
        assert response.status == 429
    await backend.until(lambda: backend.left == 2)
    # What is no stream costs nothing, even now.
    async with shop.session.get(shop.url + "/x", headers=ALICE) as response:
        assert response.status == 201
    url = f"{shop.server.url}/usage"
    async with shop.session.get(url, headers=ALICE) as response:
        (row,) = (await response.json())["usage"]
    assert (row["model"], row["requests"], row["estimated"]) == ("shop", 1, 1)
    assert (row["input_tokens"], row["output_tokens"]) == (10, 10)


async def test_what_is_reserved_for_a_stream_comes_back_where_there_is_none(
    backend: Backend, relayed: Any
) -> None:
    shop = await relayed(BUDGET, FAIRLEAD_API_KEYS=KEYS)
    wanted = {**ALICE, "Accept": "text/event-stream"}
    async with shop.session.get(shop.url + "/x", headers=wanted) as response:
        assert response.status == 201
    key = {**wanted, "Idempotency-Key": "one"}
    async with shop.session.get(shop.url + "/events", headers=key) as response:
        assert "month" in response.headers["RateLimit"]
        backend.say.put_nowait(b"data: 1\n\n")
        backend.say.put_nowait(None)
        assert len(await shop.read(response)) == 1
    async with shop.session.get(shop.url + "/events", headers=key) as response:
        assert len(await shop.read(response)) == 1
    assert await used(shop) == {"month": 1}


async def test_application_that_is_not_metered_costs_nothing(
    backend: Backend, relayed: Any
) -> None:
    shop = await relayed(f"metered = false\n{BUDGET}", FAIRLEAD_API_KEYS=KEYS)
    async with shop.session.get(shop.url + "/events", headers=ALICE) as response:
        for _ in range(30):
            backend.say.put_nowait(b"data: word\n\n")
        backend.say.put_nowait(None)
        assert len(await shop.read(response)) == 30
    assert await used(shop) == {"month": 0}


async def test_sockets_of_one_consumer_are_capped(backend: Backend, relayed: Any) -> None:
    shop = await relayed("", "--max-sockets-each", "1", FAIRLEAD_API_KEYS=KEYS)
    async with shop.session.ws_connect(shop.url + "/ws", headers=ALICE):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await shop.session.ws_connect(shop.url + "/ws", headers=ALICE)
        assert caught.value.status == 429
        assert len(backend.asked) == 1
        async with shop.session.ws_connect(shop.url + "/ws", headers=BOB):
            pass


async def test_socket_is_closed_at_the_end_of_a_budget(backend: Backend, relayed: Any) -> None:
    shop = await relayed(
        '[[budgets]]\nname = "talk"\nlimit = 10\nper = "month"\nmodels = ["shop"]\n',
        FAIRLEAD_API_KEYS=KEYS,
    )
    async with shop.session.ws_connect(shop.url + "/ws", headers=ALICE) as socket:
        heard = 0
        while True:
            await socket.send_str("word")  # one token, and one of the echo
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            heard += 1
        assert heard == 5
        assert message.data == 1008
        assert str(message.extra).startswith("budget_exhausted: talk, again in ")
    await backend.until(lambda: len(backend.closes) == 1)
    assert await used(shop) == {"talk": 10}
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await shop.session.ws_connect(shop.url + "/ws", headers=ALICE)
    assert caught.value.status == 429
    assert len(backend.asked) == 1
    async with shop.session.ws_connect(shop.url + "/ws", headers=BOB) as socket:
        await socket.send_bytes(b"\0" * 1000)  # is one token, whatever it is
        assert len(await socket.receive_bytes()) == 1000
    await backend.until(lambda: len(backend.closes) == 2)
    # An application that refuses has cost nothing.
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await shop.session.ws_connect(shop.url + "/ws?refuse", headers=BOB)
    assert await used(shop, BOB) == {"talk": 2}


# -- another configuration


async def test_applications_change_while_the_server_runs(
    backend: Backend, relayed: Any, tmp_path: Path
) -> None:
    shop = await relayed(FAIRLEAD_API_KEYS=KEYS)
    file = tmp_path / "fairlead.toml"

    async def reload(text: str) -> Any:
        since = len(shop.server.logs)
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").replace(file)
        return await shop.server.wait_log(
            lambda line: line["event"].startswith("reload"), since=since
        )

    async def status(path: str) -> int:
        async with shop.session.get(shop.server.url + path, headers=ALICE) as response:
            return int(response.status)

    reading = await shop.session.get(shop.url + "/events", headers=ALICE)
    backend.say.put_nowait(b"data: 1\n\n")
    (one,) = await shop.read(reading, 1)
    talking = await shop.session.ws_connect(shop.url + "/ws", headers=ALICE)
    # What is not right changes nothing.
    for wrong in (app("/chat", backend), app("/shop", backend) + app("/shop/x", backend)):
        assert (await reload(wrong))["event"] == "reload_refused"
        assert await status("/shop/x") == 201
    # Another place, and limits of its own.
    told = await reload(app("/market", backend, "max_sockets = 1"))

    assert (told["changed"], told["needs_restart"], told["ended"]) == (["apps"], [], 0)
    assert await status("/market/x") == 201
    assert await status("/shop/x") == 404
    # What was open goes on.
    backend.say.put_nowait(b"data: 2\n\n")
    (two,) = await shop.read(reading, 1)
    assert (one.data, two.data) == (b"1", b"2")
    await talking.send_str("still there?")
    assert await talking.receive_str() == "still there?"
    # An EventSource may come with a ticket to the new place.
    async with shop.session.post(shop.server.url + "/tickets", headers=ALICE) as response:
        ticket = (await response.json())["ticket"]
    url = f"{shop.server.url}/market/events?ticket={ticket}"
    async with shop.session.get(url) as response:
        assert response.status == 200
    # Sockets are counted by the application's name, whatever else of it changes.
    market = f"{shop.server.url}/market/ws"
    async with shop.session.ws_connect(market, headers=ALICE) as socket:
        await reload(app("/market", backend, "max_sockets = 1\nmax_message_bytes = 2048"))
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await shop.session.ws_connect(market, headers=ALICE)
        assert caught.value.status == 503
        await socket.send_str("x" * 4000)  # by the rules that it was opened under
        assert len(await socket.receive_str()) == 4000
    backend.say.put_nowait(None)
    assert await shop.read(reading) == []
    await talking.close()


# -- WebSocket


async def test_messages_pass_both_ways_with_identity(backend: Backend, relayed: Any) -> None:
    shop = await relayed(FAIRLEAD_API_KEYS=KEYS)
    async with shop.session.ws_connect(
        shop.url + "/ws?x=1", protocols=("chat", "fairlead.key.key-of-alice")
    ) as socket:
        assert socket.protocol == "chat"
        await socket.send_str("grüß dich")
        assert await socket.receive_str() == "grüß dich"
        await socket.send_bytes(b"\x00\xff")
        assert await socket.receive_bytes() == b"\x00\xff"
    (asked,) = backend.asked
    assert asked.headers["Fairlead-Consumer"] == "alice"
    assert "key-of" not in str(asked.headers)
    assert asked.raw_path == "/base/ws?x=1"
    assert asked.headers["X-Forwarded-Proto"] == "http"


async def test_close_codes_are_passed_on(backend: Backend, relayed: Any) -> None:
    shop = await relayed()
    for number, code in enumerate((1000, 1001, 3000, 4321)):
        async with shop.session.ws_connect(shop.url + "/ws", autoclose=False) as socket:
            await socket.send_str(f"close {code}")
            message = await socket.receive()
            assert (message.type, message.data, message.extra) == (
                aiohttp.WSMsgType.CLOSE, code, "as told",
            )  # fmt: skip
        socket = await shop.session.ws_connect(shop.url + "/ws")
        await socket.close(code=code, message=b"I go")
        await backend.until(lambda: len(backend.closes) > number)  # noqa: B023
        assert backend.closes[-1] == (code, "I go")


async def test_limits_of_sockets(backend: Backend, relayed: Any) -> None:
    shop = await relayed("max_message_bytes = 1024\nmax_sockets = 1", FAIRLEAD_API_KEYS=KEYS)
    for headers, query, status in (
        ({}, "", 401),
        ({**ALICE, "Origin": "https://evil.example"}, "", 403),
        (ALICE, "?refuse", 502),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await shop.session.ws_connect(shop.url + "/ws" + query, headers=headers)
        assert caught.value.status == status
    assert len(backend.asked) == 1

    async with shop.session.ws_connect(shop.url + "/ws", headers=ALICE) as socket:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await shop.session.ws_connect(shop.url + "/ws", headers=ALICE)
        assert caught.value.status == 503
        await socket.send_str("x" * 1025)
        assert (await socket.receive()).data == 1009
    async with shop.session.ws_connect(shop.url + "/ws", headers=ALICE) as socket:
        await socket.send_str("big 5000")
        assert (await socket.receive()).data == 1009


async def test_sockets_are_seen_counted_and_closed_by_whoever_oversees(
    backend: Backend, relayed: Any, tmp_path: Path
) -> None:
    budget = '[[budgets]]\nname = "talk"\nlimit = 10\nper = "month"\n'
    shop = await relayed(budget, "--metrics-addresses", "127.0.0.1", FAIRLEAD_API_KEYS=KEYS)
    data = ("--data-dir", str(tmp_path / "data"))
    key = (await run("keys", "create", "boss", "--scopes", "admin", *data)).out.strip()
    boss, server = {"Authorization": f"Bearer {key}"}, shop.server.url

    async def admin(path: str, headers: dict[str, str] = boss) -> Any:
        async with shop.session.get(f"{server}/admin/{path}", headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def stop(socket: str, headers: dict[str, str]) -> int:
        url = f"{server}/admin/sockets/{socket}/stop"
        async with shop.session.post(url, headers=headers) as response:
            return int(response.status)

    async def metric(name: str) -> float:
        async with shop.session.get(f"{server}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    assert (await admin("streams"))["sockets"] == []
    async with shop.session.ws_connect(shop.url + "/ws", headers=ALICE) as socket:
        await socket.send_str("word")
        assert (await socket.receive()).data == "word"
        (seen,) = (await admin("streams"))["sockets"]
        assert (await admin("overview"))["sockets"][0]["socket"] == seen["socket"]
        assert seen.pop("age") >= 0
        id = seen.pop("socket")
        assert seen == {
            "kind": "app",
            "name": "shop",
            "consumer": "alice",
            "address": "127.0.0.1",
            "tokens": 2,
        }
        shown = await run("top", "--once", FAIRLEAD_SERVER=server, FAIRLEAD_API_KEY=key)
        assert id in shown.out
        assert "shop" in shown.out
        assert await metric('fairlead_sockets{kind="app",name="shop"}') == 1
        assert await stop(id, ALICE) == 404
        assert await stop("nobody", boss) == 404
        assert await stop(id, boss) == 204
        message = await socket.receive()
        assert (message.data, message.extra) == (1008, "stopped")
    await backend.until(lambda: backend.closes == [(1008, "stopped")])
    (entry,) = (await admin("audit?action=socket"))["entries"]
    assert (entry["action"], entry["target"], entry["consumer"]) == ("socket.stopped", id, "boss")

    async with shop.session.ws_connect(shop.url + "/ws", headers=BOB) as socket:
        while True:
            await socket.send_str("word")
            if (await socket.receive()).type is not aiohttp.WSMsgType.TEXT:
                break
    await backend.until(lambda: len(backend.closes) == 2)
    assert (await admin("streams"))["sockets"] == []
    assert await metric('fairlead_sockets{kind="app",name="shop"}') == 0
    assert await metric('fairlead_sockets_opened_total{kind="app",name="shop"}') == 2
    assert await metric('fairlead_socket_tokens_total{kind="app",name="shop"}') == 12
    assert await metric('fairlead_budget_exhausted_total{budget="talk"}') == 1


async def test_authority_lasts_as_long_as_it_lasts(
    backend: Backend, relayed: Any, tmp_path: Path
) -> None:
    async def keys(*args: str) -> str:
        result = await run("keys", *args, "--data-dir", str(tmp_path / "data"))
        assert result.status == 0, result
        return result.out.strip()

    shop = await relayed(FAIRLEAD_API_KEYS=KEYS)
    key = await keys("create", "carol")
    carol = {"Authorization": f"Bearer {key}"}
    async with shop.session.post(shop.server.url + "/tickets", headers=carol) as response:
        assert response.status == 200, await response.text()
        ticket = (await response.json())["ticket"]
    url = f"{shop.url}/events?ticket={ticket}"
    async with shop.session.get(url) as response:
        backend.say.put_nowait(b"data: 1\n\n")
        await shop.read(response, 1)
        (asked,) = backend.asked
        assert asked.headers["Fairlead-Consumer"] == "carol"
        assert asked.query_string == ""
        async with (
            shop.session.get(url) as again,
            shop.session.ws_connect(shop.url + "/ws", headers=carol) as socket,
        ):
            assert again.status == 401  # it was good once
            await keys("revoke", key[4:14])
            message = await socket.receive(timeout=90)
            assert (message.data, message.extra) == (1008, "revoked")
        (end,) = await shop.read(response)
        assert json.loads(end.data)["code"] == "revoked"


async def test_sockets_go_on_under_a_fresh_credential(
    backend: Backend, relayed: Any, tmp_path: Path
) -> None:
    async def keys(*args: str) -> str:
        return (await run("keys", *args, "--data-dir", str(tmp_path / "data"))).out.strip()

    shop = await relayed(FAIRLEAD_API_KEYS=KEYS)
    old, fresh, less = [
        await keys("create", "carol", "--scopes", scopes)
        for scopes in ("ask,read", "ask,read", "read")
    ]
    url, responses = f"{shop.url}/ws?reader=mine", f"{shop.server.url}/v1/responses?reader=mine"
    bearer = {"Authorization": f"Bearer {old}"}

    async def renew(key: str, reader: str = "mine") -> tuple[int, Any]:
        async with shop.session.post(
            f"{shop.server.url}/credential",
            params={"reader": reader},
            headers={"Authorization": f"Bearer {key}"},
        ) as response:
            return response.status, (await response.json()).get("renewed")

    async with (
        shop.session.ws_connect(url, headers=bearer) as renewed,
        shop.session.ws_connect(responses, headers=bearer) as other_kind,
        shop.session.ws_connect(shop.url + "/ws", headers=bearer) as forgotten,
    ):
        assert await renew("key-of-alice") == (404, None)
        assert await renew(less) == (404, None)
        assert await renew(fresh, "") == (400, None)
        assert await renew(fresh) == (200, 2)
        await keys("revoke", old[4:14])
        assert (await forgotten.receive(timeout=60)).data == 1008
        await renewed.send_str("still there?")
        assert await renewed.receive_str() == "still there?"
        assert not other_kind.closed
        await keys("revoke", fresh[4:14])
        assert (await renewed.receive(timeout=60)).data == 1008
        assert (await other_kind.receive_json(timeout=60))["status"] == 401
        assert (await other_kind.receive(timeout=60)).data == 1008


async def test_sockets_are_sent_away_by_a_drain(backend: Backend, relayed: Any) -> None:
    shop = await relayed()
    async with shop.session.ws_connect(shop.url + "/ws") as socket:
        shop.server.terminate()
        message = await socket.receive()
        assert message.data == 1012
    assert await shop.server.wait() == 0


async def test_path_of_our_own_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text('[[apps]]\nname = "a"\npath = "/chat"\ntarget = "http://127.0.0.1:1"\n')
    server = ServerProcess(tmp_path / "data", "--config", str(file))
    try:
        with pytest.raises(AssertionError, match="own; take another"):
            await server.start()
    finally:
        await server.stop()
