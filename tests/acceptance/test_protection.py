"""The real server, asked by those who may not, too often, too slowly, or through proxies."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fairlead.errors import Misconfigured
from fairlead.server.sources import load
from tests.support.server import ServerProcess
from tests.support.websocket import Client


def config(folder: Path, text: str) -> str:
    path = folder / "fairlead.toml"
    path.write_text(text)
    return str(path)


async def get(server: ServerProcess, path: str, headers: Mapping[str, str] = {}) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(server.url + path, headers=headers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def test_rules_decide_by_path_header_parameter_and_consumer(folder: Path) -> None:
    file = config(
        folder,
        """
        [[rules]]
        name = "no secrets in URLs"
        act = "deny"
        query = { api_key = "*" }

        [[rules]]
        name = "teams"
        act = "require"
        paths = ["/streams*"]
        requires_headers = { x-team = "*" }

        [[rules]]
        name = "guests ask only"
        act = "deny"
        consumers = ["guest"]
        paths = ["/conversations*"]
        """,
    )
    keys = {"FAIRLEAD_API_KEYS": "guest=g-secret,alice=a-secret"}
    async with ServerProcess(folder / "data", "--config", file, env=keys) as server:
        alice, guest = ({"authorization": f"Bearer {k}-secret"} for k in "ag")
        denied = await get(server, "/streams?api_key=x", alice | {"x-team": "a"})
        assert denied.status_code == 403
        assert denied.json()["rule"] == "no secrets in URLs"
        lacking = await get(server, "/streams", alice)
        assert lacking.status_code == 403
        assert "x-team" in lacking.json()["error"]
        assert (await get(server, "/streams", alice | {"x-team": "a"})).status_code == 200
        assert (await get(server, "/conversations", guest)).status_code == 403
        assert (await get(server, "/conversations", alice)).status_code == 200
        # Who it is, is still the route's to say.
        assert (await get(server, "/conversations")).status_code == 401


async def test_a_rate_is_told_with_the_time_to_come_again(folder: Path) -> None:
    file = config(
        folder, '[[rules]]\nname = "slowly"\nact = "rate"\nrate = "2/h"\npaths = ["/models"]\n'
    )
    async with ServerProcess(folder / "data", "--config", file) as server:
        assert [(await get(server, "/models")).status_code for _ in range(2)] == [200, 200]
        refused = await get(server, "/models")
        assert refused.status_code == 429
        assert refused.json()["code"] == "too_many"
        assert 0 < int(refused.headers["retry-after"]) <= 1800
        assert (await get(server, "/streams")).status_code == 200


async def test_an_address_is_what_a_trusted_proxy_says_and_nobody_else(folder: Path) -> None:
    file = config(
        folder,
        'deny_addresses = ["203.0.113.0/24", "2001:db8::/32"]\ntrusted_proxies = ["127.0.0.1"]\n',
    )
    async with ServerProcess(folder / "data", "--config", file) as server:
        said = {"203.0.113.9": 403, "198.51.100.1": 200, "[2001:db8::9]:4711": 403}
        for hop, status in said.items():
            got = await get(server, "/models", {"x-forwarded-for": hop})
            assert got.status_code == status, hop
        forged = {"x-forwarded-for": "203.0.113.9, 198.51.100.1"}
        assert (await get(server, "/models", forged)).status_code == 200
        # The header that was not chosen says nothing.
        other = {"forwarded": "for=203.0.113.9"}
        assert (await get(server, "/models", other)).status_code == 200
    async with ServerProcess(folder / "other", "--deny-addresses", "203.0.113.0/24") as server:
        untrusted = {"x-forwarded-for": "203.0.113.9"}
        assert (await get(server, "/models", untrusted)).status_code == 200


@pytest.mark.parametrize(
    "foreign",
    [
        {"host": "rebound.example"},
        {"x-forwarded-for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"via": "1.1 edge"},
    ],
    ids="".join,
)
async def test_what_was_asked_here_without_a_key_is_not_shown_elsewhere(
    folder: Path, foreign: dict[str, str]
) -> None:
    ask = {"message": "What is here?"}
    shown = ("/conversations", "/conversations?search=here", "/streams")
    async with (
        ServerProcess(folder / "data", "--no-knowledge") as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        here = await client.post("/chat/stream", json=ask)
        assert here.status_code == 200
        stream = here.headers["fairlead-stream"]
        conversation = (await client.get("/conversations")).json()["conversations"][0]
        for path in shown:
            refused = await client.get(path, headers=foreign)
            assert refused.status_code == 403
            assert refused.json()["code"] == "forbidden"
            for way in ("'hosts'", "fairlead keys create", "'insecure'"):
                assert way in refused.json()["error"]
        ids = (
            f"/streams/{stream}",
            f"/conversations/{conversation['conversation_id']}",
            "/admin/overview",
        )
        for path in ids:
            assert (await client.get(path, headers=foreign)).status_code == 404
            assert (await client.get(path)).status_code == 200
        # Whoever asks can read the answer, and nobody else's.
        there = await client.post("/chat/stream", json=ask, headers=foreign)
        assert "event: done" in there.text
        own = f"/streams/{there.headers['fairlead-stream']}"
        assert (await client.get(own, headers=foreign)).status_code == 200
        for name in ("localhost", "[::1]"):
            named = {"host": f"{name}:{server.port}"}
            assert (await client.get("/conversations", headers=named)).status_code == 200
    hosts = ("--hosts", "rebound.example", "--hosts", "127.0.0.1")
    async with ServerProcess(folder / "data", "--no-knowledge", *hosts) as server:
        assert (await get(server, "/conversations", foreign)).status_code == 200
    async with ServerProcess(folder / "data", "--no-knowledge", "--insecure") as server:
        assert (await get(server, "/conversations", foreign)).status_code == 200


async def test_forwarded_headers_are_read_where_chosen(folder: Path) -> None:
    args = ["--deny-addresses", "203.0.113.0/24", "--trusted-proxies", "127.0.0.1"]
    async with ServerProcess(folder, *args, "--proxy-header", "forwarded") as server:
        said = {"forwarded": 'for="203.0.113.9:4711";proto=https'}
        assert (await get(server, "/models", said)).status_code == 403


async def test_a_socket_is_refused_at_the_handshake(folder: Path) -> None:
    async with ServerProcess(folder, "--deny-addresses", "127.0.0.1") as server:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(server.url.replace("http", "ws", 1) + "/ws"):
                pass
        assert refused.value.response.status_code == 403


async def test_on_a_socket_the_client_is_who_and_where_the_gate_has_found_it(folder: Path) -> None:
    file = config(
        folder,
        'trusted_proxies = ["127.0.0.1"]\nextractive_pace = 0\n'
        '[[rules]]\nname = "not guests"\nact = "deny"\nconsumers = ["guest"]\n'
        '[[budgets]]\nname = "once"\nlimit = 1\nunit = "requests"\nper = "month"\n'
        'keyed_by = ["address"]\n',
    )
    keys = {"FAIRLEAD_API_KEYS": "alice=a-secret"}
    async with ServerProcess(folder / "data", "--config", file, env=keys) as server:
        for address, code in (
            ("198.51.100.1", ""),
            ("198.51.100.2", ""),
            ("198.51.100.1", "budget_exhausted"),
        ):
            async with httpx.AsyncClient() as client:
                bearer = {"authorization": "Bearer a-secret"}
                ticket = (await client.post(server.url + "/tickets", headers=bearer)).json()
            # A rule asked who it is, and so has used the ticket up.
            path = f"/ws?ticket={ticket['ticket']}"
            hop = {"x-forwarded-for": address}
            async with Client(server.url, path, additional_headers=hop) as socket:
                await socket.send("chat", id="1", message="What is Fairlead?")
                told = await socket.reply("1")
                assert told["data"].get("code", "") == code, told


def proxy_header(client: str, *, version: int = 2) -> bytes:
    if version == 1:
        return f"PROXY TCP4 {client} 127.0.0.1 4711 80\r\n".encode()
    packed = bytes(map(int, client.split("."))) + b"\x7f\0\0\1" + struct.pack(">HH", 4711, 80)
    return b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack(">H", len(packed)) + packed


@contextlib.asynccontextmanager
async def opened(
    server: ServerProcess,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask_raw(server: ServerProcess, begin: bytes, path: str = "/models") -> bytes:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with opened(server) as (reader, writer):
        try:
            writer.write(begin + request.encode())
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.mark.parametrize("version", [1, 2])
async def test_the_proxy_protocol_tells_the_address(folder: Path, version: int) -> None:
    file = config(
        folder,
        'trusted_proxies = ["127.0.0.1"]\nproxy_header = "proxy-protocol"\n'
        'deny_addresses = ["203.0.113.0/24"]\nmax_connections_each = 2\n',
    )
    async with ServerProcess(folder / "data", "--config", file) as server:
        good = await ask_raw(server, proxy_header("198.51.100.1", version=version))
        assert good.startswith(b"HTTP/1.1 200")
        bad = await ask_raw(server, proxy_header("203.0.113.9", version=version))
        assert bad.startswith(b"HTTP/1.1 403")
        # A connection that must begin with it and does not is not served.
        assert await ask_raw(server, b"") == b""


async def test_one_address_has_so_many_connections_and_others_theirs(folder: Path) -> None:
    file = config(
        folder,
        'trusted_proxies = ["127.0.0.1"]\nproxy_header = "proxy-protocol"\n'
        "max_connections_each = 2\n",
    )
    async with ServerProcess(folder / "data", "--config", file) as server:
        whole = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        async with opened(server) as (first, writer):
            writer.write(proxy_header("198.51.100.1") + whole)
            await first.readuntil(b"\r\n\r\n")
            async with opened(server) as (second, writer):
                writer.write(proxy_header("198.51.100.1") + whole)
                await second.readuntil(b"\r\n\r\n")
                assert await ask_raw(server, proxy_header("198.51.100.1")) == b""
                other = await ask_raw(server, proxy_header("198.51.100.2"))
                assert other.startswith(b"HTTP/1.1 200")
            async with asyncio.timeout(90):
                while await ask_raw(server, proxy_header("198.51.100.1")) == b"":
                    pass


WHOLE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


async def answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, before: bytes = b""
) -> None:
    """Ask, and read the whole answer: then the connection is idle."""
    writer.write(before + WHOLE)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    found = re.search(rb"content-length: (\d+)", head)
    assert found is not None
    await reader.readexactly(int(found[1]))


async def test_of_one_address_so_many_connections_are_kept_that_do_nothing(folder: Path) -> None:
    file = config(
        folder,
        'trusted_proxies = ["127.0.0.1"]\nproxy_header = "proxy-protocol"\nmax_idle_each = 2\n',
    )
    async with (
        ServerProcess(folder / "data", "--config", file) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        ours = [await stack.enter_async_context(opened(server)) for _ in range(3)]
        other = await stack.enter_async_context(opened(server))
        await answered(*other, proxy_header("198.51.100.2"))
        for each in ours[:2]:
            await answered(*each, proxy_header("198.51.100.1"))
        # What comes over one of them makes the other one the longest idle.
        await answered(*ours[0])
        await answered(*ours[2], proxy_header("198.51.100.1"))
        assert await ours[1][0].read() == b""
        for each in (ours[0], ours[2], other):
            await answered(*each)
        # Of IPv6 a network is one address.
        sixes = [await stack.enter_async_context(opened(server)) for _ in range(3)]
        for number, each in enumerate(sixes):
            await answered(*each, f"PROXY TCP6 2001:db8::{number + 1} ::1 4711 80\r\n".encode())
        assert await sixes[0][0].read() == b""


async def test_connections_that_do_nothing_make_room(folder: Path) -> None:
    file = config(
        folder,
        'trusted_proxies = ["127.0.0.1"]\nproxy_header = "proxy-protocol"\nmax_connections = 2\n'
        "head_timeout = 90\n",
    )
    async with (
        ServerProcess(folder / "data", "--config", file) as server,
        opened(server) as idle,
        opened(server) as silent,
    ):
        await answered(*idle, proxy_header("198.51.100.1"))
        silent[1].write(proxy_header("198.51.100.2") + WHOLE[:-2])
        # Until the server has heard of the silent one, there is room for a third.
        async with asyncio.timeout(90):
            while not idle[0].at_eof():
                third = await ask_raw(server, proxy_header("198.51.100.3"))
                assert third.startswith(b"HTTP/1.1 200")
        silent[1].write(b"\r\n")
        assert (await silent[0].readline()).startswith(b"HTTP/1.1 200")


async def test_a_client_behind_the_proxy_protocol_keeps_its_address_on_a_socket(
    folder: Path,
) -> None:
    file = config(
        folder,
        'trusted_proxies = ["127.0.0.1"]\nproxy_header = "proxy-protocol"\n'
        '[[rules]]\nname = "there"\nact = "deny"\naddresses = ["203.0.113.0/24"]\n'
        'paths = ["/ws"]\n',
    )
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with ServerProcess(folder / "data", "--config", file) as server:
        for client, status in (("203.0.113.9", b"403"), ("198.51.100.1", b"101")):
            async with opened(server) as (reader, writer):
                writer.write(proxy_header(client) + upgrade)
                assert (await reader.readline()).split()[1] == status


async def test_one_consumer_has_so_many_sockets_though_they_read_nothing(folder: Path) -> None:
    def settings(each: int) -> str:
        return config(folder, f"max_sockets_each = {each}\n")

    keys = {"FAIRLEAD_API_KEYS": "ann=a-secret,bob=b-secret"}
    ann, bob = ({"Authorization": f"Bearer {name}-secret"} for name in "ab")
    server = ServerProcess(folder / "data", "--config", settings(1), env=keys)
    async with server, contextlib.AsyncExitStack() as stack:

        async def opened(headers: dict[str, str]) -> Client:
            client = Client(server.url, additional_headers=headers)
            return await stack.enter_async_context(client)

        async def one_too_many(headers: dict[str, str]) -> None:
            client = await opened(headers)
            assert (await client.answer("error"))["data"]["code"] == "too_many"
            assert await client.closed() == 1013
            assert client.connection.close_reason == "too_many"

        first, other = await opened(ann), await opened(bob)
        await first.send("ping", id="1")
        await first.reply("1")
        await one_too_many(ann)
        # Nor does who has become another take one too many.
        await other.send("authenticate", token="a-secret", id="2")
        assert (await other.reply("2"))["data"]["code"] == "too_many"
        await other.send("ping", id="3")
        assert (await other.reply("3"))["type"] == "pong"
        # More may be allowed at any time.
        settings(2)
        await server.wait_log(lambda line: line["event"] == "reloaded")
        await other.send("authenticate", token="a-secret", id="4")
        assert (await other.reply("4"))["type"] == "authenticated"
        await one_too_many(ann)
        again = await opened(bob)
        await again.send("ping", id="5")
        assert (await again.reply("5"))["type"] == "pong"
        # Less sends nobody away.
        since = len(server.logs)
        settings(1)
        await server.wait_log(lambda line: line["event"] == "reloaded", since)
        await first.close()
        await other.send("ping", id="6")
        assert (await other.reply("6"))["type"] == "pong"
        await one_too_many(ann)


async def test_the_sockets_of_all_protocols_are_counted_together(folder: Path) -> None:
    keys = {"FAIRLEAD_API_KEYS": "ann=a-secret,bob=b-secret"}
    args = ["--max-sockets-each", "1"]
    async with ServerProcess(folder, *args, env=keys) as server:
        url = server.url.replace("http", "ws", 1)
        ann = {"Authorization": "Bearer a-secret"}
        async with connect(f"{url}/v1/responses", additional_headers=ann) as kept:
            for path in ("/ws", "/v1/responses", "/v1/realtime"):
                async with connect(url + path, additional_headers=ann) as refused:
                    assert "WebSockets are open" in str(await refused.recv())
                    await refused.wait_closed()
                    assert (refused.close_code, refused.close_reason) == (1013, "too_many"), path
            bob = {"Authorization": "Bearer b-secret"}
            async with connect(f"{url}/v1/realtime", additional_headers=bob) as other:
                assert "session.created" in str(await other.recv())
            assert kept.close_code is None


async def test_who_drips_the_head_of_a_request_is_let_go(folder: Path) -> None:
    async with ServerProcess(folder, "--head-timeout", "3") as server:
        async with opened(server) as (silent, _), opened(server) as (dripping, writer):

            async def drip() -> None:
                writer.write(b"GET /models HTTP/1.1\r\n")
                for n in range(10_000):
                    writer.write(b"X-%d: y\r\n" % n)
                    await asyncio.sleep(0.01)

            task = asyncio.create_task(drip())
            async with asyncio.timeout(90):
                for reader in (silent, dripping):
                    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                        await reader.readexactly(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        # One that is quick may keep its connection, and ask on after a pause.
        async with httpx.AsyncClient() as client:
            assert (await client.get(server.url + "/models")).status_code == 200
            await asyncio.sleep(4)
            assert (await client.get(server.url + "/models")).status_code == 200


def test_what_is_wrong_with_rules_is_named(folder: Path) -> None:
    wrongs = {
        'name = "a"\nact = "rate"\nrate = "many"': "10/s",
        'name = "a"\nact = "deny"\naddresses = ["300.1.1.1"]': "no network",
        'name = "a"\nact = "require"': "requires_headers",
        'name = "a"\nact = "deny"\nheaders = { X-Team = "a" }': "small letters",
        'name = "a"\nact = "forbid"': "act",
    }
    for text, named in wrongs.items():
        file = config(folder, f"[[rules]]\n{text}\n")
        with pytest.raises(Misconfigured, match=re.escape(named)):
            load({}, {}, Path(file))
