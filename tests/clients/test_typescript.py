"""The TypeScript client, as it is built, against the real server over lines that break."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from fairlead.testing.toxic import Behaviour, Buffer, Cut, CutCharacter, Pass, Split, ToxicProxy
from fairlead.testing.toxic import Swallow as Silence
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve, serve, session, upstream
from tests.support.node import Script

__all__ = ["serve", "session", "upstream"]

PACKAGE = Path(__file__).parents[2] / "clients" / "typescript"
READER = str(Path(__file__).parent / "reader.mjs")
TOKENS = tuple(f"{n} 导缆孔 👩‍👩‍👧 e\u0301\u2028" for n in range(40))
TEXT = "".join(TOKENS)
#: More than are needed: how many cuts an answer meets depends on how its events fall together.
CUTS = 300


async def test_its_own_tests_pass() -> None:
    process = await asyncio.create_subprocess_exec(
        "node_modules/.bin/vitest", "run", "--silent=passed-only",
        cwd=PACKAGE, env=os.environ | {"NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(100):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


def exact(answer: dict[str, Any]) -> None:
    """The whole text, and no event twice or out of order."""
    assert answer["status"] == "completed", (answer.get("code"), answer.get("error"))
    assert answer["text"] == TEXT
    assert answer["positions"] == sorted(set(answer["positions"]))


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_hundreds_of_cuts_lose_and_repeat_nothing(
    serve: Serve, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.001)))
    chance = random.Random(3)
    cuts: list[Behaviour] = [
        kind(chance.randrange(5000), chance.random() < 0.5)  # a finished answer is 3 kB at once
        for kind in chance.choices((Cut, CutCharacter), (3, 1), k=CUTS)
    ]
    answers = 0
    async with (
        serve() as server,
        ToxicProxy(server.port, *cuts, Pass()) as line,
        Script(READER, baseUrl=line.url, transport=transport, maxDelay=0, maxRetries=100) as client,
    ):
        while line.connections <= CUTS:
            await client.send(ask=f"round {answers}", count=5)
            for _ in range(5):
                exact(await client.next("answer"))
            answers += 5
    assert len(upstream.requests) == answers, "a question was asked twice"


async def test_a_path_that_holds_streams_back_is_polled(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with (
        serve() as server,
        ToxicProxy(server.port, Buffer(), Pass()) as line,
        Script(READER, baseUrl=line.url, firstSign=200) as client,
    ):
        await client.send(ask="Go on.")
        await client.next("begun")
        upstream.release(len(TOKENS) + 1)
        answer = await client.next("answer")
        exact(answer)
        assert answer["transports"][0] == "sse"
        assert set(answer["transports"][1:]) == {"poll"}
        assert len(upstream.requests) == 1
        await client.send(ask="And on.")
        upstream.release(len(TOKENS) + 1)
        answer = await client.next("answer")
        exact(answer)
        assert set(answer["transports"]) == {"poll"}


async def test_from_one_transport_to_the_other_the_text_is_exact(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.005)))
    chance = random.Random(5)
    kinds = [Silence, Cut, CutCharacter]
    hasty = {"firstSign": 100, "silence": 150, "maxDelay": 0, "maxRetries": 1000}
    async with serve() as server:
        for _ in range(5):  # a new client each time: it remembers which transport gets through
            ills: list[Behaviour] = [
                Silence(chance.randrange(500, 2000)),
                chance.choice((Silence(0), Buffer())),
                *(chance.choice(kinds)(chance.randrange(2000)) for _ in range(8)),
            ]
            async with (
                ToxicProxy(server.port, *ills, Pass()) as line,
                Script(READER, baseUrl=line.url, **hasty) as client,
            ):
                used: set[str] = set()
                while line.connections <= len(ills):
                    await client.send(ask="Go on.")
                    answer = await client.next("answer")
                    exact(answer)
                    used |= set(answer["transports"])
                assert used == {"sse", "poll"}


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_in_pieces_of_three_bytes(
    serve: Serve, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with (
        serve() as server,
        ToxicProxy(server.port, Split(3)) as line,
        Script(READER, baseUrl=line.url, transport=transport) as client,
    ):
        await client.send(ask="Go on.")
        exact(await client.next("answer"))


async def test_in_a_browser(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.005)))
    async with serve() as server:
        process = await asyncio.create_subprocess_exec(
            "node", str(Path(READER).with_name("browser.mjs")), f"{server.url}/",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    whole = {"status": "completed", "text": TEXT}
    assert json.loads(out) == {"sse": whole, "poll": whole}


async def test_stop_and_document(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve() as server, Script(READER, baseUrl=server.url) as client:
        await client.send(ask="Go on.")
        stream = (await client.next("begun"))["stream"]
        upstream.release(3)
        await upstream.wait_tokens(3)
        await client.send(stop=stream)
        assert (await client.next("document"))["status"] == "stopped"
        # The reading and the stopping end in either order.
        (answer,) = client.all("answer") or [await client.next("answer")]
        assert answer["status"] == "stopped"
        assert TEXT.startswith(answer["text"])
        await client.send(document=stream)
        document = await client.next("document")
        assert document["text"] == answer["text"]
        assert document["position"] == answer["positions"][-1]


async def test_a_restart_interrupts_and_the_client_is_told(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with (
        serve() as server,
        ToxicProxy(server.port) as line,
        Script(READER, baseUrl=line.url, maxDelay=50, maxRetries=1000) as client,
    ):
        await client.send(ask="Go on.")
        await client.next("begun")
        upstream.release(3)
        await line.until_received(TOKENS[2][:3].encode())
        await server.kill()
        await server.start()
        answer = await client.next("answer")
        assert (answer["status"], answer["code"]) == ("interrupted", "interrupted")
        assert answer["text"] == "".join(TOKENS[:3])


async def test_a_wrong_credential_is_final(serve: Serve, upstream: ScriptedUpstream) -> None:
    server = serve("--no-direct")
    server.env["FAIRLEAD_API_KEYS"] = "alice=9f2c6c1e"
    async with server:
        for key, status, code in (
            ("wrong", "failed", "unauthenticated"),
            ("9f2c6c1e", "completed", None),
        ):
            upstream.script(Answer(tokens=TOKENS))
            async with Script(READER, baseUrl=server.url, apiKey=key) as client:
                await client.send(ask="Who am I?")
                answer = await client.next("answer")
                assert (answer["status"], answer.get("code")) == (status, code)
