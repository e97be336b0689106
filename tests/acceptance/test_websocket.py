"""``/ws`` on the real server: every verb, exactness over broken connections, limits, the drain."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Silent
from tests.acceptance.conftest import Serve
from tests.support.server import ServerProcess
from tests.support.sse import Reader
from tests.support.websocket import Client

TOKENS = tuple(f"{n} 断线 👩‍👩‍👧\u2028\n" for n in range(60))
TEXT = "".join(TOKENS)
GATED = Pace(gated=True)

_HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}

ways = pytest.mark.parametrize("way", ["--direct", "--no-direct", "--websocket-deflate"])


def with_keys(server: ServerProcess, keys: str) -> ServerProcess:
    server.env["FAIRLEAD_API_KEYS"] = keys
    return server


async def readers(session: aiohttp.ClientSession, server: ServerProcess) -> int:
    async with session.get(f"{server.url}/health/ready") as response:
        found: int = (await response.json())["readers"]
        return found


async def until_readers(session: aiohttp.ClientSession, server: ServerProcess, n: int) -> None:
    async with asyncio.timeout(90):
        while await readers(session, server) != n:
            pass


@ways
async def test_ask_and_read(serve: Serve, upstream: ScriptedUpstream, way: str) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with serve(way) as server, Client(server.url) as client:
        stream = await client.ask("Go on.", id="1", conversation_id="c1")
        done = await client.end(stream)
        seen = client.streams[stream]
        first = seen.messages[0]
        assert (first["type"], first["data"]["conversation_id"]) == ("thinking", "c1")
        assert seen.text == TEXT
        assert done["data"] == {"status": "completed", "finish": "stop"}
        assert {message["stream"] for message in seen.messages} == {stream}
        [started] = client.answers
        assert started["id"] == "1"
        assert started["data"]["created"] is True
        assert started["data"]["message_id"] == first["data"]["message_id"]


@ways
async def test_exact_after_random_cuts(serve: Serve, upstream: ScriptedUpstream, way: str) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    chance = random.Random(7)
    async with serve(way) as server, Client(server.url) as client:
        stream = await client.ask("Go on.", key="once")
        seen = client.seen(stream)
        for n in range(0, len(TOKENS), 3):
            upstream.release(3)
            await client.events(stream, 1 + n + chance.randrange(3))
            await client.cut()
            await client.connect()
            await client.send("attach", stream=stream, after=seen.position, id=str(n))
            await client.answer("attached", stream=stream, id=str(n))
        upstream.release()  # the end
        await client.end(stream)
        assert seen.text == TEXT
        assert seen.resets == 0
        assert await client.ask("Go on.", key="once") == stream
        assert client.answers[-1]["data"]["created"] is False
        await client.end(stream)
        assert client.streams[stream].text == TEXT
        assert len(upstream.requests) == 1


async def test_every_position_is_one_to_go_on_from(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve() as server, Client(server.url) as client:
        stream = await client.ask("Go on.")
        for n in range(len(TOKENS)):  # one event each: nothing is merged
            upstream.release()
            await client.events(stream, n + 2)
        upstream.release()  # the end
        await client.end(stream)
        whole = client.streams[stream]
        text = ""
        for message in whole.messages[:-1]:
            text += message["data"].get("token", "")
            client.streams[stream] = late = type(whole)()
            await client.send("attach", stream=stream, after=message["position"])
            await client.end(stream)
            assert text + late.text == TEXT
            assert late.position == whole.position


async def test_sse_and_websocket_take_turns(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve() as server, Client(server.url) as client:
        sse = Reader(session, server.url)
        stream = await client.ask("Go on.")
        seen = client.seen(stream)
        sse.stream = stream
        released = 0
        while released < len(TOKENS) - 10:
            upstream.release(5)
            released += 5
            have = len(seen.messages)
            await client.events(stream, have + 1)
            await client.send("detach", stream=stream)
            await client.answer("detached", stream=stream)

            sse.last_id = f"{stream}.{seen.position}"
            upstream.release(5)
            released += 5
            reading = asyncio.create_task(sse.attach())
            had = len(sse.events)
            await sse.until(lambda sse, had=had: len(sse.events) > had)  # type: ignore[misc]
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            for _, data, id in sse.events[had:]:
                seen.append(data.get("token", ""), id.partition(".")[2])
            await client.send("attach", stream=stream, after=sse.last_id)
            await client.answer("attached")
        upstream.release(len(TOKENS) + 1)
        await client.end(stream)
        assert seen.text == TEXT


@ways
async def test_many_streams_on_one_socket(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, way: str
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with serve(way) as server, Client(server.url) as client:
        streams = [await client.ask(f"Question {n}") for n in range(30)]
        for stream in streams:
            await client.end(stream)
        assert {client.streams[stream].text for stream in streams} == {TEXT}
        await until_readers(session, server, 0)


async def test_attaching_again_moves_the_reader(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve() as server, Client(server.url) as client:
        stream = await client.ask("Go on.")
        upstream.release(3)
        await client.events(stream, 4)
        del client.streams[stream]
        await client.send("attach", stream=stream)
        await client.answer("attached")
        upstream.release(len(TOKENS) + 1)
        await client.end(stream)
        assert client.streams[stream].text == TEXT
        await until_readers(session, server, 0)


async def test_stop_and_detach(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve() as server, Client(server.url) as client, Client(server.url) as other:
        stream = await client.ask("Go on.")
        await other.send("attach", stream=stream)
        upstream.release(2)
        await client.events(stream, 3)
        await client.send("detach", stream=stream, id="d")
        await client.answer("detached", stream=stream, id="d")
        await until_readers(session, server, 1)
        # Not reading it does not hinder stopping it.
        await client.send("stop", stream=stream, id="s")
        assert (await client.answer("stopped", id="s"))["data"] == {"status": "stopped"}
        assert (await other.end(stream))["data"] == {"status": "stopped", "reason": "stop"}
        assert other.streams[stream].text == TOKENS[0] + TOKENS[1]
        assert len(client.streams[stream].messages) == 3
        await upstream.wait_closed()
        await client.send("stop", stream=stream, id="again")
        assert (await client.answer("stopped", id="again"))["data"] == {"status": "stopped"}


async def test_interrupt(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=("One ", "two ", "three "), pace=GATED), Answer(tokens=("Four",)))
    async with serve() as server, Client(server.url) as client:
        first = await client.ask("Count.")
        upstream.release(2)
        await client.events(first, 3)
        shown = client.streams[first].messages[1]["position"]
        for id in ("1", "2"):
            await client.send(
                "interrupt", stream=first, shown=shown, message="From four, please.", id=id
            )
        started = await client.answer("started", id="1")
        assert started["data"]["created"] is True
        second = started["stream"]
        again = await client.answer("started", id="2")
        assert (again["stream"], again["data"]["created"]) == (second, False)
        assert (await client.end(first))["data"]["status"] == "stopped"

        await client.end(second)
        assert client.streams[second].text == "Four"
        assert len(upstream.requests) == 2
        turns = json.loads(upstream.requests[1].body)["messages"]
        assert [turn["content"] for turn in turns if turn["role"] == "assistant"] == ["One "]


async def test_what_is_wrong_is_an_error_and_the_socket_stays(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    unknown = "0" * 26
    async with serve() as server, Client(server.url) as client:
        stream = await client.ask("Go on.")
        for fields, code in (
            ({"type": "chat", "message": ""}, "bad_request"),
            ({"type": "chat", "message": "Hi", "model": "none"}, "bad_request"),
            ({"type": "attach", "stream": unknown}, "not_found"),
            ({"type": "attach", "stream": stream, "after": "?"}, "bad_position"),
            ({"type": "stop", "stream": unknown}, "not_found"),
            ({"type": "interrupt", "stream": unknown, "message": "Hi"}, "not_found"),
            ({"type": "dance"}, "bad_request"),
        ):
            await client.send(**fields, id="wrong")
            error = await client.answer("error", id="wrong")
            assert error["data"]["code"] == code, fields
            assert error["data"]["retryable"] is False
        chance = random.Random(3)
        for _ in range(300):
            wrong = bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
            text = wrong.decode("latin-1")
            await client.connection.send(wrong if chance.random() < 0.5 else text)
            await client.answer("error")
        upstream.release(len(TOKENS) + 1)
        await client.end(stream)
        assert client.streams[stream].text == TEXT


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x85\0\0\0\0\xff\xff\xff\xff\xff", 1007),  # text that is not UTF-8
        (b"\xf1\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x81\x01x", 1002),  # not masked
        (b"\x81\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", 1009),  # 2 GiB
    ],
    ids=["not UTF-8", "reserved bits", "not masked", "2 GiB"],
)
async def test_what_violates_the_protocol_closes_that_socket_only(
    serve: Serve, upstream: ScriptedUpstream, frame: bytes, code: int
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve() as server, Client(server.url) as other, Client(server.url) as client:
        stream = await other.ask("Go on.")
        client.connection.transport.write(frame)
        assert await client.closed() == code
        upstream.release(len(TOKENS) + 1)
        await other.end(stream)
        assert other.streams[stream].text == TEXT


async def test_a_message_that_is_too_large_closes_with_1009(serve: Serve) -> None:
    async with serve("--max-body-bytes", "1 KiB") as server, Client(server.url) as client:
        await client.send("ping", id="x" * 2000)
        assert await client.closed() == 1009


async def test_who_may_open_one(serve: Serve, session: aiohttp.ClientSession) -> None:
    allowed = "https://app.example"
    async with with_keys(serve("--cors-origins", allowed), "alice=s3cret/+") as server:
        bearer = {"Authorization": "Bearer s3cret/+"}
        for origin, status in (
            (allowed, 101),
            (server.url, 101),
            ("https://evil.example", 403),
            ("null", 403),
        ):
            async with session.get(
                f"{server.url}/ws", headers={**_HANDSHAKE, **bearer, "Origin": origin}
            ) as response:
                assert response.status == status, origin
                if status == 403:
                    assert (await response.json())["code"] == "forbidden"

        # A browser's way. The key is not echoed.
        subprotocols: Any = ["fairlead.key.s3cret%2F%2B", "fairlead.v1"]
        async with Client(server.url, subprotocols=subprotocols) as client:
            assert client.connection.subprotocol == "fairlead.v1"
            assert client.connection.response is not None
            assert "s3cret" not in str(client.connection.response.headers)
            await client.send("ping")
            await client.answer("pong")
        for offered in (None, ["fairlead.key.guess", "fairlead.v1"]):
            async with Client(server.url, subprotocols=offered) as client:
                error = await client.answer("error")
                assert error["data"]["code"] == "unauthenticated"
                assert await client.closed() == 1008
        for path in ("/elsewhere", "/ws/a/b"):
            with pytest.raises(InvalidStatus) as status_404:
                await connect(server.url.replace("http", "ws") + path)
            assert status_404.value.response.status_code == 404
        assert "s3cret" not in json.dumps(server.logs)
        assert "guess" not in json.dumps(server.logs)
    # Refusing is no error of the server's.
    assert "handshake" not in server.output


async def test_another_credential_takes_along_what_it_may_see(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with (
        with_keys(serve(), "alice=a1,alice=a2,bob=b") as server,
        Client(server.url, additional_headers={"Authorization": "Bearer a1"}) as client,
    ):
        stream = await client.ask("Go on.")
        await client.send("authenticate", token="wrong", id="0")
        assert (await client.answer("error", id="0"))["data"]["code"] == "unauthenticated"
        await client.send("authenticate", token="a2", id="1")
        answer = await client.answer("authenticated", id="1")
        assert answer["data"] == {"consumer": "alice"}
        upstream.release()
        await client.events(stream, 2)

        await client.send("authenticate", token="b", id="2")
        assert (await client.answer("authenticated", id="2"))["data"] == {"consumer": "bob"}
        lost = await client.answer("error", stream=stream)
        assert lost["data"]["code"] == "not_found"
        await client.send("attach", stream=stream)
        assert (await client.answer("error", stream=stream))["data"]["code"] == "not_found"
        assert len(client.streams[stream].messages) == 2


async def test_caps(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve("--max-readers", "2") as server, Client(server.url) as client:
        first, second = await client.ask("1"), await client.ask("2")
        await client.send("chat", message="3", id="3")
        busy = (await client.answer("error", id="3"))["data"]
        assert (busy["code"], busy["retryable"], busy["retry_after"]) == ("busy", True, 5)
        assert len(upstream.requests) <= 2
        async with Client(server.url) as other:
            await other.send("attach", stream=first, id="a")
            assert (await other.answer("error", id="a"))["data"]["code"] == "busy"
            async with Client(server.url) as third:
                assert await third.closed() == 1013
        upstream.release(len(TOKENS) * 2 + 2)
        await client.end(first)
        await client.end(second)
        assert client.streams[first].text == client.streams[second].text == TEXT


async def test_a_client_that_is_silent_is_gone(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Silent(headers=True))
    async with serve("--heartbeat", "0.2") as server, Client(server.url) as client:
        stream = await client.ask("Go on.")
        received = await asyncio.to_thread(_all, _open(server.port))
        assert b"\x89\x04" in received  # a ping of four bytes
        assert b"\x88\x18\x03\xf3" in received  # then 1011
        # One that answers the pings stays.
        await client.send("ping")
        await client.answer("pong")
        assert not client.seen(stream).ended


def _open(port: int) -> socket.socket:
    """A socket that does by itself nothing at all, with little room for what comes."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    head = "".join(f"{name}: {value}\r\n" for name, value in _HANDSHAKE.items())
    sock.sendall(f"GET /ws HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += sock.recv(1)
    return sock


def _all(sock: socket.socket) -> bytes:
    received = b""
    with sock:
        sock.settimeout(30)
        while data := sock.recv(1 << 16):
            received += data
    return received


async def test_drain(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve() as server, Client(server.url) as client, Client(server.url) as idle:
        stream = await client.ask("Go on.")
        upstream.release(2)
        await client.events(stream, 3)
        server.terminate()
        await server.wait_log(lambda line: line["event"] == "draining")
        await client.send("chat", message="New?", id="new")
        assert (await client.answer("error", id="new"))["data"]["code"] == "draining"
        upstream.release(len(TOKENS) + 1)
        await client.end(stream)
        assert client.streams[stream].text == TEXT
        assert await client.closed() == await idle.closed() == 1012
        assert await server.wait() == 0


async def test_under_a_base_path(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with serve("--base-path", "/api") as server:
        assert re.search("/api$", server.url)
        async with Client(server.url, "/ws/me") as client:
            await client.end(await client.ask("Go on."))
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{server.port}/ws")
        assert refused.value.response.status_code == 404


async def test_thousands_of_cut_sockets_leave_nothing(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve("--max-readers", "50") as server, Client(server.url) as client:
        stream = await client.ask("Go on.")
        upstream.release(5)
        await client.events(stream, 6)

        async def come_and_go() -> None:
            for _ in range(60):
                one = Client(server.url)
                await one.connect()
                await one.send("attach", stream=stream)
                await one.events(stream, 1)
                await one.cut()
                one.streams.clear()

        await asyncio.gather(*(come_and_go() for _ in range(8)))
        await until_readers(session, server, 1)
        upstream.release(len(TOKENS) + 1)
        await client.end(stream)
        assert client.streams[stream].text == TEXT
