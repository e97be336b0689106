"""Kept passages, in memory and in SQLite."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from fairlead.ports.knowledge import Passage
from fairlead.ports.passages import Passages
from fairlead.ports.store import Durability
from fairlead.stores.memory_passages import MemoryPassages
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_passages import SqlitePassages


@pytest.fixture(params=["memory", "sqlite"])
async def passages(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Passages]:
    if request.param == "memory":
        yield MemoryPassages(most=3)
        return
    gateway = SqliteGateway(tmp_path / "gateway.db", durability=Durability.PROCESS)
    await gateway.open()
    made = SqlitePassages(gateway, most=3)
    await made.open()
    yield made
    await gateway.close()


def passage(id: str, text: str = "text") -> Passage:
    return Passage(
        id=id, document="d", title="t", address="a", heading="", span=(0, 4), text=text, score=0.5
    )


async def test_passages_are_found_by_id_and_the_oldest_give_way(passages: Passages) -> None:
    assert await passages.find("a") is None
    await passages.keep([passage("a"), passage("b"), passage("c")])
    assert await passages.find("a") == passage("a")
    await passages.keep([passage("a", "other")])
    await passages.keep([passage("d")])
    assert await passages.find("a") == passage("a", "other")
    assert await passages.find("b") is None
    assert await passages.find("d") == passage("d")
    await passages.keep([])
