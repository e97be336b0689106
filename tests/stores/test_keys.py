"""API keys: one suite over every store of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from fairlead.errors import Conflict, NotFound
from fairlead.policy.caller import ADMIN, READ
from fairlead.ports.keys import Keys, StoredKey
from fairlead.stores.memory_keys import MemoryKeys
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_keys import SqliteKeys
from fairlead.testing.clock import Clock


class Kit(NamedTuple):
    """``here`` and ``there`` hold the same keys; they may be one and the same store."""

    here: Keys
    there: Keys
    clock: Clock


@pytest.fixture(params=["memory", "sqlite", "sqlite, two of one file"])
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    clock = Clock()
    if request.param == "memory":
        memory = MemoryKeys(clock)
        await memory.open()
        yield Kit(memory, memory, clock)
        return
    gateways = [SqliteGateway(tmp_path / "gateway.db") for _ in range(2)]
    for gateway in gateways:
        await gateway.open()
    here = SqliteKeys(gateways[0], clock)
    there = SqliteKeys(gateways[1], clock) if "two" in request.param else here
    await here.open()
    await there.open()
    yield Kit(here, there, clock)
    for gateway in gateways:
        await gateway.close()


def key(id: str, consumer: str = "ann", **fields: object) -> StoredKey:
    return replace(StoredKey(id=id, consumer=consumer, created=1.0), **fields)


def sha(text: str) -> bytes:
    return text.encode().ljust(32, b"-")


async def test_a_key_is_found_by_its_hash_with_all_that_it_has(kit: Kit) -> None:
    made = key(
        "k1",
        name="the dashboard's",
        scopes=frozenset({READ, ADMIN}),
        quotas=("daily", "per minute"),
        expires_at=50.5,
    )
    assert not await kit.there.any()
    await kit.here.create(made, sha("one"))
    assert await kit.there.any()
    assert await kit.there.find(sha("one")) == made
    assert await kit.there.get("k1") == made
    assert await kit.there.find(sha("two")) is None
    with pytest.raises(NotFound):
        await kit.there.get("k2")


async def test_neither_an_id_nor_a_text_is_used_twice(kit: Kit) -> None:
    await kit.here.create(key("k1"), sha("one"))
    for again in (("k1", "two"), ("k2", "one")):
        with pytest.raises(Conflict):
            await kit.there.create(key(again[0]), sha(again[1]))
    assert [k.id for k in (await kit.here.page()).items] == ["k1"]


async def test_pages_are_newest_first(kit: Kit) -> None:
    for n in range(7):
        await kit.here.create(key(f"k{n}", "ann" if n % 2 else "bob"), sha(str(n)))
    assert [k.id for k in (await kit.there.page("bob")).items] == ["k6", "k4", "k2", "k0"]
    seen, cursor = [], None
    while True:
        page = await kit.there.page(cursor=cursor, limit=3)
        seen += [k.id for k in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == ["k6", "k5", "k4", "k3", "k2", "k1", "k0"]


async def test_revoking_ends_a_key_for_good(kit: Kit) -> None:
    await kit.here.create(key("k1"), sha("one"))
    await kit.here.create(key("k2"), sha("two"))
    revoked = await kit.here.revoke("k1")
    assert revoked.revoked_at == kit.clock()
    kit.clock.advance(5)
    assert await kit.there.revoke("k1") == revoked
    assert await kit.there.alive(["k1", "k2", "k3"]) == {"k2"}
    found = await kit.there.find(sha("one"))
    assert found is not None
    assert not found.alive(kit.clock())
    with pytest.raises(NotFound):
        await kit.there.revoke("k3")


async def test_a_key_ends_when_it_expires(kit: Kit) -> None:
    await kit.here.create(key("k1", expires_at=kit.clock() + 10), sha("one"))
    assert await kit.there.alive(["k1"]) == {"k1"}
    kit.clock.advance(10)
    assert await kit.there.alive(["k1"]) == set()


async def test_rotation_overlaps(kit: Kit) -> None:
    made = key("k1", name="n", scopes=frozenset({READ}), quotas=("q",), last_used=3.0)
    await kit.here.create(made, sha("one"))
    new = await kit.here.rotate("k1", "k2", sha("two"), 60)
    assert new == replace(made, id="k2", created=kit.clock(), last_used=None)
    assert await kit.there.find(sha("two")) == new
    assert (await kit.there.get("k1")).successor == "k2"
    assert await kit.there.alive(["k1", "k2"]) == {"k1", "k2"}
    kit.clock.advance(60)
    assert await kit.there.alive(["k1", "k2"]) == {"k2"}


async def test_rotation_makes_no_key_last_longer_and_happens_once(kit: Kit) -> None:
    await kit.here.create(key("k1", expires_at=kit.clock() + 10), sha("one"))
    new = await kit.here.rotate("k1", "k2", sha("two"), 60)
    assert new.expires_at == kit.clock() + 10
    assert (await kit.here.get("k1")).expires_at == kit.clock() + 10
    with pytest.raises(Conflict, match="replaced by 'k2'"):
        await kit.there.rotate("k1", "k3", sha("three"), 60)
    kit.clock.advance(10)
    with pytest.raises(Conflict, match="expired"):
        await kit.there.rotate("k2", "k3", sha("three"), 60)
    await kit.here.revoke("k2")
    with pytest.raises(Conflict, match="revoked"):
        await kit.there.rotate("k2", "k3", sha("three"), 60)


async def test_use_is_remembered(kit: Kit) -> None:
    await kit.here.create(key("k1"), sha("one"))
    await kit.here.used("k1", 42.0)
    await kit.here.used("k9", 42.0)
    assert (await kit.there.get("k1")).last_used == 42.0


async def test_very_many_can_be_asked_about_at_once(kit: Kit) -> None:
    await kit.here.create(key("k1"), sha("one"))
    assert await kit.there.alive(["k1", *(f"x{n}" for n in range(2000))]) == {"k1"}
