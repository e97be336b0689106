"""Both clients through paths that cut, buffer, swallow and split, to the real server.

``FAIRLEAD_CUTS`` says how many connections the hostile path spoils in each test (default 150);
with thousands, give ``--timeout`` as well.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Literal

import pytest

from fairlead.client import client as client_module
from fairlead.client.answers import Event, Reconnecting
from fairlead.client.client import Client
from fairlead.client.sync import SyncClient
from fairlead.errors import BadRequest, NotFound
from fairlead.testing.toxic import (
    Behaviour,
    Buffer,
    Cut,
    CutCharacter,
    Delay,
    HalfClose,
    Pass,
    Reset,
    Split,
    Swallow,
    ToxicProxy,
)
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.support.server import ServerProcess

CUTS = int(os.environ.get("FAIRLEAD_CUTS", "150"))
TOKENS = tuple(f"{n} – déjà 🚢 船 \\n" for n in range(400))
TEXT = "".join(TOKENS)

Transport = Literal["auto", "sse", "websocket", "poll"]

every_transport = pytest.mark.parametrize("transport", ["sse", "websocket", "poll", "auto"])


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream, None]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncGenerator[ServerProcess, None]:
    flags = ("--no-knowledge", "--upstream", upstream.base_url, "--model", "scripted")
    async with ServerProcess(tmp_path, *flags, "--retry", "0") as process:
        yield process


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events)


def check_once(events: list[Event], whole: str = TEXT) -> None:
    """Every event once, in order, and the exact text."""
    assert text(events) == whole
    positions = [event.position for event in events]
    assert positions == sorted(set(positions))
    assert events[-1].name == "done"
    assert len({event.stream for event in events}) == 1


async def everything(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


def hostile(seed: int) -> list[Behaviour]:
    """Ways to be spoiled, reproducibly. Some let everything through: a merged event may be longer
    than any cut."""
    dice = random.Random(seed)
    kinds: list[Callable[[], Behaviour]] = [
        lambda: Cut(dice.randrange(300, 3000)),
        lambda: Cut(dice.randrange(300, 20_000), reset=False),
        lambda: CutCharacter(dice.randrange(300, 5000)),
        lambda: CutCharacter(dice.randrange(300, 5000), reset=False),
        lambda: HalfClose(dice.randrange(300, 5000)),
        lambda: Cut(dice.randrange(20_000, 60_000)),
        lambda: Split(dice.randrange(100, 2000)),
        lambda: Delay(0.001),
        Reset,
    ]
    return [dice.choice(kinds)() for _ in range(CUTS)] + [Pass()]


@every_transport
async def test_whatever_is_cut_the_text_is_exact(
    server: ServerProcess, upstream: ScriptedUpstream, transport: Transport
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    asked = 0
    async with (
        ToxicProxy(server.port, *hostile(len(transport))) as proxy,
        Client(server.url) as straight,
    ):
        while proxy.connections < CUTS:
            async with Client(
                proxy.url, transport=transport, interruptible=asked % 2 == 1, sleep=at_once
            ) as client:
                events = [event async for event in client.ask(f"Question {asked}")]
            check_once(events, (await straight.answer(events[0].stream)).text)
            assert text(events) == TEXT
            asked += 1
    assert len(upstream.requests) == asked  # nothing was asked twice


@every_transport
async def test_it_is_cut_while_it_is_written(
    server: ServerProcess, upstream: ScriptedUpstream, transport: Transport
) -> None:
    upstream.script(Answer(tokens=TOKENS[:60], pace=Pace(gated=True)))
    events: list[Event] = []
    async with (
        ToxicProxy(server.port) as proxy,
        Client(proxy.url, transport=transport, sleep=at_once) as client,
    ):
        async for event in client.ask("Why?"):
            events.append(event)
            if not event.ends:
                if len(events) % 3 == 0:
                    proxy.cut()
                upstream.release()
        assert proxy.connections > 10
    check_once(events, "".join(TOKENS[:60]))
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "behaviour", [Buffer(), Swallow(), Swallow(200)], ids=["buffers", "swallows", "stalls"]
)
async def test_a_path_that_holds_everything_back_is_polled(
    server: ServerProcess, upstream: ScriptedUpstream, behaviour: Behaviour
) -> None:
    upstream.script(Answer(tokens=TOKENS[:9], pace=Pace(gated=True)))
    told: list[Reconnecting] = []
    events: list[Event] = []
    # What swallows hits streams only, as a proxy that waits for their end does.
    after = behaviour if isinstance(behaviour, Buffer) else Pass()
    async with (
        ToxicProxy(server.port, behaviour, after) as proxy,
        Client(proxy.url, patience=2, sleep=at_once, on_reconnect=told.append) as client,
    ):
        async for event in client.ask("Why?"):
            events.append(event)
            upstream.release()  # each token waits for the reader to have had the one before
        polls = [r.target for r in proxy.requests if "?wait=25" in r.target]
        assert len(polls) > 3
        upstream.release(len(TOKENS))
        again = [event async for event in client.ask("And then?")]
        assert text(again) == "".join(TOKENS[:9])
        # It is remembered: the second answer does not try in vain.
        assert [r.headers["accept"] for r in proxy.requests if r.method == "POST"] == [
            "text/event-stream",
            "application/json",
            "application/json",
        ]
    check_once(events, "".join(TOKENS[:9]))
    assert [each.reason for each in told] == ["nothing came for too long"]
    assert len(upstream.requests) == 2


async def test_a_path_that_stalls_in_the_middle_is_left(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with (
        ToxicProxy(server.port, Swallow(700), Pass()) as proxy,
        Client(proxy.url, silence=2, sleep=at_once) as client,
    ):
        check_once([event async for event in client.ask("Why?")])
        assert proxy.connections == 2
        # Something came over it, so it is no path that holds everything back.
        assert all("wait=" not in request.target for request in proxy.requests)


@every_transport
async def test_what_keeps_silent_is_left_and_what_is_late_is_waited_for(
    server: ServerProcess,
    upstream: ScriptedUpstream,
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    monkeypatch.setattr(client_module, "POLL_WAIT", 1)
    spoils: list[Behaviour] = [
        Delay(0.01),
        Swallow(2000),
        Delay(0.1),
        Swallow(90),
        Buffer(),
        Swallow(30_000),
        Split(),
    ]
    async with ToxicProxy(server.port, *spoils, Buffer(700), Pass()) as proxy:
        for n in range(3):
            async with Client(
                proxy.url,
                transport=transport,
                interruptible=n == 1,
                silence=2,
                patience=2,
                sleep=at_once,
            ) as client:
                check_once([event async for event in client.ask(f"Question {n}")])
    assert len(upstream.requests) == 3


async def test_a_path_that_holds_back_all_but_whole_blocks_is_polled(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    """Some proxies fill a buffer before they let anything on: events come, and late."""
    upstream.script(Answer(tokens=TOKENS[:60], pace=Pace(gated=True)))
    async with (
        ToxicProxy(server.port, Buffer(1000), Buffer(1000), Pass()) as proxy,
        Client(proxy.url, silence=2, sleep=at_once) as client,
    ):

        def polled() -> bool:
            return any("wait=" in request.target for request in proxy.requests)

        answer = client.ask("Why?")
        reading = asyncio.create_task(anext(answer))
        await proxy.until_received(b"event: thinking")
        upstream.release(20)
        events = [await reading]
        rest = asyncio.create_task(everything(answer))
        await proxy.wait_connections(2)
        upstream.release(20)
        await proxy.until(polled)
        upstream.release(100)
        events += await rest
    check_once(events, "".join(TOKENS[:60]))


async def test_an_answer_that_is_polled_climbs_back(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS[:9], pace=Pace(gated=True)))
    now = 0.0
    async with (
        ToxicProxy(server.port, Swallow(), Pass()) as proxy,
        Client(proxy.url, patience=2, sleep=at_once, clock=lambda: now) as client,
    ):

        def streamed() -> list[str]:
            return [
                request.target
                for request in proxy.requests
                if request.headers["accept"] == "text/event-stream"
            ]

        events: list[Event] = []
        async for event in client.ask("Why?"):
            events.append(event)
            if len(events) == 4:
                assert streamed() == ["/chat/stream"]
                now = 61.0
            upstream.release()
        assert streamed() == ["/chat/stream", f"/streams/{events[0].stream}"]
    check_once(events, "".join(TOKENS[:9]))


async def test_polling_attaches_after_a_position_and_ends(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with Client(server.url, transport="poll") as client:
        events = [event async for event in client.ask("Why?")]
        check_once(events)
        last = events[-1]
        assert [e async for e in client.attach(last.stream, events[-2].id)] == [last]
        assert [e async for e in client.attach(last.stream, last.position)] == []
        with pytest.raises(NotFound):
            [e async for e in client.attach("0" * 26)]
        stream = await client.start("Again?", key="k", background=True)
        assert await client.start("Again?", key="k", background=True) == stream


# -- the synchronous client


async def test_sync_every_verb(server: ServerProcess, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS))

    def program() -> None:
        with SyncClient(server.url) as client:
            events = list(client.ask("Why?"))
            check_once(events)
            stream = events[0].stream
            assert client.answer(stream).text == TEXT
            assert list(client.attach(stream, events[-2].id)) == [events[-1]]
            started = client.start("Again?", key="k", background=True)
            assert client.start("Again?", key="k", background=True) == started
            assert client.stop(stream).status == "completed"
            with pytest.raises(NotFound):
                list(client.attach("0" * 26))
            with pytest.raises(BadRequest):
                client.attach("")
        with pytest.raises(BadRequest, match="closed"):
            client.answer(stream)
        client.close()

    await asyncio.to_thread(program)


async def test_sync_leaving_detaches_and_does_not_stop(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS[:5], pace=Pace(gated=True)))

    def program() -> str:
        with SyncClient(server.url) as client:
            events = client.ask("Why?")
            stream = next(events).stream
            events.close()
            assert client.answer(stream).status == "running"
            half = client.attach(stream)
            next(half)  # closed with the client
        return stream

    stream = await asyncio.to_thread(program)
    upstream.release(len(TOKENS))
    async with Client(server.url) as client:
        assert text([event async for event in client.attach(stream)]) == "".join(TOKENS[:5])


async def test_sync_through_a_hostile_path(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    cuts = [Cut(n) for n in range(400, 20_000, 1500)]
    async with ToxicProxy(server.port, *cuts, Pass()) as proxy:

        def program(n: int) -> None:
            with SyncClient(proxy.url, transport="poll" if n else "sse") as client:
                check_once(list(client.ask(f"Question {n}")))

        await asyncio.to_thread(program, 0)
        proxy.behave(Cut(500), Cut(5000), Pass())
        await asyncio.to_thread(program, 1)
    assert len(upstream.requests) == 2


async def test_sync_from_several_threads_at_once(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    with SyncClient(server.url) as client:

        def ask(n: int) -> list[Event]:
            return list(client.ask(f"Question {n}"))

        found = await asyncio.gather(*(asyncio.to_thread(ask, n) for n in range(5)))
    for events in found:
        check_once(events)
    assert len({events[0].stream for events in found}) == 5
