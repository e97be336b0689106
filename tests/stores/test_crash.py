"""A process that writes at full speed is killed at random moments; nothing it said is untrue."""

from __future__ import annotations

import os
import random
from pathlib import Path

from fairlead.ports.store import Acquired
from fairlead.stores.sqlite import SqliteStore
from tests.stores.child import record
from tests.stores.conftest import everything
from tests.stores.processes import child

ROUNDS = int(os.environ.get("FAIRLEAD_CRASH_ROUNDS", "30"))
STREAMS = [f"s{i}" for i in range(8)]


async def one_round(path: Path, n: int, chance: random.Random, told: dict[str, int]) -> None:
    """Let a child write, kill it, see whether everything is there that it acknowledged."""
    # Half of them fold and checkpoint all the time, so that those steps are hit too.
    settings = ("fold=0.002", "pages=20") if n % 2 else ()
    async with child(path, *settings) as writer:
        writer.tell("write for ever", f"writer {n}", *STREAMS)
        for _ in range(chance.randint(1, 400)):
            id, tail = await writer.hear()
            assert tail >= told.get(id, 0)
            told[id] = tail
        writer.process.kill()
        # What it said until the end counts.
        while (last := await writer.hear()) is not None:
            told[last[0]] = last[1]
        await writer.process.wait()
    store = SqliteStore(path)
    await store.open()
    try:
        await store.join("examiner", 60)
        abandoned = await store.abandoned()
        for id, tail in told.items():
            info = await store.info(id)
            assert info.head.tail >= tail
            assert id in abandoned
            assert await everything(store, id) == [record(id, i) for i in range(info.head.tail)]
            acquired = await store.acquire(id, "examiner")
            assert isinstance(acquired, Acquired)
            counters = [t.epoch.counter for t in acquired.head.terms]
            assert counters == list(range(1, len(counters) + 1))
            told[id] = acquired.head.tail
    finally:
        await store.close()


async def test_what_was_acknowledged_survives_the_process(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    told: dict[str, int] = {}
    for n in range(ROUNDS):
        await one_round(tmp_path / "journal.db", n, chance, told)
    assert set(told) == set(STREAMS)
    assert list((tmp_path / "owners").iterdir()) == []
