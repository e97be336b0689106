"""The rules of a log, one by one; tests/journal/test_model.py has them together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.journal.log import (
    Accepted,
    At,
    Closed,
    Fenced,
    Gap,
    Gone,
    Head,
    Lost,
    Term,
    acquire,
    append,
    locate,
    position,
    trim,
)
from fairlead.journal.position import Epoch, Position

ONE, TWO, OTHER = Epoch(1, "aaaaaa"), Epoch(2, "bbbbbb"), Epoch(2, "cccccc")


@st.composite
def heads(draw: st.DrawFn, *, written: bool = False) -> Head:
    """Any head that appends, acquisitions and trims can lead to."""
    head = Head()
    for i in range(draw(st.integers(1 if written else 0, 5))):
        head, _ = acquire(head, f"{i:06d}")
        tail = head.tail + draw(st.integers(0, 5))
        head = Head(head.terms, head.first, tail)
    head = trim(head, draw(st.integers(0, 30)))
    closed = bool(head.terms) and draw(st.booleans())
    return Head(head.terms, head.first, head.tail, closed)


def test_a_new_log_has_no_writer() -> None:
    assert Head().epoch is None
    assert append(Head(), ONE, 0, 1) == Fenced(None)
    assert position(Head(), 0) is None
    assert locate(Head(), None) == At(0, 0)


@given(heads())
def test_acquiring_raises_the_epoch_at_the_tail(head: Head) -> None:
    after, epoch = acquire(head, "zzzzzz")
    assert after.epoch == epoch
    assert after.terms[:-1] == head.terms
    assert after.terms[-1] == Term(epoch, head.tail)
    assert all(epoch > term.epoch for term in head.terms)
    assert (after.first, after.tail, after.closed) == (head.first, head.tail, head.closed)


@given(heads(written=True), st.integers(0, 40), st.integers(0, 10), st.booleans())
def test_what_an_append_may_do(head: Head, at: int, count: int, close: bool) -> None:
    assert head.epoch is not None
    verdict = append(head, head.epoch, at, count, close=close)
    if isinstance(verdict, Accepted):
        assert head.terms[-1].first <= at <= head.tail
        assert verdict.head.tail == max(head.tail, at + count)
        assert at + verdict.skip == min(head.tail, at + count)
        assert verdict.head.closed == (head.closed or close)
        assert not head.closed or verdict.head == head
        # Whatever was accepted may be repeated, and then changes nothing.
        again = append(verdict.head, head.epoch, at, count, close=close)
        assert again == Accepted(count, verdict.head)
    elif isinstance(verdict, Gap):
        assert at > head.tail or at < head.terms[-1].first
    else:
        assert isinstance(verdict, Closed)
        assert head.closed


@given(heads(written=True), st.integers(0, 40), st.integers(0, 10))
def test_only_the_newest_epoch_writes(head: Head, at: int, count: int) -> None:
    for term in head.terms[:-1]:
        assert append(head, term.epoch, at, count) == Fenced(head.epoch)
    assert append(head, Epoch(99, "zzzzzz"), at, count) == Fenced(head.epoch)


@given(heads(), st.integers(0, 40))
def test_trimming_only_goes_forward_and_never_beyond_the_tail(head: Head, first: int) -> None:
    after = trim(head, first)
    assert head.first <= after.first <= max(head.tail, head.first)
    assert (after.terms, after.tail, after.closed) == (head.terms, head.tail, head.closed)


@given(heads(written=True), st.integers(0, 40), st.integers(0, 3))
def test_a_position_leads_back_to_where_it_was_taken(head: Head, offset: int, step: int) -> None:
    if not head.first <= offset <= head.tail - (1 if step else 0):
        return
    place = position(head, offset, step)
    assert place is not None
    assert locate(head, place) == At(offset, step)
    later, _ = acquire(Head(head.terms, head.first, head.tail + 3), "zzzzzz")
    assert locate(later, place) == At(offset, step)


def test_places_that_are_none() -> None:
    head = Head((Term(ONE, 0), Term(TWO, 10)), 5, 20)
    assert locate(head, Position(ONE, 10)) == At(10, 0)
    assert isinstance(locate(head, Position(ONE, 11)), Lost)
    assert isinstance(locate(head, Position(ONE, 10, 1)), Lost)
    assert isinstance(locate(head, Position(TWO, 21)), Lost)
    assert isinstance(locate(head, Position(TWO, 20, 1)), Lost)
    assert locate(head, Position(TWO, 19, 1)) == At(19, 1)
    assert isinstance(locate(head, Position(OTHER, 10)), Lost)
    assert locate(head, Position(ONE, 4)) == Gone(5)
    assert locate(head, None) == Gone(5)
    assert locate(head, Position(ONE, 5)) == At(5, 0)


def test_a_position_at_the_border_vouches_for_what_was_seen() -> None:
    head = Head((Term(ONE, 0), Term(TWO, 10)), 0, 20)
    assert position(head, 10) == Position(ONE, 10)
    assert position(head, 10, 1) == Position(TWO, 10, 1)
    assert position(head, 11) == Position(TWO, 11)
    assert position(head, 0) == Position(ONE, 0)
