"""One request costs the model a thousand times what it costs who makes it: whatever a script does,
the model's server is never asked for more than the budget, by its own count.

The bound is the budget and, for each answer that was cut, what was on the wire just then: what the
model's server can write, at its pace, in the time that the machine took to carry the news. Whoever
floods is not cut: near a budget's end the model is told where to stop.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from fairlead.policy.allowance import FEW
from fairlead.testing.upstream import Ending, ScriptedUpstream
from tests.attacks.conftest import ANN, BOB, TIMES, Serve, Watched, endless, quiet, spent, standing
from tests.support.server import ServerProcess
from tests.support.websocket import Client

LIMIT = 1000
#: By the month, so that no window ends meanwhile (but for one test run in a few million).
BUDGET = f"""
[[budgets]]
name = "month"
limit = {LIMIT}
per = "month"
"""
#: Connections that are made at once: a server has room for 1000 readers.
_AT_ONCE = 500
REFUSED = (413, 429, 503)
#: Bytes that a server adds to a body that it sends on: that it wants to know the usage, and how
#: many tokens there are.
ADDED = len(b'"stream_options":{"include_usage":true},"max_tokens":999,')
CODES = ("budget_exhausted", "too_many", "busy", "too_large")


async def ask(session: aiohttp.ClientSession, server: ServerProcess, **fields: object) -> int:
    """Ask, read the beginning of the answer, and leave. The status; 0: the server has cut the
    connection, as it does where a head or a body takes too long."""
    try:
        return await _asked(session, server, **fields)
    except aiohttp.ClientConnectionError:
        return 0


async def _asked(session: aiohttp.ClientSession, server: ServerProcess, **fields: object) -> int:
    headers = {str(k): str(v) for k, v in dict(fields.pop("headers", {})).items()}  # type: ignore[call-overload]
    body = {"message": "Tell me everything.", **fields}
    async with session.post(f"{server.url}/chat/stream", json=body, headers=headers) as response:
        if response.status == 200:
            await response.content.readany()
        else:
            problem = await response.json()
            assert response.status in REFUSED, problem
            assert problem["code"] in CODES, problem
            if problem["code"] == "budget_exhausted":
                assert int(response.headers["Retry-After"]) == problem["retry_after"]
                assert response.headers["RateLimit"].startswith('"month";r=0;t=')
        response.close()
        return response.status


async def waves(
    session: aiohttp.ClientSession, *servers: ServerProcess, **fields: object
) -> list[int]:
    """Ask ever so often, the servers in turn, as many at once as one process can make; the
    statuses."""
    statuses: list[int] = []
    while len(statuses) < TIMES:
        wave = range(len(statuses), min(TIMES, len(statuses) + _AT_ONCE))
        statuses += await asyncio.gather(
            *(ask(session, servers[n % len(servers)], **fields) for n in wave)
        )
    return statuses


async def over(
    upstream: ScriptedUpstream,
    session: aiohttp.ClientSession,
    *servers: Watched,
    left: bool = True,
) -> None:
    """Wait until it is over, and hold the bill against the model's own count. ``left``: answers
    were given up by those who asked; else nearly all must have been ended by the model itself, so
    that whatever the machine does nothing was on the wire."""
    await quiet(upstream)
    used = (await standing(session, servers[0], "month"))["used"]
    assert used <= LIMIT
    # Nobody had anything for nothing.
    total, asked = spent(upstream), len(upstream.requests)
    cut = sum(request.ending is Ending.CLIENT_CLOSED for request in upstream.requests)
    wire = max(server.wire for server in servers)
    print(
        f"used {used} of {LIMIT}, {total} at the model; {asked} asked, {cut} of them cut, "
        f"{wire} may be on each wire"
    )
    # One that was given up may have been written to its end by the model just then.
    assert total <= used + (asked if left else cut) * wire
    if not left:
        assert cut <= 2 * FEW * len(servers)


@pytest.mark.parametrize(
    "leaves",
    [{"orphan_window": 0}, {"orphan_window": 3600}, {"background": True}],
    ids=["at once", "later", "never"],
)
async def test_open_ask_and_leave(
    serve: Serve,
    upstream: ScriptedUpstream,
    session: aiohttp.ClientSession,
    leaves: dict[str, object],
) -> None:
    async with serve(BUDGET) as server:
        statuses = [await ask(session, server, **leaves) for _ in range(TIMES)]
        gone = leaves.get("orphan_window") == 0
        await over(upstream, session, server, left=gone)
        if not gone:
            assert await ask(session, server) == 429
            assert statuses.count(200) == len(upstream.requests)
        # Another consumer has his own.
        assert await ask(session, server, headers=BOB) == 200


async def test_many_connections_at_once(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(BUDGET, "--queue-each", "0", "--max-generations", "500") as server:
        statuses = await waves(session, server)
        assert 0 < statuses.count(200) < TIMES
        await over(upstream, session, server, left=False)


async def test_two_processes_at_once(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(BUDGET) as one, serve(BUDGET) as two:
        statuses = await waves(session, one, two)
        assert 0 < statuses.count(200) < TIMES
        await over(upstream, session, one, two, left=False)
        assert await standing(session, one, "month") == await standing(session, two, "month")


async def test_the_same_key_again_and_again(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(BUDGET) as server:
        same = {"Idempotency-Key": "the same"}
        assert set(await waves(session, server, headers=same)) == {200}
        assert len(upstream.requests) == 1
        await over(upstream, session, server, left=False)
        # What was begun can be read though nothing is left; nothing new can be begun.
        assert await ask(session, server, headers=same) == 200
        assert await ask(session, server, headers={"Idempotency-Key": "another"}) == 429
        assert len(upstream.requests) == 1


async def test_another_key_each_time(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(BUDGET) as server:
        for n in range(TIMES):
            await ask(session, server, headers={"Idempotency-Key": f"key {n}"}, orphan_window=0)
        await over(upstream, session, server)


async def test_a_storm_of_interruptions(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(BUDGET) as server:
        async with Client(server.url, additional_headers=ANN) as client:
            stream = await client.ask("Tell me everything.")
            for n in range(TIMES):
                await client.send("interrupt", stream=stream, message=f"No, {n}.", id=str(n))
                answer = await client.reply(str(n))
                if answer["type"] == "error":
                    assert answer["data"]["code"] == "budget_exhausted", answer
                    assert answer["data"]["retry_after"] > 0
                    break
                stream = answer["stream"]
            else:
                pytest.fail("the budget never ended")
        await over(upstream, session, server)


async def test_huge_prompts(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(BUDGET) as server:
        # Larger than all there is: refused, and nobody is asked.
        assert await ask(session, server, message="x" * 99_999) == 413
        assert not upstream.requests
        # As large as just fits: then there is nothing left for another.
        sizes = [await ask(session, server, message="x" * 4 * (LIMIT - 100)) for _ in range(20)]
        assert sizes.count(200) == 1
        await over(upstream, session, server)


async def test_prompts_that_hide_in_parameters(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "word " * 500}}]
    async with serve(BUDGET) as server:
        statuses = [
            await ask(session, server, parameters={"tools": tools}, orphan_window=3600)
            for _ in range(20)
        ]
        assert statuses.count(200) == 1
        await over(upstream, session, server)
        assert sum(len(request.body) // 4 for request in upstream.requests) <= LIMIT


async def test_another_dialect_is_no_way_round(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    """Bodies of the Chat Completions API are sent on as they are, with whatever they hold."""
    question = {"role": "user", "content": "Tell me everything."}
    hidden = {"prediction": {"type": "content", "content": "word " * 400}}
    # It reads all of a body, but for what the server itself has added.
    upstream.script(lambda request: endless(request, (len(request.body) - ADDED) // 4))
    async with serve(BUDGET) as server:
        statuses = []
        for n in range(TIMES):
            body = {"model": "scripted", "messages": [question], "stream": True, "n": 3}
            body |= hidden if n % 2 else {}
            async with session.post(f"{server.url}/v1/chat/completions", json=body) as response:
                statuses.append(response.status)
                if response.status == 200:
                    await response.content.readany()
                response.close()
        assert set(statuses) <= {200, 429}
        assert statuses.count(429) > TIMES // 2
        await over(upstream, session, server)
        assert sum(len(request.body) // 4 for request in upstream.requests) <= LIMIT


async def test_long_histories(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    """Each question brings the whole conversation along, which costs the model again each time."""
    async with serve(BUDGET) as server:
        for _ in range(TIMES):
            status = await ask(
                session, server, message="x" * 400, conversation_id="long", orphan_window=0
            )
            if status != 200:
                break
        else:
            pytest.fail("the budget never ended")
        await over(upstream, session, server)


async def test_other_names_in_a_header_open_no_other_budget(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    """Who invents tenants has a budget for each, and that of the consumer for all of them."""
    tenants = BUDGET + '[[budgets]]\nname = "tenant"\nlimit = 500\nkeyed_by = ["header:x-tenant"]\n'
    async with serve(tenants) as server:
        for n in range(TIMES):
            await ask(session, server, headers={"X-Tenant": f"tenant {n}"}, orphan_window=0)
        await over(upstream, session, server)


async def test_requests_count_although_they_come_to_nothing(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    table = '[[budgets]]\nname = "month"\nlimit = 20\nunit = "requests"\nper = "month"\n'
    async with serve(table) as server:
        statuses = []
        for _ in range(TIMES):
            async with session.post(
                f"{server.url}/chat/stream", json={"message": "Tell me everything."}
            ) as response:
                statuses.append(response.status)
                if response.status == 200:
                    stream = response.headers["Fairlead-Stream"]
                    async with session.post(f"{server.url}/streams/{stream}/stop") as stopped:
                        assert json.loads(await stopped.read())["status"] == "stopped"
        assert statuses == [200] * 20 + [429] * (TIMES - 20)
        assert len(upstream.requests) <= 20
