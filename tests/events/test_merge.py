"""Merging joins what belongs together, and nothing else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fairlead.events.merge import merge, mergeable
from fairlead.events.model import Event, Reasoning, Token, Tool, Unknown
from tests.events.strategies import deltas, events, unknown

streams = st.lists(deltas | events | unknown, max_size=40)
Piece = tuple[type, int, str]


def pieces(stream: list[Event | Unknown]) -> list[Piece | Event | Unknown]:
    """The stream with each delta torn into characters: what its reader gets to see."""
    out: list[Piece | Event | Unknown] = []
    for event in stream:
        if isinstance(event, Token | Reasoning | Tool) and not bytes(event.extra):
            out += [(type(event), event.part, c) for c in event.text]
        else:
            out.append(event)
    return out


@given(streams, st.integers(1, 60))
def test_the_reader_sees_the_same(stream: list[Event | Unknown], limit: int) -> None:
    assert pieces(list(merge(stream, limit))) == pieces(stream)


@given(streams)
def test_merging_twice_is_merging_once(stream: list[Event | Unknown]) -> None:
    once = list(merge(stream))
    assert list(merge(once)) == once


@given(streams)
def test_nothing_that_could_be_joined_is_left(stream: list[Event | Unknown]) -> None:
    once = list(merge(stream))
    assert not any(mergeable(a, b) for a, b in pairwise(once))


@given(streams, st.integers(1, 60), st.data())
def test_merging_pieces_is_merging_the_whole(
    stream: list[Event | Unknown], limit: int, data: st.DataObject
) -> None:
    """Wherever a reader stops and goes on, it ends with the same text."""
    cut = data.draw(st.integers(0, len(stream)))
    parts = [*merge(stream[:cut], limit), *merge(stream[cut:], limit)]
    assert pieces(parts) == pieces(stream)


@given(streams, st.integers(1, 60))
def test_a_joined_piece_stays_near_its_limit(stream: list[Event | Unknown], limit: int) -> None:
    longest = max(
        (len(e.text) for e in stream if isinstance(e, Token | Reasoning | Tool)), default=0
    )
    for event in merge(stream, limit):
        if isinstance(event, Token | Reasoning | Tool):
            assert len(event.text) < limit + max(longest, 1)


def test_an_example() -> None:
    stream: list[Event | Unknown] = [
        Token(at=1, text="a"),
        Token(at=2, text="b"),
        Token(at=3, text="c", part=2),
        Reasoning(at=4, text="d", part=2),
        Token(at=5, text="e"),
        Token(at=6, text="f"),
    ]
    assert list(merge(stream)) == [
        Token(at=2, text="ab"),
        Token(at=3, text="c", part=2),
        Reasoning(at=4, text="d", part=2),
        Token(at=6, text="ef"),
    ]
