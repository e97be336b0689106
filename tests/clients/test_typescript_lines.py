"""The TypeScript client over lines that break, stall and hold back, on every transport.

``FAIRLEAD_CUTS`` says how many connections are spoiled in each test (default 150).
"""

from __future__ import annotations

import random

import aiohttp
import pytest

from fairlead.testing.toxic import (
    Behaviour,
    Buffer,
    Cut,
    CutCharacter,
    Delay,
    Pass,
    Split,
    Swallow,
    ToxicProxy,
)
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.clients.lines import CUTS, PATIENCE, TOKENS, as_recorded, exact, hostile, reader

GATED = Pace(gated=True)
AT_ONCE = {"maxDelay": 0, "maxRetries": 1000}
LADDER = ["sse", "websocket", "poll"]
TRANSPORTS = [*LADDER, "ndjson", "connect"]


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("transport", [*TRANSPORTS, "auto"])
async def test_whatever_is_cut_the_text_is_exact(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.001)))
    answers = 0
    async with (
        serve() as server,
        ToxicProxy(server.port, *hostile(len(transport))) as line,
        reader(line.url, transport=transport, **AT_ONCE) as client,
    ):
        while line.connections <= CUTS:
            await client.send(ask=f"Round {answers}", count=5)
            for _ in range(5):
                answer = await client.next("answer")
                exact(answer)
                await as_recorded(session, server, answer)
            answers += 5
    assert len(upstream.requests) == answers, "a question was asked twice"


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("transport", ["websocket", "auto"])
async def test_whatever_is_cut_an_interruption_asks_once(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.001)))
    rounds = 0
    async with (
        serve() as server,
        ToxicProxy(server.port, *hostile(3 + len(transport))) as line,
        reader(line.url, transport=transport, **AT_ONCE) as client,
    ):
        while line.connections <= CUTS:
            interrupt = {"message": "Anew!", "shown": 1, "after": 1}
            await client.send(ask=f"Round {rounds}", interrupt=interrupt)
            for _ in range(2):
                answer = await client.next("answer")
                await as_recorded(session, server, answer)
            rounds += 1
    assert len(upstream.requests) == 2 * rounds, "a question was asked twice"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_it_is_cut_while_it_is_written(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, transport: str
) -> None:
    """Between any two tokens, and inside the first character of each."""
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with (
        serve() as server,
        ToxicProxy(server.port, Pass(), *(CutCharacter() for _ in TOKENS), Pass()) as line,
        reader(line.url, transport=transport, **AT_ONCE) as client,
    ):
        await client.send(ask="Go on.")
        await client.next("begun")
        for n in range(len(TOKENS)):
            line.cut()
            await line.wait_connections(n + 2)
            upstream.release()
        upstream.release()
        answer = await client.next("answer")
        exact(answer)
        await as_recorded(session, server, answer)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_keeps_silent_is_left_and_what_is_late_is_waited_for(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, transport: str
) -> None:
    """Where there is no other way: the same one is tried until it gets through."""
    upstream.script(Answer(tokens=TOKENS))
    ills: list[Behaviour] = [
        Delay(0.01),
        Swallow(2000),
        Delay(0.05),
        Swallow(90),
        Buffer(),
        Swallow(600),
        Split(),
        Buffer(700),
    ]
    async with (
        serve() as server,
        ToxicProxy(server.port, *ills, Pass()) as line,
        reader(line.url, transport=transport, firstSign=400, silence=2000, **AT_ONCE) as client,
    ):
        answers = 0
        while line.connections <= len(ills):
            await client.send(ask=f"Round {answers}")
            answer = await client.next("answer")
            exact(answer)
            await as_recorded(session, server, answer)
            assert set(answer["transports"]) == {transport}
            line.cut()
            answers += 1
    assert len(upstream.requests) == answers, "a question was asked twice"


async def test_it_falls_to_what_gets_through_and_climbs_back(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with (
        serve() as server,
        ToxicProxy(server.port, Buffer(), Pass()) as line,
        reader(line.url, firstSign=2500) as client,
    ):
        # Nothing of a stream that is being written comes through: the next one is tried.
        await client.send(ask="Go on.")
        await client.next("begun")
        upstream.release(len(TOKENS) + 1)
        answer = await client.next("answer")
        exact(answer)
        assert answer["transports"] == ["sse", "websocket"]
        # That is remembered …
        upstream.release(len(TOKENS) + 1)
        await client.send(ask="And on.")
        answer = await client.next("answer")
        exact(answer)
        assert answer["transports"] == ["websocket"]
        # … for a while.
        await client.send(later=61_000)
        upstream.release(len(TOKENS) + 1)
        await client.send(ask="And on.")
        answer = await client.next("answer")
        exact(answer)
        assert answer["transports"] == ["sse"]
    assert len(upstream.requests) == 3


async def test_where_nothing_that_lasts_gets_through_it_polls_and_climbs_in_mid_answer(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with (
        serve() as server,
        ToxicProxy(server.port) as line,
        reader(line.url, firstSign=2500) as client,
    ):
        # By what is asked for: of connections there may be more, over which nothing is.
        line.swallow = True
        await client.send(ask="Go on.")
        await line.until(
            lambda: any(b"GET /ws" in link.sent and link.received for link in line.links)
        )
        line.swallow = False
        await client.next("begun")
        upstream.release(3)
        await line.until(lambda: any("wait=" in request.target for request in line.requests))
        await client.send(later=61_000)
        upstream.release(len(TOKENS) - 2)
        answer = await client.next("answer")
        exact(answer)
        used = answer["transports"]
        assert used[:3] == LADDER
        assert used[-1] in ("sse", "poll")  # the rest may have come with the poll that was open
        await client.send(ask="And on.")
        upstream.release(len(TOKENS) + 1)
        answer = await client.next("answer")
        exact(answer)
        assert answer["transports"] == ["sse"]
    assert len(upstream.requests) == 2


async def test_from_one_transport_to_the_other_the_text_is_exact(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.005)))
    dice = random.Random(5)
    kinds = [Swallow, Cut, CutCharacter]
    async with serve() as server:
        used: set[str] = set()
        for _ in range(4):  # a new client each time: it remembers what gets through
            ills: list[Behaviour] = [
                Swallow(dice.randrange(500, 2000)),
                *dice.choices((Swallow(0), Buffer()), k=2),
                *(dice.choice(kinds)(dice.randrange(2000)) for _ in range(8)),
            ]
            async with (
                ToxicProxy(server.port, *ills, Pass()) as line,
                reader(line.url, firstSign=200, silence=250, **AT_ONCE) as client,
            ):
                while line.connections <= len(ills):
                    await client.send(ask="Go on.")
                    answer = await client.next("answer")
                    exact(answer)
                    await as_recorded(session, server, answer)
                    used |= set(answer["transports"])
        assert used == set(LADDER)
