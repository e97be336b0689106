"""The articles' dialogue over WebSocket: handshake, messages, two sockets, a browser."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.articles.conftest import Serve
from tests.articles.pages import frontend
from tests.support.node import Script
from tests.support.websocket import Client

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
TEXT = "".join(TOKENS)


async def handshake(port: int, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (
        "GET /ws/alice HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    )
    writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
    return reader, writer


@pytest.mark.parametrize("code", [1000, 1001], ids=["done", "a browser that leaves its page"])
async def test_handshake_and_close_as_in_the_rfc(serve: Serve, code: int) -> None:
    server = await serve()
    reader, writer = await handshake(server.port, "Sec-WebSocket-Protocol: chat, superchat")
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 101 ")
    assert "\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n" in head
    assert "\r\nsec-websocket-protocol: chat\r\n" in head
    reason = "对话结束".encode()
    payload = code.to_bytes(2, "big") + reason
    writer.write(bytes((0x88, 0x80 | len(payload))) + bytes(4) + payload)
    # The close frame comes back, then the end.
    assert await reader.read() == bytes((0x88, len(payload))) + payload
    writer.close()


async def test_the_samples_messages(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS))
    server = await serve(knowledge=True)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/ws/a") as ws:
        await ws.send_json({"type": "chat", "message": "What is a stream?"})
        text, types = "", []
        async for message in ws:
            said = message.json()
            types.append(said["type"])
            match said["type"]:
                case "thinking":
                    assert said["data"]["message"]
                case "sources":
                    assert said["data"]["count"] == len(said["data"]["sources"]) > 0
                case "token":
                    text += said["data"]["token"]
                case "done":
                    break
        assert text == TEXT
        assert types.index("thinking") < types.index("sources") < types.index("token")
        await ws.send_json({"type": "chat", "message": ""})
        refused = await ws.receive_json()
        assert refused["type"] == "error"
        assert "message" in refused["data"]["error"]


async def test_a_second_socket_of_a_client_leaves_the_first_alone(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve()
    async with Client(server.url, "/ws/same") as first:
        one = await first.ask("One")
        async with Client(server.url, "/ws/same") as second:
            two = await second.ask("Two")
            upstream.release(len(TOKENS))
            await first.send("ping")
            await first.answer("pong")
        # The second one has gone; the first goes on.
        upstream.release(len(TOKENS) + 2)
        await first.end(one)
        assert first.streams[one].text == TEXT
        await first.send("attach", stream=two)
        await first.end(two)
        assert first.streams[two].text == TEXT


_PAGE = """(([url, protocols, message]) => new Promise((resolve) => {
    const socket = new WebSocket(url, protocols);
    const seen = [];
    socket.onopen = () => socket.send(JSON.stringify({type: "chat", message}));
    socket.onmessage = ({data}) => {
        seen.push(JSON.parse(data));
        if (seen.at(-1).type === "done") socket.close(1000, "enough");
    };
    socket.onclose = ({code, reason}) =>
        resolve({protocol: socket.protocol, code, reason, seen});
}))"""


@pytest.mark.parametrize("way", ["--no-websocket-deflate", "--websocket-deflate"])
async def test_a_browser_with_a_key(serve: Serve, upstream: ScriptedUpstream, way: str) -> None:
    upstream.script(Answer(tokens=TOKENS))
    server = await serve(way, FAIRLEAD_API_KEYS="alice=s3cret")

    async def opened(browser: Script, *protocols: str) -> dict[str, Any]:
        url = f"{server.url.replace('http', 'ws')}/ws/me"
        await browser.send(run=f"{_PAGE}({json.dumps([url, protocols, 'Hi'])})")
        found: dict[str, Any] = (await browser.next("result"))["value"]
        return found

    async with Script("browser.mjs") as browser:
        await browser.send(goto=f"{server.url}/health/live")
        await browser.next("page")
        told = await opened(browser, "fairlead.v1", "fairlead.key.s3cret")
        assert told["protocol"] == "fairlead.v1"
        assert (told["code"], told["reason"]) == (1000, "enough")
        tokens = [said["data"]["token"] for said in told["seen"] if said["type"] == "token"]
        assert "".join(tokens) == TEXT

        told = await opened(browser, "fairlead.v1", "fairlead.key.guessed")
        assert told["code"] == 1008
        assert told["seen"][0]["data"]["code"] == "unauthenticated"

        # A page of another origin is refused, whatever it knows.
        async with frontend() as page:
            await browser.send(goto=page.same_site)
            await browser.next("page")
            told = await opened(browser, "fairlead.v1", "fairlead.key.s3cret")
        assert (told["code"], told["seen"]) == (1006, [])
    assert len(upstream.requests) == 1
    assert "s3cret" not in json.dumps(server.logs)
