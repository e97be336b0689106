"""Custom tools as functions with one argument, and their input read back while it comes."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dialects import custom_tool


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


def read(parts: list[str]) -> str:
    reading, text = custom_tool.Reading(), ""
    for part in parts:
        reading, more = custom_tool.read(reading, part)
        text += more
    return text + custom_tool.rest(reading)


@given(text=st.text(), cuts=st.lists(st.integers(0, 500)), ascii=st.booleans(), wide=st.booleans())
def test_an_input_is_read_back_however_it_is_cut(
    text: str, cuts: list[int], ascii: bool, wide: bool
) -> None:
    made = json.dumps({"input": text}, ensure_ascii=ascii, indent=2 if wide else None)
    assert read(pieces(made, cuts)) == text
    assert read(pieces(custom_tool.arguments(text), cuts)) == text


@given(text=st.text().filter(lambda text: '"input"' not in text), cuts=st.lists(st.integers(0, 99)))
def test_what_is_no_such_argument_is_the_input_itself(text: str, cuts: list[int]) -> None:
    assert read(pieces(text, cuts)) == text


def test_text_comes_as_soon_as_it_can_be_understood() -> None:
    reading, text = custom_tool.read(custom_tool.Reading(), '{"inp')
    assert text == ""
    reading, text = custom_tool.read(reading, 'ut": "a')
    assert text == "a"
    reading, text = custom_tool.read(reading, "b\\ud83d")
    assert text == "b"
    reading, text = custom_tool.read(reading, "\\ude0")
    assert text == ""
    reading, text = custom_tool.read(reading, '0c"')
    assert text == "😀c"
    assert custom_tool.read(reading, "}") == (custom_tool.Reading("after"), "")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('{"input": "\\ud83dx"}', "\ufffdx"),
        ('{"input": "\\ude00"}', "\ufffd"),
        ('{"input": "a\\qb"}', "aqb"),
        ('{"input": "cut', "cut"),
        ('{"input": "cut\\u00', "cut\\u00"),
        ('{"input": 7}', '{"input": 7}'),
        ('{"other": "x"}', '{"other": "x"}'),
    ],
)
def test_what_is_not_quite_json_is_kept_as_far_as_it_is(data: str, text: str) -> None:
    assert read([data]) == text
    assert read(list(data)) == text


def test_a_definition() -> None:
    made = custom_tool.function("run", "Runs code.")
    assert made["function"]["name"] == "run"
    assert made["function"]["description"] == "Runs code."
    assert made["function"]["parameters"]["required"] == ["input"]
