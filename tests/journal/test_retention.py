"""What retention keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.journal.log import Head, Term
from fairlead.journal.position import Epoch
from fairlead.journal.retention import Retention, expired, keep_from


@st.composite
def kept(draw: st.DrawFn) -> tuple[Head, list[tuple[int, int]]]:
    """A head, and the stretches of the log that it describes."""
    first = at = draw(st.integers(0, 20))
    runs: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(0, 8))):
        runs.append((at, draw(st.integers(0, 50))))
        at += draw(st.integers(1, 10))
    return Head((Term(Epoch(1, "aaaaaa"), 0),), first, at), runs


limits = st.none() | st.integers(0, 100)


@given(kept(), limits, limits)
def test_the_newest_stretches_within_the_limits_stay(
    log: tuple[Head, list[tuple[int, int]]], max_bytes: int | None, max_records: int | None
) -> None:
    head, runs = log
    retention = Retention(max_bytes=max_bytes, max_records=max_records)
    first = keep_from(retention, head, runs)
    assert first >= head.first
    assert first == head.first or first in [start for start, _ in runs]
    if runs:
        assert first <= runs[-1][0]
    size = sum(n for start, n in runs if start >= first)
    if max_bytes is not None and runs and first < runs[-1][0]:
        assert size <= max_bytes
    if max_records is not None:
        # Whole stretches: what is kept beyond the limit lies in the oldest of them.
        following = [start for start, _ in runs if start > first]
        assert not following or head.tail - following[0] < max_records
        assert first == head.first or max_bytes is not None or head.tail - first >= max_records
    if max_bytes is not None and first > head.first and max_records is None:
        before = max(start for start, _ in runs if start < first)
        assert sum(n for start, n in runs if start >= before) > max_bytes


@given(kept())
def test_no_limit_keeps_all(log: tuple[Head, list[tuple[int, int]]]) -> None:
    head, runs = log
    assert keep_from(Retention(max_bytes=None), head, runs) == head.first


def test_expiry() -> None:
    week = Retention(max_age=7.0)
    assert not expired(week, closed=True, touched=0.0, now=7.0)
    assert expired(week, closed=True, touched=0.0, now=7.1)
    assert not expired(week, closed=False, touched=0.0, now=1e9)
    assert not expired(Retention(max_age=None), closed=True, touched=0.0, now=1e9)
