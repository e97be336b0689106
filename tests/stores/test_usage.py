"""The usage ledger, in memory and in SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.ports.usage import Usage, UsageLedger
from fairlead.stores.memory_usage import MemoryUsage
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_usage import SqliteUsage


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UsageLedger]:
    if request.param == "memory":
        yield MemoryUsage()
        return
    gateway = SqliteGateway(tmp_path / "gateway.db")
    await gateway.open()
    ledger = SqliteUsage(gateway)
    await ledger.open()
    yield ledger
    await ledger.close()
    await gateway.close()


def used(day: str, consumer: str, model: str = "m", **fields: int) -> Usage:
    return Usage(day=day, consumer=consumer, model=model, currency="USD", requests=1, **fields)


async def test_rows_are_added_up(ledger: UsageLedger) -> None:
    for n in range(100):
        ledger.add(used("2026-11-20", "ann", input_tokens=n, output_tokens=2, money=3))
        ledger.add(used("2026-11-20", "bob", cached_tokens=1, estimated=1))
    ledger.add(used("2026-11-21", "ann", "n", output_tokens=7))
    await ledger.flush()
    ann, dear = await ledger.read("ann", "2026-11-01", "2026-11-30")
    assert ann == Usage(
        day="2026-11-20", consumer="ann", model="m", currency="USD", requests=100,
        input_tokens=4950, output_tokens=200, money=300,
    )  # fmt: skip
    assert (dear.day, dear.model, dear.output_tokens) == ("2026-11-21", "n", 7)
    everyone = await ledger.read(None, "2026-11-20", "2026-11-20")
    assert [row.consumer for row in everyone] == ["ann", "bob"]
    assert (everyone[1].cached_tokens, everyone[1].estimated) == (100, 100)
    assert await ledger.read("ann", "2026-11-22", "2026-12-31") == []


async def test_what_was_added_is_written_when_the_ledger_closes(tmp_path: Path) -> None:
    for _ in range(2):
        gateway = SqliteGateway(tmp_path / "gateway.db")
        await gateway.open()
        ledger = SqliteUsage(gateway)
        await ledger.open()
        ledger.add(used("2026-11-20", "ann"))
        await ledger.close()
        await gateway.close()
    await gateway.open()
    (row,) = await ledger.read("ann", "2026-11-20", "2026-11-20")
    assert row.requests == 2
    await gateway.close()
