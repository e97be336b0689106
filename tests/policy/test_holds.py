"""Whatever happens in whatever order, no more is handed out than there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.holds import NOTHING, Hold, fits, grant, lapse, meter, settle

LIMIT = 100
HOLDERS = ("a", "b", "c")

acts = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "meter", "settle", "crash"]),
        st.sampled_from(HOLDERS),
        st.integers(0, 60),
    ),
    max_size=60,
)


@given(acts)
def test_no_more_is_handed_out_than_the_limit(script: list[tuple[str, str, int]]) -> None:
    """What is charged and what is held never exceed the limit, as long as nobody uses more than he
    was granted; and what is taken is exactly the two together."""
    taken = 0
    holds: dict[str, Hold] = {}
    charged = 0
    for act, holder, amount in script:
        hold = holds.get(holder, NOTHING)
        if act == "reserve":
            if fits(taken, LIMIT, amount):
                taken, holds[holder] = grant(taken, hold, amount, 0, 1.0)
        elif act == "meter":
            holds[holder] = meter(hold, amount, 1.0)
        elif act == "settle":
            used = min(max(amount, hold.metered), hold.granted)
            taken = settle(taken, holds.pop(holder, NOTHING), used)
            charged += used
        else:
            taken, left = lapse(taken, hold)
            holds[holder] = left
            assert left.granted == hold.metered  # what was used by then stays charged
        held = sum(hold.granted for hold in holds.values())
        assert taken == charged + held <= LIMIT


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 200))
def test_no_more_is_given_back_than_was_granted(
    before: int, amount: int, metered: int, used: int
) -> None:
    taken, hold = grant(before, NOTHING, amount, metered, 1.0)
    assert settle(taken, hold, 0) == before
    assert settle(taken, hold, used) == before + used
    lapsed, left = lapse(taken, hold)
    assert before <= lapsed <= taken
    assert lapse(lapsed, left)[0] == lapsed  # only once
    assert settle(lapsed, left, used) == before + used  # the holder lived after all


@given(st.lists(st.integers(0, 150), min_size=1))
def test_what_was_metered_is_never_taken_back(metered: list[int]) -> None:
    _, hold = grant(0, NOTHING, 100, 0, 1.0)
    for amount in metered:
        after = meter(hold, amount, 1.0)
        assert hold.metered <= after.metered <= after.granted
        hold = after


def test_nothing_always_fits() -> None:
    assert fits(120, 100, 0)
    assert not fits(100, 100, 1)
    assert fits(99, 100, 1)
