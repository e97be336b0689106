"""The file that the gateway's stores share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from fairlead.errors import Misconfigured, StoreUnavailable
from fairlead.stores.sqlite.connection import rows, value
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

NUMBERS = Part("numbers", "CREATE TABLE numbers (n INTEGER)")


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[SqliteGateway, SqliteGateway]]:
    """One file, opened twice."""
    both = SqliteGateway(tmp_path / "gateway.db"), SqliteGateway(tmp_path / "gateway.db")
    for gateway in both:
        await gateway.open()
    yield both
    for gateway in both:
        await gateway.close()


def insert(db: apsw.Connection, n: int) -> None:
    db.execute("INSERT INTO numbers VALUES (?)", (n,))


async def test_both_bring_their_tables_and_see_each_others_rows(
    two: tuple[SqliteGateway, SqliteGateway],
) -> None:
    await asyncio.gather(*(gateway.add(NUMBERS) for gateway in two))
    await asyncio.gather(
        *(gateway.run(lambda db: insert(db, 1)) for gateway in two for _ in range(50))
    )
    for gateway in two:
        assert await gateway.read(lambda db: value(db, "SELECT sum(n) FROM numbers")) == 100


async def test_what_raises_leaves_nothing(two: tuple[SqliteGateway, SqliteGateway]) -> None:
    here, there = two
    await here.add(NUMBERS)

    def broken(db: apsw.Connection) -> None:
        insert(db, 1)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        await here.run(broken)
    assert await there.read(lambda db: rows(db, "SELECT n FROM numbers")) == []


async def test_an_earlier_layout_is_led_to_the_new_one(
    two: tuple[SqliteGateway, SqliteGateway],
) -> None:
    here, there = two
    await here.add(NUMBERS)
    await here.run(lambda db: insert(db, 7))
    step = "ALTER TABLE numbers ADD COLUMN name TEXT NOT NULL DEFAULT ''"
    await there.add(Part("numbers", "never run", 2, {1: step}))
    assert await here.read(lambda db: rows(db, "SELECT n, name FROM numbers")) == [(7, "")]
    with pytest.raises(Misconfigured, match="numbers in the layout number 2"):
        await here.add(NUMBERS)


async def test_closed_it_says_so(tmp_path: Path) -> None:
    gateway = SqliteGateway(tmp_path / "gateway.db")
    with pytest.raises(StoreUnavailable, match="closed"):
        await gateway.add(NUMBERS)
    await gateway.open()
    await gateway.open()
    await gateway.close()
    await gateway.close()
