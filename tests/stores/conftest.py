"""The stores that the shared suite runs over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead.ports.store import Batch, Created, Durability, Store, StreamSpec
from fairlead.stores.memory import MemoryStore
from fairlead.stores.sqlite import SqliteStore
from fairlead.testing.clock import Clock

#: Long enough for anything that is to happen, so that a test fails rather than hangs.
SOON = 90.0


@dataclass
class Stores:
    """``here`` and ``there`` hold the same streams; they may be one and the same store. ``again``
    opens one more."""

    here: Store
    there: Store
    clock: Clock
    again: Callable[[], Store]


def memory(path: Path, clock: Clock) -> Store:
    return MemoryStore(clock)


def process(path: Path, clock: Clock) -> Store:
    return SqliteStore(path / "journal.db", clock=clock)


def power(path: Path, clock: Clock) -> Store:
    return SqliteStore(path / "journal.db", clock=clock, durability=Durability.POWER)


@pytest.fixture(params=["memory", "sqlite", "sqlite, power", "sqlite, two of one file"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    make = {"memory": memory, "sqlite, power": power}.get(request.param, process)
    clock = Clock()
    here = make(tmp_path, clock)
    there = make(tmp_path, clock) if "two" in request.param else here
    kit = Stores(here, there, clock, lambda: make(tmp_path, clock))
    await here.open()
    await there.open()
    yield kit
    await there.close()
    await here.close()


def spec(id: str = "s", *, owner: str = "ann", fingerprint: bytes = b"f") -> StreamSpec:
    return StreamSpec(
        id=id, owner=owner, content_type="text/plain", fingerprint=fingerprint, meta=b"m"
    )


async def started(store: Store, id: str = "s", *records: bytes, owner: str = "w") -> Created:
    """A stream that ``owner`` has begun to write."""
    await store.join(owner, 60.0)
    created = await store.create(spec(id), writer=owner, records=records)
    assert isinstance(created, Created)
    return created


async def everything(store: Store, id: str = "s", max_bytes: int = 1 << 20) -> list[bytes]:
    """All records that are kept."""
    batch = await store.read(id, 0, max_bytes)
    records = list(batch.records)
    while batch.offset + len(batch.records) < batch.head.tail:
        batch = await store.read(id, batch.offset + len(batch.records), max_bytes)
        assert batch.records, "a batch is empty only at the tail"
        records += batch.records
    return records


class Wakes:
    """Counts the wakes of a watch, and waits for what they announce."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._event.set()

    async def wait(self) -> None:
        """Until woken at least once since the last wait."""
        await asyncio.wait_for(self._event.wait(), SOON)
        self._event.clear()

    async def tail(self, store: Store, id: str, tail: int) -> Batch:
        """Follow until the log has reached ``tail``."""
        while True:
            batch = await store.read(id, 0, 1 << 20)
            if batch.head.tail >= tail:
                return batch
            await self.wait()
