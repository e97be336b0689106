"""One behaviour, every store of counters."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.policy.budgets import window
from fairlead.ports.counters import Claim, Counter, Counters, Final, Reserved, Used
from fairlead.stores.memory_counters import MemoryCounters
from fairlead.stores.sqlite_counters import SqliteCounters
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.testing.clock import Clock
from tests.stores.counting import LIMIT, TOTAL, counting

TTL = 30.0

_files = itertools.count()


@dataclass
class Kit:
    """``here`` and ``there`` hold the same counters; they may be one and the same store."""

    here: Counters
    there: Counters
    clock: Clock


@pytest.fixture(params=["memory", "sqlite", "sqlite, two of one file"])
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    clock = Clock()
    if request.param == "memory":
        memory = MemoryCounters(clock)
        yield Kit(memory, memory, clock)
        return
    gateways = [SqliteGateway(tmp_path / "gateway.db")]
    if "two" in request.param:
        gateways.append(SqliteGateway(tmp_path / "gateway.db"))
    stores = [SqliteCounters(gateway, clock) for gateway in gateways]
    for gateway, store in zip(gateways, stores, strict=True):
        await gateway.open()
        await store.open()
    yield Kit(stores[0], stores[-1], clock)
    for gateway in gateways:
        await gateway.close()


def counter(kit: Kit, key: str = "k") -> Counter:
    here = window("hour", kit.clock())
    return Counter(key, here.start, here.end)


async def test_the_most_taken_of_a_budget_are_listed(kit: Kit) -> None:
    now = window("hour", kit.clock())
    taken = {"day 'ann'": 5, "day 'bob'": 9, "day": 1, "days 'ann'": 50, "da": 50, "day!": 50}
    for key, amount in taken.items():
        claim = Claim(Counter(key, now.start, now.end), 100, amount, amount)
        await kit.here.reserve("h", [claim], TTL)
    earlier = Claim(Counter("day 'eve'", now.start - 3600, now.start), 100, 99, 99)
    await kit.here.reserve("h", [earlier], TTL)
    assert await kit.there.largest("day", now.start, 10) == [("'bob'", 9), ("'ann'", 5), ("", 1)]
    assert await kit.there.largest("day", now.start, 1) == [("'bob'", 9)]
    assert await kit.there.largest("none", now.start, 10) == []


async def test_what_is_reserved_is_taken_until_it_is_settled(kit: Kit) -> None:
    k = counter(kit)
    assert await kit.here.taken([k]) == (0,)
    assert await kit.here.reserve("a", [Claim(k, 100, 60, 0)], TTL) == Reserved(True, (60,))
    assert await kit.there.reserve("b", [Claim(k, 100, 41, 0)], TTL) == Reserved(False, (60,))
    assert await kit.there.reserve("b", [Claim(k, 100, 40, 0)], TTL) == Reserved(True, (100,))
    assert await kit.there.settle("a", [Final(k, 25)]) == (65,)
    assert await kit.here.taken([k]) == (65,)


async def test_all_counters_or_none(kit: Kit) -> None:
    k, full = counter(kit), counter(kit, "full")
    await kit.here.reserve("a", [Claim(full, 10, 10, 0)], TTL)
    refused = await kit.here.reserve("b", [Claim(k, 100, 5, 0), Claim(full, 10, 1, 0)], TTL)
    assert refused == Reserved(False, (0, 10))
    assert await kit.there.taken([k, full]) == (0, 10)


async def test_holds_grow_in_steps_and_end_at_once(kit: Kit) -> None:
    k = counter(kit)
    await kit.here.reserve("a", [Claim(k, 100, 20, 20)], TTL)
    await kit.here.reserve("a", [Claim(k, 100, 30, 35)], TTL)
    assert await kit.here.taken([k]) == (50,)
    assert await kit.here.settle("a", [Final(k, 41)]) == (41,)
    # Repeated, as after an unknown outcome, it changes nothing.
    assert await kit.here.settle("a", [Final(k, 41)]) == (41,)


async def test_the_providers_word_may_exceed_what_was_held(kit: Kit) -> None:
    k = counter(kit)
    await kit.here.reserve("a", [Claim(k, 100, 90, 0)], TTL)
    assert await kit.here.settle("a", [Final(k, 130)]) == (130,)
    assert await kit.here.reserve("b", [Claim(k, 100, 1, 0)], TTL) == Reserved(False, (130,))


async def test_a_holder_that_is_gone_is_charged_for_what_it_metered_last(kit: Kit) -> None:
    k = counter(kit)
    await kit.here.reserve("gone", [Claim(k, 100, 80, 10)], TTL)
    await kit.here.meter([Used("gone", k, 33)], TTL)
    kit.clock.advance(TTL - 1)
    assert await kit.there.reserve("b", [Claim(k, 100, 21, 0)], TTL) == Reserved(False, (80,))
    kit.clock.advance(1)
    assert await kit.there.reserve("b", [Claim(k, 100, 21, 0)], TTL) == Reserved(True, (54,))
    # It lived after all, and used more than it had metered.
    assert await kit.here.settle("gone", [Final(k, 40)]) == (61,)


async def test_metering_keeps_a_hold_alive(kit: Kit) -> None:
    k = counter(kit)
    await kit.here.reserve("a", [Claim(k, 100, 80, 0)], TTL)
    for _ in range(3):
        kit.clock.advance(TTL - 1)
        await kit.here.meter([Used("a", k, 5), Used("unknown", k, 5)], TTL)
    assert await kit.there.taken([k]) == (80,)
    kit.clock.advance(TTL)
    assert await kit.there.taken([k]) == (5,)


async def test_what_is_over_is_forgotten(kit: Kit) -> None:
    k = counter(kit)
    await kit.here.reserve("a", [Claim(k, 100, 80, 0)], TTL)
    await kit.here.sweep()
    assert await kit.there.taken([k]) == (80,)
    kit.clock.advance(3600)
    await kit.here.sweep()
    assert await kit.there.taken([k, counter(kit)]) == (0, 0)
    assert await kit.here.settle("a", [Final(k, 80)]) == (0,)


acts = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "meter", "settle", "wait"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([("x",), ("y",), ("x", "y")]),
        st.integers(0, 60),
    ),
    max_size=25,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts)
async def test_the_stores_agree_in_whatever_order(
    tmp_path: Path, script: list[tuple[str, str, tuple[str, ...], int]]
) -> None:
    """Memory and SQLite answer alike, and never hand out more than the limits."""
    clock = Clock()
    gateway = SqliteGateway(tmp_path / f"{next(_files)}.db")
    await gateway.open()
    both: tuple[Counters, ...] = MemoryCounters(clock), SqliteCounters(gateway, clock)
    limits = {"x": 100, "y": 70}
    try:
        for store in both:
            await store.open()
        for act, holder, names, amount in script:
            counters = [Counter(name, 0, 1 << 40) for name in names]
            heard: list[object] = []
            for store in both:
                if act == "reserve":
                    claims = [Claim(c, limits[c.key], amount, amount // 2) for c in counters]
                    heard.append(await store.reserve(holder, claims, TTL))
                elif act == "meter":
                    await store.meter([Used(holder, c, amount) for c in counters], TTL)
                elif act == "settle":
                    heard.append(await store.settle(holder, [Final(c, 0) for c in counters]))
                heard.append(await store.taken([Counter(n, 0, 1 << 40) for n in limits]))
            assert heard[: len(heard) // 2] == heard[len(heard) // 2 :]
            taken = heard[-1]
            assert isinstance(taken, tuple)
            assert all(0 <= t <= limit for t, limit in zip(taken, limits.values(), strict=True))
            if act == "wait":
                clock.advance(amount)
    finally:
        await gateway.close()


async def test_concurrent_holders_cannot_overspend(kit: Kit) -> None:
    k = counter(kit)
    stores = (kit.here, kit.there)

    async def one(n: int) -> int:
        granted = 0
        while (await stores[n % 2].reserve(f"h{n}", [Claim(k, 500, 7, 0)], TTL)).granted:
            granted += 7
        return granted

    granted = sum(await asyncio.gather(*(one(n) for n in range(20))))
    assert granted == 497
    assert await kit.here.taken([k]) == (497,)


async def test_processes_that_are_killed_cannot_overspend(tmp_path: Path) -> None:
    """Processes reserve, use and settle from one file as fast as they can, on one budget each and
    on one that all share; some are killed in the middle. What they say they used never exceeds the
    limits, and in the end everything that was not used is there again."""
    clock = Clock()
    gateway = SqliteGateway(tmp_path / "gateway.db")
    await gateway.open()
    store = SqliteCounters(gateway, clock)
    await store.open()
    children = [await counting(tmp_path / "gateway.db", f"p{n}") for n in range(6)]
    try:
        for child in children:
            await child.ready()
        for child in children:
            child.begin()
        # Two die while all are at it; the others go on until nothing is left for them.
        for child in children[:2]:
            await child.used(30)
            await child.kill()
        for child in children[2:]:
            await child.ended()
        total = Counter("all", 0, 1 << 40)
        # Only what the killed ones had in hand is still held.
        (before,) = await store.taken([total])
        assert sum(child.total for child in children) <= before <= TOTAL
        assert all(child.total <= LIMIT for child in children)
        clock.advance(1e9)
        (after,) = await store.taken([total])
        said = sum(child.total for child in children)
        # A killed process may have metered what it had no time to say.
        assert said <= after <= said + sum(child.unsaid for child in children[:2])
        assert sum(child.total for child in children[2:]) > 0
        # What came back can be handed out, and no more than that.
        room = TOTAL - after
        assert not (await store.reserve("z", [Claim(total, TOTAL, room + 1, 0)], TTL)).granted
        assert (await store.reserve("z", [Claim(total, TOTAL, room, 0)], TTL)).granted
    finally:
        for child in children:
            await child.kill()
        await gateway.close()
