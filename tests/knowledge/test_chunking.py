"""Documents cut into passages."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.knowledge.chunking import MAX_TITLE, TARGET, WHOLE, Chunk, Format, chunk

LINES = [
    "# One", "## Two", "### Three ###", "Under", "===", "---", "", "  ", "```python", "```", "~~~",
    "    indented", "| a | b |", "|---|---|", "- item", "1. item", "> quoted", "Some words. More!",
    "中文句子。又一句。", "x" * 700, "字" * 1000, "<!-- -->", "title: x", "...", "a " * 800,
]  # fmt: skip
texts = st.text() | st.lists(st.sampled_from(LINES), max_size=25).map("\n".join)
formats: st.SearchStrategy[Format] = st.sampled_from(["markdown", "text"])


def shown(text: str, format: Format = "markdown") -> list[tuple[str, str]]:
    return [(c.heading, text[c.start : c.end]) for c in chunk(text, format).chunks]


@given(texts, formats)
def test_passages_are_in_order_bounded_and_not_blank(text: str, format: Format) -> None:
    cut = chunk(text, format)
    assert len(cut.title) <= MAX_TITLE
    end = 0
    for piece in cut.chunks:
        assert end <= piece.start < piece.end <= len(text)
        assert text[piece.start : piece.end].strip()
        assert piece.end - piece.start <= WHOLE
        end = piece.end


@given(texts)
def test_plain_text_is_held_wholly(text: str) -> None:
    held = "".join(text[c.start : c.end] for c in chunk(text, "text").chunks)
    assert "".join(held.split()) == "".join(text.split())


@given(texts)
def test_of_markdown_only_headings_and_front_matter_are_left_out(text: str) -> None:
    body = re.sub(r"\A---[ \t]*\n(.*?\n)?(---|\.\.\.)[ \t]*(\n|\Z)", "", text, flags=re.DOTALL)
    offset = len(text) - len(body)
    cut = chunk(text)
    gaps, end = [], offset
    for piece in [*cut.chunks, Chunk(len(text), len(text), "")]:
        gaps.append(text[end : piece.start])
        end = piece.end
    names = " ".join([cut.title, *(piece.heading for piece in cut.chunks)])
    for line in "\n".join(gaps).split("\n"):
        words = re.findall(r"\w{3,}", line)
        if words and not line.lstrip().startswith("#"):
            # A heading that is underlined, and so part of the title or of a path.
            assert words[0] in names


def test_headings_make_the_path() -> None:
    text = (
        "# Guide\n\nIntro.\n\n## Install\n\nRun it.\n\n### Docker\n\nPull it.\n\n## Use\n\nAsk.\n"
    )
    assert chunk(text).title == "Guide"
    assert shown(text) == [
        ("", "Intro."),
        ("Install", "Run it."),
        ("Install › Docker", "Pull it."),
        ("Use", "Ask."),
    ]


def test_underlined_headings_and_marks_in_headings() -> None:
    text = "The `fairlead` *guide*\n=====\n\nOne\n---\nText.\n\n## [Two](http://x.y) ##\nMore.\n"
    assert chunk(text).title == "The fairlead *guide"
    assert shown(text) == [("One", "Text."), ("Two", "More.")]


def test_front_matter_names_the_document_and_is_no_text() -> None:
    text = "---\ntitle: 'A title'\ntags: [a]\n---\n# Heading\n\nText.\n"
    assert chunk(text).title == "A title"
    assert shown(text) == [("Heading", "Text.")]


def test_a_heading_with_nothing_below_it_can_be_found() -> None:
    text = "# Title\n\n## Empty\n\n## Full\n\nText.\n\n## Last\n"
    assert shown(text) == [("Empty", "## Empty"), ("Full", "Text."), ("Last", "## Last")]


def test_a_paragraph_above_a_rule_is_no_heading() -> None:
    paragraph = "Words of a paragraph. " * 20
    assert shown(f"# T\n\n{paragraph}\n---\n\nMore.")[0][1].startswith("Words of a paragraph.")


def test_number_signs_in_code_are_no_headings() -> None:
    text = "# T\n\n```sh\n# comment\nrun\n```\n\n    # indented\n\nEnd.\n"
    assert shown(text) == [("", "```sh\n# comment\nrun\n```\n\n    # indented\n\nEnd.")]


def test_short_paragraphs_share_a_passage_and_long_ones_part_at_sentences() -> None:
    short = "One paragraph.\n\nAnother."
    assert shown(short) == [("", short)]
    sentence = "This sentence is repeated until the paragraph is too long. "
    pieces = shown(sentence * 40)
    assert len(pieces) > 1
    assert all(piece.endswith("too long.") for _, piece in pieces)


@pytest.mark.parametrize("line", ["value = compute(argument)", "| cell | cell |"])
def test_code_and_tables_stay_whole_while_they_fit(line: str) -> None:
    rows = "\n".join([line] * (WHOLE // len(line) - 12))
    block = f"```\n{rows}\n```" if "=" in line else f"| a | b |\n|---|---|\n{rows}"
    assert TARGET < len(block) <= WHOLE
    text = f"Before.\n\n{block}\n\nAfter."
    assert ("", block) in shown(text)
    longer = block.replace(rows, f"{rows}\n{rows}")
    assert all(piece.count(line) > 1 for _, piece in shown(longer))


def test_a_list_is_no_code_however_deep() -> None:
    text = "- one\n\n    - deeper\n\n        more\n\nEnd."
    assert shown(text) == [("", text)]


def test_plain_text_takes_a_short_first_line_for_its_title() -> None:
    assert chunk("Minutes of May\n\nWe met.", "text").title == "Minutes of May"
    assert chunk("Only one line", "text").title == ""
    assert chunk("# no markdown\n\n## here", "text").title == "# no markdown"


def test_nothing_comes_of_nothing() -> None:
    for text in ("", "\n\n", "---\ntitle: x\n---\n"):
        assert chunk(text).chunks == ()
