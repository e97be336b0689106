"""The choice among upstreams: orders, weights, caps."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.balance import (
    STRATEGIES,
    Candidate,
    Caps,
    Standing,
    Strategy,
    preferred,
)
from fairlead.policy.breaker import Breaker, BreakerSettings

names = st.text("abcdefgh", min_size=1, max_size=4)
some = st.lists(
    st.builds(Candidate, names, st.floats(0.1, 50)),
    min_size=1,
    max_size=8,
    unique_by=lambda c: c.name,
)
keys = st.binary(max_size=100)


@given(st.sampled_from(STRATEGIES), some, keys, st.dictionaries(names, st.integers(0, 9)))
def test_order_is_complete_finite_and_repeatable(
    strategy: Strategy, candidates: list[Candidate], key: bytes, loads: dict[str, int]
) -> None:
    order = preferred(strategy, candidates, key, loads)
    assert sorted(order) == sorted(candidate.name for candidate in candidates)
    assert preferred(strategy, candidates, key, loads) == order


def test_weights_are_respected_over_many_draws() -> None:
    entropy = random.Random(7)
    candidates = [Candidate("a", 1), Candidate("b", 2), Candidate("c", 5)]
    drawn = Counter(
        preferred("weighted", candidates, entropy.randbytes(16))[0] for _ in range(20_000)
    )
    for name, share in (("a", 1 / 8), ("b", 2 / 8), ("c", 5 / 8)):
        assert drawn[name] / 20_000 == pytest.approx(share, abs=0.015)


def test_what_is_left_after_a_failure_keeps_its_proportions() -> None:
    entropy = random.Random(8)
    candidates = [Candidate("a", 1), Candidate("b", 2), Candidate("c", 5)]
    orders = [preferred("weighted", candidates, entropy.randbytes(16)) for _ in range(20_000)]
    second = Counter(order[1] for order in orders if order[0] == "c")
    assert second["b"] / second["a"] == pytest.approx(2, rel=0.1)


@given(some, keys, names)
def test_sticky_moves_only_what_it_must(candidates: list[Candidate], key: bytes, gone: str) -> None:
    order = preferred("sticky", candidates, key)
    left = [candidate for candidate in candidates if candidate.name != gone]
    if left:
        assert preferred("sticky", left, key) == tuple(name for name in order if name != gone)


@given(some, keys, st.dictionaries(names, st.integers(0, 9)))
def test_least_loaded_comes_first(
    candidates: list[Candidate], key: bytes, loads: dict[str, int]
) -> None:
    first = preferred("least_loaded", candidates, key, loads)[0]
    load = {c.name: loads.get(c.name, 0) / c.weight for c in candidates}
    assert load[first] == min(load.values())


def test_in_order_is_as_written() -> None:
    assert preferred("in_order", [Candidate("b"), Candidate("a", 9)], b"") == ("b", "a")


def test_caps() -> None:
    caps = Caps(concurrent=2)
    standing, _ = Standing().asked(caps, 0)
    assert standing.obstacle(caps, 0) is None
    standing, _ = standing.asked(caps, 0)
    full = standing.obstacle(caps, 0)
    assert full is not None
    assert (full.kind, full.until, full.passing) == ("full", None, True)
    assert standing.left().obstacle(caps, 0) is None


@given(
    st.floats(0.2, 20),
    st.lists(st.floats(0, 3), min_size=1, max_size=80),
)
def test_rate_is_never_exceeded(rate: float, pauses: list[float]) -> None:
    caps, standing, now = Caps(per_second=rate), Standing(), 0.0
    sent: list[float] = []
    for pause in pauses:
        now += pause
        obstacle = standing.obstacle(caps, now)
        if obstacle is None:
            standing, _ = standing.asked(caps, now)
            sent.append(now)
        else:
            assert obstacle.kind == "rate"
            assert obstacle.until is not None
            assert now < obstacle.until <= now + 1 / rate + 1e-6
            assert standing.obstacle(caps, obstacle.until + 1e-6) is None
    for i, start in enumerate(sent):
        for j in range(i, len(sent)):
            # A second's worth at once, then evenly.
            assert j - i + 1 <= max(rate, 1) + rate * (sent[j] - start) + 1e-3


def test_obstacles_in_the_order_of_their_weight() -> None:
    caps = Caps(concurrent=1)
    broken = Breaker().tripped(BreakerSettings(rest=5), 0)
    standing = Standing(breaker=broken, well=False, in_flight=1, paused_until=9)
    for well, at, kind, until in (
        (False, 1, "unwell", None),
        (True, 1, "open", 5),
        (True, 6, "paused", 9),
        (True, 10, "full", None),
    ):
        there = Standing(breaker=broken, well=well, in_flight=1, paused_until=9)
        obstacle = there.obstacle(caps, at)
        assert obstacle is not None
        assert (obstacle.kind, obstacle.until) == (kind, until)
    assert not standing.breaker.asked()[0].admits(100)
