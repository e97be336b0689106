"""Plain ``curl``, httpx-sse and aiohttp as Python services use them, and what is on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import httpx
import pytest
from httpx_sse import aconnect_sse

from fairlead.server.config import SETTINGS
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.articles.conftest import Connect, Serve, ready, until_readers
from tests.support.server import ServerProcess

TOKENS = ("断线", "之后\n", " goes on", "\u2028\u0085\x0b", "👩‍👩‍👧", ' "so"\\ ', " end。")
TEXT = "".join(TOKENS)


@pytest.fixture
async def server(serve: Serve, upstream: ScriptedUpstream) -> ServerProcess:
    """Ready to answer with ``TOKENS``."""
    upstream.script(Answer(tokens=TOKENS))
    return await serve("--retry", "5")


async def curl(*arguments: str) -> tuple[dict[str, str], bytes]:
    """Headers (names in lower case; ``""`` is the status line) and body of ``curl -N -i …``."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-N", "-i", "-sS", *arguments, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(90):
        output, _ = await process.communicate()
    assert process.returncode == 0
    head, _, body = output.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return {"": status} | {name.lower(): value for name, _, value in pairs}, body


def blocks(body: bytes) -> list[dict[str, str]]:
    """The blocks of a body, fields by name."""
    assert body.endswith(b"\n\n")
    return [
        dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        for block in body.decode().removesuffix("\n\n").split("\n\n")
    ]


# -- curl and the wire -----------------------------------------------------------------------------


async def test_curl_gets_the_headers_and_blocks_that_the_articles_show(
    server: ServerProcess,
) -> None:
    headers, body = await curl(
        "-X", "POST", f"{server.url}/chat/stream",
        "-H", "Content-Type: application/json",
        "-H", "Authorization: Bearer anything",
        "-d", '{"message": "断线之后?"}',
    )  # fmt: skip
    assert headers[""] == "HTTP/1.1 200 OK"
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["connection"] == "keep-alive"
    assert headers["x-accel-buffering"] == "no"
    assert headers["transfer-encoding"] == "chunked"
    assert headers["fairlead-protocol"] == "1"
    assert "content-length" not in headers
    assert "content-encoding" not in headers

    found = blocks(body)
    named = [block["event"] for block in found]
    assert named[0] == "thinking"
    assert named[1] == "token"
    assert named[-1] == "done"
    data = [json.loads(block["data"]) for block in found]
    assert all(isinstance(value, dict) for value in data)
    assert "".join(value.get("token", "") for value in data) == TEXT
    assert data[0]["status"] == "writing"
    assert isinstance(data[0]["message"], str)
    assert data[-1]["status"] == "completed"
    # `retry:` once, inside a block with data; an id in every block; nothing else.
    assert [block.get("retry") for block in found] == ["5000"] + [None] * (len(found) - 1)
    assert all({"id", "event", "data"} <= set(block) for block in found)
    ids = [block["id"] for block in found]
    assert ids == sorted(set(ids))
    assert all(block.startswith(headers["fairlead-stream"] + ".") for block in ids)
    # Raw UTF-8; only what JSON forbids in strings is escaped.
    assert "断线".encode() in body
    assert "\u2028\u0085".encode() in body
    assert "👩‍👩‍👧".encode() in body
    assert b"\\u2028" not in body
    assert b"\\u65ad" not in body.lower()


async def test_sources_of_the_documents(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS))
    server = await serve(knowledge=True)
    _, body = await curl(f"{server.url}/chat/stream?message=How+does+a+client+resume%3F")
    found = {block["event"]: json.loads(block["data"]) for block in blocks(body)}
    assert list(found)[:2] == ["thinking", "sources"]
    sources = found["sources"]
    assert sources["count"] == len(sources["sources"]) > 0
    assert {"title", "snippet", "score"} <= set(sources["sources"][0])


async def test_a_heartbeat_is_a_comment_line_and_ends_no_block(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect, http: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve("--heartbeat", "0.1"))
    async with http.post(f"{line.url}/chat/stream", json={"message": "Hi"}) as response:
        body = await response.content.readuntil(b": heartbeat\n: heartbeat\n")
        upstream.release(len(TOKENS) + 1)
        body += await response.content.read()
    assert b": heartbeat\n\n" not in body
    assert body.count(b": heartbeat\n") >= 2
    texts = [json.loads(b["data"]).get("token", "") for b in blocks(body)]
    assert "".join(texts) == TEXT


@pytest.mark.parametrize(
    "arguments",
    [
        ("-d", '{"question": "断线之后?"}'),
        ("-d", '{"message": "断线之后?"}'),
        ("-G", "--data-urlencode", "question=断线之后?"),
        ("-G", "--data-urlencode", "message=断线之后?"),
        # The samples' FastAPI route takes `question` as a query parameter of a POST.
        ("-X", "POST", "--url-query", "question=断线之后?"),
        ("-d", "{}", "--url-query", "question=断线之后?"),
    ],
    ids=["body question", "body message", "GET question", "GET message", "POST query", "both"],
)
async def test_question_means_message_in_body_and_query(
    server: ServerProcess, upstream: ScriptedUpstream, arguments: tuple[str, ...]
) -> None:
    headers, body = await curl(
        f"{server.url}/chat/stream", "-H", "Content-Type: application/json", *arguments
    )
    assert headers[""] == "HTTP/1.1 200 OK", body
    assert blocks(body)[-1]["event"] == "done"
    assert upstream.requests[0].message_texts("user") == ["断线之后?"]


