"""The client and the real server, with a proxy between them that cuts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from fairlead.client.client import Client
from fairlead.errors import NotFound
from fairlead.testing.toxic import Cut, ToxicProxy
from tests.support.server import ServerProcess

DOCUMENT = "# Ropes\n\n" + " ".join(
    f"Rope {n} runs from mast {n} to bollard {n}." for n in range(9)
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[ServerProcess, None]:
    path = tmp_path / "ropes.md"
    path.write_text(DOCUMENT)
    args = ("--documents", str(path), "--extractive-pace", "0", "--retry", "0")
    async with ServerProcess(tmp_path / "data", *args) as process:
        yield process


@pytest.mark.parametrize("step", [1 << 30, 350, 601])
async def test_every_event_comes_once_through_a_cutting_proxy(
    server: ServerProcess, step: int
) -> None:
    tries = 0

    async def at_once(seconds: float) -> None:
        nonlocal tries
        tries += 1

    async with (
        # Cuts that grow, so that in the end everything comes through.
        ToxicProxy(server.port, *[Cut(step * n) for n in range(1, 40)]) as proxy,
        Client(proxy.url, sleep=at_once) as client,
        Client(server.url) as straight,
    ):
        events = [event async for event in client.ask("Where does rope 3 run?")]
        stream = events[0].stream
        answer = await straight.answer(stream)
        again = [event async for event in straight.attach(stream)]
    assert answer.status == "completed"
    assert "".join(event.text for event in events) == answer.text != ""
    positions = [event.position for event in events]
    assert positions == sorted(set(positions))
    assert events[-1].position == again[-1].position == answer.position
    assert (tries == 0) == (step == 1 << 30)
    assert await _streams(server) == [stream]  # it was asked once


async def _streams(server: ServerProcess) -> list[str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/streams") as response,
    ):
        return [row["stream"] for row in (await response.json())["streams"]]


async def test_attaching_at_the_end_of_a_finished_answer_gives_nothing(
    server: ServerProcess,
) -> None:
    async with Client(server.url) as client:
        events = [event async for event in client.ask("Where does rope 3 run?")]
        last = events[-1]
        assert [e async for e in client.attach(last.stream, last.id)] == []
        assert [e async for e in client.attach(last.stream, events[-2].position)] == [last]


async def test_no_such_answer_is_not_found(server: ServerProcess) -> None:
    async with Client(server.url) as client:
        with pytest.raises(NotFound):
            [e async for e in client.attach("0" * 26)]
        with pytest.raises(NotFound):
            await client.stop("0" * 26)


async def test_the_same_key_asks_once(server: ServerProcess) -> None:
    async with Client(server.url) as client:
        first = await client.start("Where does rope 3 run?", key="one", background=True)
        assert await client.start("Where does rope 3 run?", key="one", background=True) == first
