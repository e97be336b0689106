"""Files: one suite over every store of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from fairlead.errors import Conflict
from fairlead.ports.files import File, Files
from fairlead.stores.memory_files import MemoryFiles
from fairlead.stores.sqlite_files import SqliteFiles
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.testing.clock import Clock


class Kit(NamedTuple):
    """Both hold the same; they may be one and the same store."""

    here: Files
    there: Files
    clock: Clock


@pytest.fixture(params=["memory", "sqlite, two of one file"])
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    clock = Clock()
    if request.param == "memory":
        files = MemoryFiles(clock)
        await files.open()
        yield Kit(files, files, clock)
        return
    gateways = [SqliteGateway(tmp_path / "gateway.db") for _ in range(2)]
    stores = [SqliteFiles(gateway, clock) for gateway in gateways]
    for gateway, store in zip(gateways, stores, strict=True):
        await gateway.open()
        await store.open()
    yield Kit(stores[0], stores[1], clock)
    for gateway in gateways:
        await gateway.close()


def file(id: str, consumer: str = "ann", purpose: str = "user_data") -> File:
    told = msgspec.Raw(msgspec.json.encode({"id": id, "é": [1, None]}))
    return File(id=id, consumer=consumer, upstream="up", purpose=purpose, told=told)


def ids(files: list[File] | None) -> list[str]:
    assert files is not None
    return [each.id for each in files]


async def test_a_file_is_found_until_it_is_removed(kit: Kit) -> None:
    await kit.here.add(file("f1"))
    assert await kit.there.find(["f1", "f2"]) == {"f1": file("f1")}
    assert await kit.there.count("ann") == 1
    await kit.there.remove("f1")
    await kit.there.remove("f1")
    assert await kit.here.find(["f1"]) == {}
    assert await kit.here.count("ann") == 0


async def test_an_id_is_its_first_owners(kit: Kit) -> None:
    await kit.here.add(file("f1"))
    with pytest.raises(Conflict):
        await kit.there.add(file("f1", "bob"))
    await kit.there.add(file("f1", purpose="vision"))
    assert (await kit.here.find(["f1"]))["f1"] == file("f1", purpose="vision")
    results = await asyncio.gather(
        *(store.add(file("f2", who)) for store, who in ((kit.here, "ann"), (kit.there, "bob"))),
        return_exceptions=True,
    )
    assert [type(result) for result in results if result is not None] == [Conflict]


async def test_pages(kit: Kit) -> None:
    here, there, _ = kit
    for number in range(5):
        await here.add(file(f"f{number}", purpose="vision" if number % 2 else "user_data"))
    await here.add(file("another", "bob"))
    await here.add(replace(file("elsewhere"), upstream="other"))
    assert ids(await there.page("ann", "up")) == ["f4", "f3", "f2", "f1", "f0"]
    assert ids(await there.page("ann", "up", newest_first=False, limit=2)) == ["f0", "f1"]
    assert ids(await there.page("ann", "up", after="f3", limit=2)) == ["f2", "f1"]
    assert ids(await there.page("ann", "up", after="f3", newest_first=False)) == ["f4"]
    assert ids(await there.page("ann", "up", purpose="vision")) == ["f3", "f1"]
    assert ids(await there.page("ann", "up", purpose="vision", after="f2")) == ["f1"]
    assert ids(await there.page("nobody", "up")) == []
    for absent in ("none", "another", "elsewhere"):
        assert await there.page("ann", "up", after=absent) is None


async def test_what_has_ended_is_gone(kit: Kit) -> None:
    here, there, clock = kit
    await here.add(replace(file("f1"), expires_at=clock() + 10))
    await here.add(file("f2"))
    assert ids(await there.page("ann", "up")) == ["f2", "f1"]
    clock.advance(10)
    assert ids(await there.page("ann", "up")) == ["f2"]
    assert await there.find(["f1"]) == {}
    assert await there.count("ann") == 1
    assert await there.page("ann", "up", after="f1") is None
    # Its id is free again.
    await there.add(file("f1", "bob"))
    assert (await here.find(["f1"]))["f1"].consumer == "bob"
