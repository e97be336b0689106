"""Pieces become events: parts numbered, opened and closed, times filled in, always legal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.events.model import (
    Event,
    Media,
    Part,
    Progress,
    Reasoning,
    Source,
    Sources,
    Thinking,
    Token,
)
from fairlead.events.pieces import (
    MEDIA_PIECE,
    Pen,
    Piece,
    media,
    progress,
    reasoning,
    sources,
    thinking,
)
from fairlead.events.states import Grammar

SOURCE = Source("1", "Ropes", "ropes.md", (0, 5), 1.0, "Ropes")


def written(*pieces: Piece) -> list[Event]:
    pen = Pen(lambda: 7)
    events = [event for piece in pieces for event in pen.write(piece)]
    return events + list(pen.end())


def test_text_and_small_pieces_are_events_with_a_time() -> None:
    assert written(thinking("reading", "…"), progress("half", 0.5), sources([SOURCE]), "", "a") == [
        Thinking(7, "reading", "…"),
        Progress(7, "half", 0.5),
        Sources(7, (SOURCE,)),
        Token(7, "a"),
    ]


def test_a_time_that_is_there_stays() -> None:
    assert written(Token(3, "a")) == [Token(3, "a")]


def test_reasoning_is_one_part_until_something_else_comes() -> None:
    assert written(reasoning("a"), reasoning("b"), "c", reasoning("d")) == [
        Part(7, 1, "open", "reasoning"),
        Reasoning(7, "a", 1),
        Reasoning(7, "b", 1),
        Part(7, 1, "close", "reasoning"),
        Token(7, "c"),
        Part(7, 2, "open", "reasoning"),
        Reasoning(7, "d", 2),
        Part(7, 2, "close", "reasoning"),
    ]


def test_large_media_is_one_part_of_several_pieces() -> None:
    data = bytes(range(256)) * 1024 * 2 + b"!"
    first, *pieces, last = written(media("image/png", data))
    assert (first, last) == (Part(7, 1, "open", "media"), Part(7, 1, "close", "media"))
    assert [len(p.data) for p in pieces if isinstance(p, Media)] == [MEDIA_PIECE, MEDIA_PIECE, 1]
    assert b"".join(p.data for p in pieces if isinstance(p, Media)) == data
    address = written(media("image/png", address="https://x.example/1"))[1]
    assert address == Media(7, 1, "image/png", address="https://x.example/1")


def test_parts_of_one_s_own_are_not_numbered_again() -> None:
    own = Part(1, 5, "open", "tool_call", call_id="c")
    assert written(own, media("a/b", b"1"))[1] == Part(7, 6, "open", "media")


@pytest.mark.parametrize("fraction", [-0.1, 1.5])
def test_a_fraction_is_from_0_to_1(fraction: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        progress("", fraction)


@pytest.mark.parametrize(("data", "address"), [(b"", ""), (b"1", "https://x.example")])
def test_media_has_data_or_an_address(data: bytes, address: str) -> None:
    with pytest.raises(ValueError, match="either"):
        media("a/b", data, address=address)


def test_what_is_no_piece_is_named() -> None:
    with pytest.raises(TypeError, match="not of 42"):
        written(42)  # type: ignore[arg-type]


PIECES = st.one_of(
    st.text(),
    st.builds(reasoning, st.text()),
    st.builds(media, st.just("a/b"), st.binary(min_size=1)),
    st.builds(progress, st.text(), st.none() | st.floats(0, 1)),
    st.builds(thinking, st.text()),
)


@given(st.lists(PIECES))
def test_whatever_is_written_is_legal(pieces: list[Piece]) -> None:
    grammar = Grammar()
    for event in written(*pieces):
        grammar.step(event)
    assert grammar.open == {0: "text"}
