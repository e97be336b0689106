"""Answers that programs write over HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.testing.toxic import Cut, Pass, ToxicProxy
from tests.acceptance.conftest import Serve
from tests.support.server import ServerProcess
from tests.support.sse import Reader

EXAMPLE = Path(__file__).parents[2] / "examples" / "write_stream.mjs"
WORDS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
TEXT = "".join(WORDS)


@pytest.fixture
async def server(serve: Serve) -> AsyncGenerator[ServerProcess, None]:
    async with serve("--drain-grace", "0") as server:
        yield server


class Writer:
    """A program that writes an answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str, **headers: str) -> None:
        self.session = session
        self.url = url
        self.headers = headers
        self.stream = ""
        self.writer = 0

    async def begin(self, key: str = "", **fields: Any) -> dict[str, Any]:
        body = {"message": "The report", **fields}
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        async with self.session.post(f"{self.url}/streams", json=body, headers=headers) as response:
            assert response.status in (200, 201), await response.text()
            begun: dict[str, Any] = await response.json()
        self.stream, self.writer = begun["stream"], begun["writer"]
        return begun

    async def post(self, at: int, body: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """The status and the answer of one request."""
        headers = {"Content-Type": "application/x-ndjson"} | self.headers | headers
        query = f"writer={self.writer}&at={at}"
        async with self.session.post(
            f"{self.url}/streams/{self.stream}/events?{query}",
            data=io.BytesIO(body.encode()),
            headers=headers,
        ) as response:
            return response.status, await response.json()

    async def write(self, at: int, *lines: dict[str, Any]) -> dict[str, Any]:
        """Write lines, which must succeed."""
        status, answer = await self.post(at, "".join(json.dumps(line) + "\n" for line in lines))
        assert status == 200, answer
        return answer


def has(text: str, reader: Reader) -> bool:
    """Whether the reader has come to this text."""
    return reader.text == text


def token(text: str) -> dict[str, Any]:
    return {"type": "token", "data": {"token": text}}


@pytest.fixture
def writer(server: ServerProcess, session: aiohttp.ClientSession) -> Writer:
    return Writer(session, server.url)


async def test_what_is_written_is_read_at_once_and_becomes_a_message(
    writer: Writer, server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    begun = await writer.begin(name="reporter")
    assert (begun["next"], begun["status"], begun["lease"]) == (0, "running", 60)
    reader = Reader(session, server.url)
    reading = asyncio.create_task(reader.attach(writer.stream))
    for n, word in enumerate(WORDS):
        assert (await writer.write(n, token(word)))["next"] == n + 1
        await reader.until(partial(has, "".join(WORDS[: n + 1])))
    picture = base64.b64encode(b"\x89PNG").decode()
    ended = await writer.write(
        len(WORDS),
        {"type": "reasoning", "data": {"reasoning": "because"}},
        {"type": "progress", "data": {"message": "drawn", "fraction": 0.5}},
        {"type": "media", "data": {"content_type": "image/png", "data": picture}},
        {"type": "sources", "data": {"sources": [{"title": "A book"}]}},
        {"type": "usage", "data": {"input_tokens": 3, "output_tokens": 4}},
        {"type": "done", "data": {"finish": "stop"}},
    )
    assert (ended["next"], ended["status"]) == (len(WORDS) + 6, "completed")
    await reading
    assert reader.text == TEXT
    assert [name for name, _, _ in reader.events if name != "token"] == [
        "thinking", "part", "reasoning", "part", "progress", "part", "media", "part", "sources",
        "usage", "done",
    ]  # fmt: skip
    assert reader.events[0][1]["provider"] == "reporter"
    assert reader.end == {"status": "completed", "finish": "stop"}
    async with session.get(f"{server.url}/conversations/{begun['conversation_id']}") as response:
        messages = (await response.json())["messages"]
    assert [m["text"] for m in messages] == ["The report", TEXT]


async def test_what_is_repeated_is_taken_once(writer: Writer, server: ServerProcess) -> None:
    await writer.begin()
    for _ in range(2):
        assert (await writer.write(0, token("a"), token("b")))["next"] == 2
    assert (await writer.write(1, token("b"), token("c")))["next"] == 3
    for _ in range(2):
        ended = await writer.write(3, token("d"), {"type": "done"})
        assert (ended["next"], ended["status"]) == (5, "completed")
    reader = Reader(writer.session, server.url)
    await reader.attach(writer.stream)
    assert reader.text == "abcd"


async def test_many_requests_at_once_for_the_same_lines(
    writer: Writer, server: ServerProcess
) -> None:
    await writer.begin()
    for n, word in enumerate(WORDS):
        await asyncio.gather(*(writer.write(n, token(word)) for _ in range(10)))
    await writer.write(len(WORDS), {"type": "done"})
    reader = Reader(writer.session, server.url)
    await reader.attach(writer.stream)
    assert reader.text == TEXT


async def test_a_gap_is_refused_and_says_what_is_missing(writer: Writer) -> None:
    await writer.begin()
    await writer.write(0, token("a"))
    status, answer = await writer.post(2, json.dumps(token("c")))
    assert (status, answer["code"], answer["reason"], answer["next"]) == (409, "conflict", "gap", 1)
    assert (await writer.write(1, token("b"), token("c")))["next"] == 3


async def test_who_begins_again_goes_on_and_the_earlier_writer_may_not(
    writer: Writer, server: ServerProcess
) -> None:
    await writer.begin("k")
    await writer.write(0, token("a"))
    second = Writer(writer.session, server.url)
    begun = await second.begin("k")
    assert (begun["stream"], begun["next"]) == (writer.stream, 1)
    status, answer = await writer.post(1, json.dumps(token("x")))
    assert (status, answer["reason"]) == (409, "fenced")
    await second.write(1, token("b"), {"type": "done"})
    reader = Reader(writer.session, server.url)
    await reader.attach(writer.stream)
    assert reader.text == "ab"
    # Who comes later still learns how it ended.
    assert (await writer.begin("k"))["status"] == "completed"
    async with writer.session.post(
        f"{server.url}/streams", json={"message": "Another"}, headers={"Idempotency-Key": "k"}
    ) as response:
        assert response.status == 409


async def test_what_was_acknowledged_stands_there_whoever_takes_over(
    writer: Writer, server: ServerProcess
) -> None:
    """Many programs with the same key begin again and again; each writes its own words."""
    acknowledged: dict[int, str] = {}

    async def program(name: int) -> None:
        mine = Writer(writer.session, server.url)
        for turn in range(10):
            at = (await mine.begin("k"))["next"]
            words = [f"{name}.{turn}.{n} " for n in range(100)]
            status, answer = await mine.post(at, "\n".join(json.dumps(token(w)) for w in words))
            if status == 200:
                acknowledged.update(enumerate(words, start=at))
            else:
                assert answer["reason"] == "fenced"

    await asyncio.gather(*(program(name) for name in range(8)))
    last = await writer.begin("k")
    await writer.write(last["next"], {"type": "done"})
    reader = Reader(writer.session, server.url)
    await reader.attach(writer.stream)
    assert acknowledged
    assert reader.text.split() == [acknowledged[n].strip() for n in range(last["next"])]


async def test_a_silent_writer_is_given_up_and_one_that_is_heard_is_not(
    server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    silent, heard = Writer(session, server.url), Writer(session, server.url)
    await silent.begin(lease=1)
    await heard.begin(lease=1)
    await silent.write(0, token("so far"))
    reader = Reader(session, server.url)
    reading = asyncio.create_task(reader.attach(silent.stream))
    while not reading.done():
        assert (await heard.write(0))["status"] == "running"
    assert reader.text == "so far"
    assert (reader.end["code"], reader.end["retryable"]) == ("interrupted", True)
    assert "silent for 1 s" in reader.end["error"]
    status, answer = await silent.post(1, json.dumps(token("more")))
    assert (status, answer["reason"], answer["status"]) == (409, "ended", "interrupted")
    await heard.write(0, {"type": "done"})


async def test_a_stop_reaches_the_writer(writer: Writer, server: ServerProcess) -> None:
    await writer.begin()
    await writer.write(0, token("a"))
    async with writer.session.post(f"{server.url}/streams/{writer.stream}/stop") as response:
        assert (await response.json())["text"] == "a"
    assert (await writer.write(1))["status"] == "stopped"
    status, answer = await writer.post(1, json.dumps(token("b")))
    assert (status, answer["reason"], answer["status"]) == (409, "ended", "stopped")


async def test_an_error_ends_it_as_failed(writer: Writer, server: ServerProcess) -> None:
    await writer.begin()
    failed = {"type": "error", "data": {"error": "the printer is on fire", "retryable": True}}
    assert (await writer.write(0, token("a"), failed))["status"] == "failed"
    reader = Reader(writer.session, server.url)
    await reader.attach(writer.stream)
    assert reader.text == "a"
    assert reader.end["error"] == "the printer is on fire"
    assert reader.end["retryable"]


async def test_what_cannot_be_written_is_named_and_changes_nothing(writer: Writer) -> None:
    await writer.begin()
    status, answer = await writer.post(0, json.dumps(token("a")) + '\n{"type": "token"}')
    assert (status, answer["code"]) == (400, "bad_request")
    assert answer["error"].startswith("line 2 is not right")
    assert (await writer.write(0))["next"] == 0


async def test_requests_that_are_wrong(writer: Writer, server: ServerProcess) -> None:
    await writer.begin()
    a = json.dumps(token("a"))
    assert (await writer.post(0, a, **{"Content-Type": "text/plain"}))[0] == 400
    assert (await writer.post(0, a, Origin="https://other.example"))[0] == 403
    assert (await writer.post(-1, a))[0] == 400
    assert (await writer.post(0, "\n" * 1_048_577))[0] == 413
    url = f"{server.url}/streams"
    for query in ("", "?at=0", "?writer=1", "?writer=x&at=0"):
        async with writer.session.post(f"{url}/{writer.stream}/events{query}") as response:
            assert response.status == 400
    for body in ({}, {"message": "x", "lease": 0}, {"message": "x", "more": 1}, {"message": ""}):
        async with writer.session.post(url, json=body) as response:
            assert response.status == 400
    writer.stream = "0" * 26
    assert (await writer.post(0, a))[0] == 404


async def test_what_others_write_is_not_found(serve: Serve, session: aiohttp.ClientSession) -> None:
    server = serve()
    server.env = {"FAIRLEAD_API_KEYS": "alice=one,bob=two"}
    async with server:
        alice = Writer(session, server.url, Authorization="Bearer one")
        await alice.begin()
        bob = Writer(session, server.url, Authorization="Bearer two")
        bob.stream, bob.writer = alice.stream, alice.writer
        assert (await bob.post(0, json.dumps(token("x"))))[0] == 404
        await alice.write(0, token("a"), {"type": "done"})


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_server_that_ends_keeps_what_it_took_and_interrupts_the_rest(
    writer: Writer, server: ServerProcess, session: aiohttp.ClientSession, how: str
) -> None:
    await writer.begin("k")
    for n, word in enumerate(WORDS):
        await writer.write(n, token(word))
    if how == "stopped":
        assert await server.stop() == 0
    else:
        await server.kill()
    await server.start()
    writer.url = server.url
    assert (await writer.post(len(WORDS), json.dumps(token("b"))))[0] == 404
    async with session.post(
        f"{server.url}/streams", json={"message": "The report"}, headers={"Idempotency-Key": "k"}
    ) as response:
        assert (response.status, (await response.json())["stream"]) == (409, writer.stream)
    reader = Reader(session, server.url)
    await reader.attach(writer.stream)
    assert (reader.text, reader.end["code"]) == (TEXT, "interrupted")


class Node:
    """The example as a process."""

    def __init__(self, url: str, key: str, pace: float) -> None:
        self.arguments = (str(EXAMPLE), url, key)
        self.env = os.environ | {"PACE": str(pace)}

    async def __aenter__(self) -> asyncio.subprocess.Process:
        self.process = await asyncio.create_subprocess_exec(
            "node", *self.arguments, env=self.env, stdout=asyncio.subprocess.PIPE
        )
        return self.process

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


REPORT = "collect is done – compare is done – draw is done – write is done – "


async def test_the_example_in_node_writes_each_line_once_over_connections_that_are_cut(
    server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    cuts = [Cut(n) for n in range(0, 600, 120)]
    async with ToxicProxy(server.port, *cuts, Pass()) as proxy:
        async with Node(proxy.url, "k", 0) as node:
            async with asyncio.timeout(90):
                out, _ = await node.communicate()
            assert node.returncode == 0
        assert proxy.connections > len(cuts)
    reader = Reader(session, server.url)
    await reader.attach(out.decode().strip())
    assert reader.text == REPORT
    names = [name for name, _, _ in reader.events]
    assert names.count("progress") == 5
    assert names.count("media") == 1
    assert names[-1] == "done"


async def test_the_example_in_node_is_killed_and_started_again(
    server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    reader = Reader(session, server.url)
    async with Node(server.url, "k", 0.5) as node:
        assert node.stdout is not None
        stream = (await node.stdout.readline()).decode().strip()
        reading = asyncio.create_task(reader.attach(stream))
        await reader.until(lambda r: r.text != "")
    assert not reader.ended
    async with Node(server.url, "k", 0.05) as node:
        assert node.stdout is not None
        assert (await node.stdout.readline()).decode().strip() == stream
        await reading
    assert reader.text == REPORT
    assert [name for name, _, _ in reader.events].count("progress") == 5
