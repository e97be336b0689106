"""Several processes with one journal file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.journal.log import Closed
from fairlead.ports.store import Acquired, Appended, Held
from fairlead.stores.sqlite import SqliteStore
from tests.stores.child import record
from tests.stores.conftest import SOON, Wakes, everything, started
from tests.stores.processes import Child, child


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "journal.db")
    await store.open()
    yield store
    await store.close()


async def test_processes_that_open_a_new_file_at_once(tmp_path: Path) -> None:
    async def use(n: int) -> None:
        async with child(tmp_path / "journal.db") as process:
            assert await process.ask("begin", f"s{n}", f"w{n}") == 0
            assert await process.ask("append", f"s{n}", 0, 3, False) == "Appended"

    await asyncio.gather(*(use(n) for n in range(4)))
    async with child(tmp_path / "journal.db"):
        store = SqliteStore(tmp_path / "journal.db")
        await store.open()
        for n in range(4):
            assert await everything(store, f"s{n}") == [record(f"s{n}", i) for i in range(3)]
        await store.close()


async def test_exactly_one_process_creates_each_stream(store: SqliteStore, tmp_path: Path) -> None:
    ids = [f"s{n}" for n in range(200)]
    async with child(tmp_path / "journal.db") as a, child(tmp_path / "journal.db") as b:
        a.tell("create all", "a", *ids)
        b.tell("create all", "b", *ids)
        made = {b"a": await a.hear(), b"b": await b.hear()}
        assert sorted(made[b"a"] + made[b"b"]) == sorted(ids)
        for owner, theirs in made.items():
            for id in theirs:
                assert await everything(store, id) == [owner]


async def test_following_another_process(store: SqliteStore, tmp_path: Path) -> None:
    async with child(tmp_path / "journal.db") as writer:
        assert await writer.ask("begin", "s", "w") == 0
        wakes = Wakes()
        watch = store.watch("s", wakes)
        for tail in range(0, 300, 3):
            assert await writer.ask("append", "s", tail, 3, tail == 297) == "Appended"
            batch = await wakes.tail(store, "s", tail + 3)
            assert list(batch.records) == [record("s", i) for i in range(tail + 3)]
        assert batch.head.closed
        # What was followed is also in memory.
        while (recent := store.recent("s", 290, 10_000)) is None or not recent.head.closed:
            await wakes.wait()
        assert list(recent.records) == [record("s", i) for i in range(290, 300)]
        watch.cancel()


async def test_signals_cross_processes(store: SqliteStore, tmp_path: Path) -> None:
    async with child(tmp_path / "journal.db") as process:
        await process.ask("begin", "theirs", "w")
        assert await process.ask("listen", "w") == "listening"
        await started(store, "ours", owner="me")
        await store.signal("ours", "stop")
        await store.signal("theirs", "stop")
        assert await process.hear() == ["theirs", "stop"]
        got: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        subscription = store.on_signal("me", lambda id, name: got.put_nowait((id, name)))
        assert await process.ask("signal", "ours", "pause") == "signalled"
        assert await asyncio.wait_for(got.get(), SOON) == ("ours", "pause")
        subscription.cancel()


async def test_a_killed_process_holds_nothing(store: SqliteStore, tmp_path: Path) -> None:
    """Its lease would run for days; its lock is free at once."""
    async with child(tmp_path / "journal.db") as writer:
        await writer.ask("begin", "s", "w")
        assert await writer.ask("append", "s", 0, 3, False) == "Appended"
        await store.join("me", 60)
        assert await store.abandoned() == []
        assert await store.acquire("s", "me") == Held("w")
        await writer.kill()
        assert await store.abandoned() == ["s"]
        acquired = await store.acquire("s", "me")
        assert isinstance(acquired, Acquired)
        assert acquired.head.tail == 3
        assert await store.append("s", acquired.epoch, 3, [record("s", 3)], close=True) == Appended(
            4
        )
        assert await store.append("s", acquired.epoch, 4, [b"x"]) == Closed(4)
    assert await everything(store) == [record("s", i) for i in range(4)]
    assert await store.abandoned() == []


async def test_a_clean_end_leaves_nothing_behind(tmp_path: Path) -> None:
    async def work(process: Child) -> None:
        await process.ask("begin", "s", "w")
        assert await process.ask("append", "s", 0, 3, False) == "Appended"

    async with child(tmp_path / "journal.db") as writer:
        await work(writer)
    assert writer.process.returncode == 0
    assert names(tmp_path) == ["journal.db", "owners"]
    assert names(tmp_path / "owners") == []


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
