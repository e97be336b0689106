"""Where sentences end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.language.sentences import sentences

texts = st.text() | st.text(alphabet="aB. !?。！…`”\n1", max_size=60)


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["One.", "Two!", "Three?"],
        ["Use a proxy, e.g. nginx.", "It works."],
        ["We have tea, coffee, etc.", "The rest is up to you."],
        ["Version 3.11 is fine.", "So is 3.12."],
        ["Dr. J. Smith of the U.S. team agreed.", "Nobody else did."],
        ['He said "stop."', "Then he left."],
        ["Call `create(id, close?) ` first.", "Then append."],
    ],
)
def test_english(expected: list[str]) -> None:
    assert split(" ".join(expected)) == expected


def test_chinese_needs_no_spaces() -> None:
    expected = ["断线后会重连。", "位置不变；", "“继续！”", "好吗？"]
    assert split("".join(expected)) == expected


def test_an_empty_line_ends_a_sentence_and_a_numbered_item_does_not() -> None:
    assert split("A title\n\n1. First item.\n2. Second item.") == [
        "A title",
        "1. First item.",
        "2. Second item.",
    ]


@given(texts)
def test_every_character_that_is_not_white_space_lies_in_one_sentence(text: str) -> None:
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    held = "".join(text[a:b] for a, b in spans)
    assert "".join(held.split()) == "".join(text.split())
    assert all(text[a:b] == text[a:b].strip() for a, b in spans)
