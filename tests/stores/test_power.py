"""Power cuts at random moments: ``power`` loses nothing it acknowledged, ``process`` may lose the
newest records but is never damaged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.errors import NotFound
from fairlead.ports.store import Acquired, Appended, Durability
from fairlead.stores.sqlite import SqliteStore, checkpoint, journal
from fairlead.testing.power import FrailDisk
from tests.stores.child import record
from tests.stores.conftest import everything, started

CUTS = 60
STREAMS = [f"s{i}" for i in range(5)]


@pytest.fixture
def disk() -> Iterator[FrailDisk]:
    disk = FrailDisk()
    yield disk
    disk.unplug()


async def written(
    path: Path, durability: Durability, disk: FrailDisk, chance: random.Random
) -> list[dict[str, int]]:
    """Write streams, cutting the power again and again on the way; for each cut, how far each
    stream had been acknowledged before. The cuts lie in ``path`` / their number."""
    told: dict[str, int] = {}
    cuts: list[dict[str, int]] = []
    store = SqliteStore(path / "journal.db", durability=durability)
    await store.open()

    async def write(id: str) -> None:
        created = await started(store, id)
        assert created.epoch is not None
        told[id] = tail = 0
        while len(cuts) < CUTS:
            count = chance.randint(1, 8)
            records = [record(id, tail + i) for i in range(count)]
            outcome = await store.append(id, created.epoch, tail, records)
            assert outcome == Appended(tail + count)
            told[id] = tail = tail + count
            if chance.random() < 0.05:
                cuts.append(dict(told))
                disk.cut(path / str(len(cuts) - 1), chance)

    await asyncio.gather(*(write(id) for id in STREAMS))
    await store.close()
    return cuts


async def left(path: Path, told: dict[str, int]) -> int:
    """How many acknowledged records a cut has cost; the rest is intact and can be written on."""
    store = SqliteStore(path / "journal.db")
    await store.open()
    lost = 0
    try:
        await store.join("later", 60)
        for id, tail in told.items():
            try:
                found = await everything(store, id)
            except NotFound:
                lost += tail
                continue
            assert found == [record(id, i) for i in range(len(found))]
            lost += max(tail - len(found), 0)
            # The writer's machine is the one that lost power: its lease has to run out or its lock
            # be free, and here the lock files are not even there.
            await store.leave("w")
            acquired = await store.acquire(id, "later")
            assert isinstance(acquired, Acquired)
            assert acquired.head.tail == len(found)
    finally:
        await store.close()
    return lost


@pytest.mark.parametrize("durability", [Durability.POWER, Durability.PROCESS])
async def test_power_cuts(
    durability: Durability, tmp_path: Path, disk: FrailDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fold and checkpoint all the time, so that cuts fall into those too.
    monkeypatch.setattr(journal, "FOLD_AFTER", 0.005)
    monkeypatch.setattr(checkpoint, "PAGES", 30)
    monkeypatch.setattr(checkpoint, "PAGES_AT_MOST", 120)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    cuts = await written(tmp_path, durability, disk, random.Random(seed))
    lost = [await left(tmp_path / str(i), told) for i, told in enumerate(cuts)]
    if durability is Durability.POWER:
        assert lost == [0] * len(cuts)
    else:
        # The test can fail: without syncing each commit, something is lost.
        assert any(lost)
