"""Positions as values and as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import BadPosition
from fairlead.journal.position import (
    MAX_TEXT,
    SUFFIX_LENGTH,
    Epoch,
    Position,
    parse_epoch,
    parse_position,
)
from fairlead.primitives import ALPHABET

suffixes = st.text(ALPHABET, min_size=SUFFIX_LENGTH, max_size=SUFFIX_LENGTH)
epochs = st.builds(Epoch, st.integers(1, 10**12), suffixes)
near = st.integers(0, 40) | st.integers(0, 2**63)
positions = st.builds(Position, epochs, near, near)


@given(positions)
def test_text_gives_the_position_back(position: Position) -> None:
    text = str(position)
    assert parse_position(text) == position
    assert len(text) <= MAX_TEXT
    assert set(text) <= set(ALPHABET + "-")


@given(epochs)
def test_text_gives_the_epoch_back(epoch: Epoch) -> None:
    assert parse_epoch(str(epoch)) == epoch


@given(positions, positions)
def test_text_sorts_as_positions_do(a: Position, b: Position) -> None:
    assert (str(a) < str(b)) == (a < b)


@given(positions, near, near)
def test_text_sorts_within_one_epoch(a: Position, offset: int, step: int) -> None:
    b = Position(a.epoch, offset, step)
    assert (str(a) < str(b)) == (a < b)


@given(st.text(max_size=120) | st.text(ALPHABET + "-", max_size=40))
def test_only_what_is_written_parses(text: str) -> None:
    """One text for each position: whatever parses is what is written again."""
    try:
        position = parse_position(text)
    except BadPosition:
        return
    assert str(position) == text


@given(positions, st.data())
def test_a_damaged_text_is_refused_or_another_position(
    position: Position, data: st.DataObject
) -> None:
    text = str(position)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    try:
        other = parse_position(damaged)
    except BadPosition:
        return
    assert (other == position) == (damaged == text)
    assert str(other) == damaged


@pytest.mark.parametrize(
    "text",
    ["", "-", "0", "11", "11aaaaaa", "11aaaaaa-", "11aaaaaa-0-", "11aaaaaa-0-0", "0aaaaaa-0",
     "11aaaaaa-0-11-0", "11aaaaa-0", "11AAAAAA-0", "11aaaaaa-10", "11aaaaaa-0 ", " 11aaaaaa-0",
     "11aaaaaa-٣", "1" * 100, "z" * 10_000],
)  # fmt: skip
def test_garbage(text: str) -> None:
    with pytest.raises(BadPosition) as raised:
        parse_position(text)
    assert len(raised.value.message) < 300


@pytest.mark.parametrize("text", ["", "0aaaaaa", "11aaaaaa-0", "11aaaaaaa", "11aaaaa"])
def test_garbage_epochs(text: str) -> None:
    with pytest.raises(BadPosition):
        parse_epoch(text)


def test_an_example() -> None:
    assert str(Position(Epoch(1, "k3f9az"), 40)) == "11k3f9az-218"
