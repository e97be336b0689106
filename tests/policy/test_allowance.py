"""What an answer's model is told it may write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.allowance import EACH, FEW, PACE, Rest

HOUR = 3600.0


def rest(room: int = 900, limit: int = 1000, seconds: float = HOUR, others: int = 0) -> Rest:
    return Rest(room=room, limit=limit, seconds=seconds, others=others)


def test_a_few_are_no_crowd_and_many_are_one_where_the_limit_is_small() -> None:
    assert not rest(others=FEW - 1).crowded
    assert rest(others=FEW).crowded
    many = 100 * EACH
    assert not rest(limit=many, others=99).crowded
    assert rest(limit=many, others=100).crowded


def test_a_budget_that_refills_before_it_can_be_written_bounds_nothing() -> None:
    assert rest(room=100, seconds=100 / PACE).bounds
    assert not rest(room=100, seconds=100 / PACE - 0.1).bounds


@given(st.integers(0, 1 << 40), st.integers(0, 10_000))
def test_all_shares_together_are_no_more_than_there_is(room: int, others: int) -> None:
    left = room
    for already in range(others, min(others + 50, others + room)):
        left -= rest(room=left, others=already).share
    assert 0 <= left <= room
