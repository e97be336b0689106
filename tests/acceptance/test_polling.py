"""Long polling and NDJSON on the real server: the same events, the same positions as over SSE."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Silent
from tests.acceptance.conftest import Serve
from tests.support.sse import Reader

TOKENS = tuple(f"t{n}·" for n in range(40))
TEXT = "".join(TOKENS)


class Poller:
    """Reads a stream by polls alone."""

    def __init__(self, session: aiohttp.ClientSession, url: str, stream: str) -> None:
        self.session = session
        self.url = f"{url}/streams/{stream}"
        self.position = ""
        self.text = ""
        self.messages: list[dict[str, Any]] = []
        self.polls = 0
        self.closed = False

    async def poll(self, wait: int = 20) -> int:
        """One poll; the status of its answer."""
        self.polls += 1
        query = f"?wait={wait}" + (f"&after={self.position}" if self.position else "")
        async with self.session.get(self.url + query) as response:
            assert response.headers["Cache-Control"] == "no-store"
            if response.status == 204:
                assert response.headers["Fairlead-Position"] == self.position
                return 204
            assert response.status == 200, await response.text()
            assert "Content-Length" in response.headers
            body = await response.json()
        for message in body["events"]:
            self.messages.append(message)
            if message["type"] == "token":
                self.text += message["data"]["token"]
            if message["type"] == "reset":
                self.text = message["data"]["text"]
        assert body["position"] >= self.position
        self.position = body["position"]
        self.closed = body["closed"]
        return 200

    async def to_end(self) -> Poller:
        while not self.closed:
            await self.poll()
        return self


async def ask(session: aiohttp.ClientSession, url: str) -> str:
    async with session.post(f"{url}/chat/stream", json={"message": "Go on."}) as response:
        return response.headers["Fairlead-Stream"]


@pytest.fixture(params=["--direct", "--no-direct"])
async def url(request: pytest.FixtureRequest, serve: Serve, upstream: ScriptedUpstream):  # type: ignore[no-untyped-def]
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve(request.param, "--heartbeat", "0.2") as server:
        yield server.url


async def test_polls_wait_for_news_and_then_bring_all_of_it(
    url: str, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    poller = Poller(session, url, await ask(session, url))
    assert await poller.poll() == 200
    assert [m["type"] for m in poller.messages] == ["thinking"]
    assert await poller.poll(wait=0) == 204
    waiting = asyncio.create_task(poller.poll())
    upstream.release(1)
    assert await waiting == 200
    assert poller.text == "t0·"
    upstream.release(len(TOKENS))
    await poller.to_end()
    assert poller.text == TEXT
    assert poller.messages[-1]["type"] == "done"
    late = await Poller(session, url, poller.messages[0]["stream"]).to_end()
    assert late.text == TEXT
    assert late.polls == 1, "a late poller is given what it missed at once, merged"
    assert len(late.messages) < 10
    assert await late.poll() == 200
    assert late.closed


async def test_a_reader_changes_its_transport_in_mid_answer(
    url: str, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    reader = Reader(session, url)
    reading = asyncio.create_task(reader.ask({"message": "Go on."}))
    upstream.release(10)
    await reader.until(lambda r: r.text == "".join(TOKENS[:10]))
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    poller = Poller(session, url, reader.stream)
    poller.position = reader.last_id.partition(".")[2]
    upstream.release(10)
    while poller.text != "".join(TOKENS[10:20]):
        await poller.poll()
    upstream.release(10)
    lines: list[dict[str, Any]] = []
    async with session.get(
        f"{poller.url}?after={poller.position}", headers={"Accept": "application/x-ndjson"}
    ) as response:
        assert response.headers["Content-Type"] == "application/x-ndjson"
        async for line in response.content:
            if line.strip():
                lines.append(json.loads(line))
            if "".join(m["data"]["token"] for m in lines) == "".join(TOKENS[20:30]):
                break
    reader.last_id = f"{reader.stream}.{lines[-1]['position']}"
    upstream.release(len(TOKENS))
    await reader.attach()
    assert reader.text == "".join(TOKENS[:10]) + "".join(TOKENS[30:])


async def test_ndjson_from_the_question_on_with_heartbeats(
    url: str, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Silent(headers=True))
    async with session.post(
        f"{url}/chat/stream",
        json={"message": "Hush."},
        headers={"Accept": "application/x-ndjson"},
    ) as response:
        received = b""
        async for chunk in response.content.iter_any():
            received += chunk
            if received.endswith(b"\n\n\n"):
                break
    first = json.loads(received.split(b"\n")[0])
    assert first["type"] == "thinking"
    assert first["position"]
    assert first["data"]["stream"] == first["stream"]


async def test_curl_and_jq_follow_an_answer_line_by_line(
    url: str, upstream: ScriptedUpstream
) -> None:
    ask = f"curl -sN {url}/chat/stream?message=Go -H Accept:application/x-ndjson"
    shell = await asyncio.create_subprocess_shell(
        f"set -o pipefail; {ask} | jq --unbuffered -r 'select(.type == \"token\").data.token'",
        executable="/bin/bash",
        stdout=asyncio.subprocess.PIPE,
    )
    assert shell.stdout is not None
    async with asyncio.timeout(90):
        for token in TOKENS:
            upstream.release(1)
            assert await shell.stdout.readline() == f"{token}\n".encode()
        upstream.release(1)
        assert await shell.stdout.read() == b""
    assert await shell.wait() == 0


async def test_positions_are_the_same_on_every_transport(
    url: str, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.release(len(TOKENS) + 1)
    reader = Reader(session, url)
    await reader.ask({"message": "All of it."})
    poller = await Poller(session, url, reader.stream).to_end()
    assert poller.position == reader.last_id.partition(".")[2]
    async with session.get(f"{poller.url}", headers={"Accept": "application/x-ndjson"}) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert lines[-1]["position"] == poller.position
    assert {m["position"] for m in poller.messages} <= {
        id.partition(".")[2] for _, _, id in reader.events
    }


async def test_what_is_wrong_is_said(url: str, session: aiohttp.ClientSession) -> None:
    stream = await ask(session, url)
    for query, headers, status, word in [
        ("?wait=61", {}, 400, "wait"),
        ("?wait=x", {}, 400, "wait"),
        ("?wait=1&after=nonsense", {}, 400, "position"),
        ("?batch=5", {"Accept": "application/x-ndjson"}, 400, "text/event-stream"),
    ]:
        async with session.get(f"{url}/streams/{stream}{query}", headers=headers) as response:
            assert response.status == status
            assert word in (await response.json())["error"]
    async with session.get(f"{url}/streams/{stream}?wait=0&after=11zzzzzz-11") as response:
        assert (await response.json())["events"][0]["type"] == "reset"


async def test_a_poller_keeps_an_answer_alive_between_its_polls(
    serve: Serve, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve() as server:
        async with session.post(
            f"{server.url}/chat/stream", json={"message": "Go on.", "orphan_window": 0.5}
        ) as response:
            stream = response.headers["Fairlead-Stream"]
            poller = Poller(session, server.url, stream)
            assert await poller.poll() == 200
        closed = asyncio.create_task(upstream.wait_closed())
        done, _ = await asyncio.wait([closed], timeout=1.5)
        assert not done, "the answer was abandoned although the poller's next poll was not yet due"
        closed.cancel()
        upstream.release(len(TOKENS) + 1)
        assert (await poller.to_end()).text == TEXT


async def test_polls_end_when_the_server_drains(
    serve: Serve, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve("--drain-grace", "0") as server:
        poller = Poller(session, server.url, await ask(session, server.url))
        await poller.poll()
        waiting = asyncio.create_task(poller.poll(wait=60))
        assert await server.stop() == 0
        assert await waiting == 200
        assert poller.messages[-1]["data"]["code"] == "interrupted"
        assert poller.closed