async def test_an_unknown_conversation_is_created_and_gone_on_with(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    for message in ("First?", "Second?"):
        body = json.dumps({"conversation_id": "my-own-id", "message": message})
        headers, answer = await curl(
            f"{server.url}/chat/stream", "-H", "Content-Type: application/json", "-d", body
        )
        assert headers[""] == "HTTP/1.1 200 OK", answer
        assert json.loads(blocks(answer)[0]["data"])["conversation_id"] == "my-own-id"
        assert headers["fairlead-conversation"] == "my-own-id"
    assert upstream.requests[1].message_texts("user") == ["First?", "Second?"]
    assert upstream.requests[1].message_texts("assistant") == [TEXT]


# -- httpx-sse -------------------------------------------------------------------------------------


async def test_httpx_sse(server: ServerProcess) -> None:
    async with (
        httpx.AsyncClient() as client,
        aconnect_sse(client, "POST", f"{server.url}/chat/stream", json={"message": "Hi"}) as source,
    ):
        source.response.raise_for_status()
        events = [event async for event in source.aiter_sse()]
    assert events[0].event == "thinking"
    assert events[0].retry == 5000
    assert events[-1].event == "done"
    assert "".join(event.json().get("token", "") for event in events) == TEXT


async def test_httpx_sse_goes_on_where_it_was_cut(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve())
    text = last = event = ""
    headers: dict[str, str] = {}
    async with httpx.AsyncClient() as client:
        while event != "done":
            upstream.release(2)
            try:
                async with aconnect_sse(
                    client,
                    "POST",
                    f"{line.url}/chat/stream",
                    json={"message": "Hi"},
                    headers=headers,
                ) as source:
                    async for sse in source.aiter_sse():
                        event, last = sse.event, sse.id
                        if event == "token":
                            text += sse.json()["token"]
                            line.cut()
            except httpx.TransportError:
                headers = {"Last-Event-ID": last}
    assert text == TEXT
    assert len(upstream.requests) == 1
    assert len(line.links) > 2


# -- the articles' own Python clients --------------------------------------------------------------


async def lines_sample(url: str, question: str) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """As articles read a stream in Python: line by line, with no SSE library."""
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("POST", f"{url}/chat/stream", json={"message": question}) as response,
    ):
        event = ""
        buffer = ""
        async for chunk in response.aiter_text():
            # httpx's aiter_lines(), which the samples use, also splits at U+2028, U+0085 and
            # U+000B, and so breaks JSON in two. Only LF ends a line here.
            buffer += chunk
            *lines, buffer = buffer.split("\n")
            for line in lines:
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    yield event, json.loads(line[6:])


async def test_reading_line_by_line(server: ServerProcess) -> None:
    events = [event async for event in lines_sample(server.url, "Hi")]
    assert events[0][0] == "thinking"
    assert events[-1] == ("done", events[-1][1] | {"status": "completed"})
    assert "".join(data["token"] for event, data in events if event == "token") == TEXT


# -- the cap ---------------------------------------------------------------------------------------


async def test_the_cap_of_connections_counts_until_the_body_ends(
    serve: Serve, upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--max-readers", "2")
    url = f"{server.url}/chat/stream"
    first = await http.post(url, json={"message": "1"})
    second = await http.post(url, json={"message": "2"})
    await first.content.readuntil(b"\n\n")
    await second.content.readuntil(b"\n\n")
    await upstream.wait_request()
    await upstream.wait_request()

    for language, words in (
        ("zh-CN,zh;q=0.9,en;q=0.8", "服务器繁忙，请稍后再试"),
        ("de, en;q=0.5", "server busy, try again later"),
    ):
        async with http.post(
            url, json={"message": "3"}, headers={"Accept-Language": language}
        ) as refused:
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) >= 1
            problem = await refused.json()
            assert problem["error"].startswith(words)
            assert (problem["code"], problem["retryable"]) == ("busy", True)
            assert problem["retry_after"] == int(refused.headers["Retry-After"])
    # What was refused has started nothing.
    assert (await ready(http, server)) == {"status": "ok", "generations": 2, "readers": 2}
    assert len(upstream.requests) == 2

    # The first body ends; only then is there room, and for one.
    upstream.requests[0].release(len(TOKENS) + 1)
    assert b"event: done" in await first.content.read()
    await until_readers(http, server, 1)
    third = await http.post(url, json={"message": "4"})
    assert third.status == 200
    async with http.post(url, json={"message": "5"}) as refused:
        assert refused.status == 503
    # A connection that is closed counts no more, although its answer goes on.
    second.close()
    third.close()
    await until_readers(http, server, 0)
    assert (await ready(http, server))["generations"] == 2


def test_the_articles_numbers_are_the_defaults() -> None:
    defaults = {setting.name: setting.default for setting in SETTINGS}
    assert defaults["max_readers"] == "1000"
    # In seconds; the articles' clients call a connection dead after 60 of silence.
    assert defaults["heartbeat"] == "30"
    assert defaults["retry"] == "5"
