"""The audit log: one suite over every store of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.errors import BadRequest
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts
from fairlead.ports.audit import MAX_TEXT, Audit, Entry, entry
from fairlead.primitives import sortable
from fairlead.stores.memory_audit import MemoryAudit
from fairlead.stores.sqlite_audit import SqliteAudit
from fairlead.stores.sqlite_gateway import SqliteGateway

KEPT = 20


@pytest.fixture(params=["memory", "sqlite, two of one file"])
async def audits(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Audit, Audit]]:
    """Two that hold the same."""
    if request.param == "memory":
        one = MemoryAudit(KEPT)
        yield one, one
        return
    gateways = [SqliteGateway(tmp_path / "gateway.db") for _ in range(2)]
    for gateway in gateways:
        await gateway.open()
    here, there = (SqliteAudit(gateway, KEPT) for gateway in gateways)
    await here.open()
    await there.open()
    yield here, there
    for gateway in gateways:
        await gateway.close()


def made(n: int, action: str = "key.created") -> Entry:
    return Entry(at=float(n), consumer="op", action=action, target=f"t{n}")


async def test_newest_first_page_by_page(audits: tuple[Audit, Audit]) -> None:
    here, there = audits
    for n in range(7):
        await (here if n % 2 else there).add(made(n))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await there.page(cursor, 3)
        seen += [each.target for each in page.items]
        cursor = page.cursor
        if cursor is None:
            break
        # What comes meanwhile moves nothing.
        await here.add(made(100))
    assert seen == [f"t{n}" for n in range(6, -1, -1)]


async def test_by_action_and_target(audits: tuple[Audit, Audit]) -> None:
    here, _ = audits
    for n, action in enumerate(["key.created", "key.revoked", "keys", "stream.stopped", "key"]):
        await here.add(made(n, action))

    async def found(action: str = "", target: str = "") -> list[str]:
        page = await here.page(action=action, target=target)
        return [each.action for each in page.items]

    assert await found("key") == ["key", "key.revoked", "key.created"]
    assert await found("key.revoked") == ["key.revoked"]
    assert await found(target="t3") == ["stream.stopped"]
    assert await found("key", "t3") == []
    assert await found("'; DROP TABLE audit; --") == []


async def test_only_the_newest_stay(audits: tuple[Audit, Audit]) -> None:
    here, there = audits
    for n in range(KEPT + 5):
        await here.add(made(n))
    page = await there.page(limit=1000)
    assert [each.at for each in page.items] == [float(n) for n in range(KEPT + 4, 4, -1)]


async def test_a_cursor_that_is_none(audits: tuple[Audit, Audit]) -> None:
    here, _ = audits
    await here.add(made(1))
    for cursor in ("Z", "", "11x", sortable(32**31 - 1)):
        with pytest.raises(BadRequest, match="cursor"):
            await here.page(cursor)


def test_an_entry_says_who_and_from_where_and_is_bounded() -> None:
    caller = Caller(
        "op", credential="key:abc", facts=Facts(address="192.0.2.7", headers={"x-team": "s3cret"})
    )
    found = entry(caller, 5.0, "key.created", "k" * 9999, name="n" * 9999)
    assert (found.consumer, found.credential, found.address) == ("op", "key:abc", "192.0.2.7")
    assert len(found.target) == len(found.details["name"]) == MAX_TEXT
    assert "s3cret" not in repr(found)
