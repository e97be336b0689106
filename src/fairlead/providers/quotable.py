"""Passages of Markdown taken apart into what can be quoted on its own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from fairlead.language.markdown import plain, uncommented
from fairlead.language.sentences import sentences
from fairlead.language.words import count_cjk, runs

Kind = Literal["sentence", "item", "step", "row", "code"]

#: Longer sentences, items and rows are cut after this many characters, code after this many lines.
MAX_QUOTE = 400
MAX_CODE_LINES = 24

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})\s*([\w+-]*)")
_ITEM = re.compile(r"\s*(?:[-+*]|(\d{1,9}[.)]))\s+")
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*\Z")
_QUOTE = re.compile(r"\A\s{0,3}>\s?")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+")

_POINTS = re.compile(
    r"\A\W*\[[^\[\]]+\]\(|(?:\bsee|:|参?见|阅读)\s*\[[^\[\]]+\]\([^()]*\)[.。）)]*\s*\Z", re.I
)


class Quote(NamedTuple):
    """Something that reads on its own; a ``step``, an item of a numbered list, begins with its
    number. ``leads``: it ends in a colon, and what follows completes it. ``points``: it says where
    to read on."""

    kind: Kind
    text: str
    leads: bool = False
    points: bool = False


def quotes(text: str) -> list[Quote]:
    """What ``text`` holds, in order: sentences, items of lists, rows of tables (as ``first
    cell: heading: cell; …``), code with its fences."""
    return list(_quotes(uncommented(text).split("\n")))


def _quotes(lines: list[str]) -> Iterator[Quote]:
    paragraph: list[str] = []
    i = 0
    while i < len(lines):
        line = _QUOTE.sub("", lines[i])
        fence = _FENCE.match(line)
        if fence or not line.strip() or _ITEM.match(line) or _HEADING.match(line) or _row(line):
            yield from _prose(paragraph)
            paragraph = []
        if fence:
            i, code = _code(lines, i, fence[1], fence[2])
            yield from code
        elif _row(line) and i + 1 < len(lines) and _RULE.match(lines[i + 1]):
            i, rows = _table(lines, i + 2, _cells(line))
            yield from rows
        elif _row(line):
            i, rows = _table(lines, i, [])
            yield from rows
        else:
            if _HEADING.match(line):
                yield from _prose([_HEADING.sub("", line)])
            elif line.strip():
                paragraph.append(line)
            i += 1
    yield from _prose(paragraph)


def _prose(lines: list[str]) -> Iterator[Quote]:
    if not lines:
        return
    item = _ITEM.match(lines[0])
    if item is None:
        raw = "\n".join(lines)
        spans = sentences(raw)
        if len(spans) > 1 and _is_label(plain(raw[slice(*spans[0])])):
            spans[:2] = [(spans[0][0], spans[1][1])]
        for start, end in spans:
            yield from _quote("sentence", raw[start:end])
        return
    raw = "\n".join([lines[0][item.end() :], *lines[1:]])
    if item[1]:
        yield from _quote("step", f"{item[1]} {raw}")
    elif len(plain(raw)) <= MAX_QUOTE:
        yield from _quote("item", raw)
    else:
        for start, end in sentences(raw):
            yield from _quote("item", raw[start:end])


def _is_label(sentence: str) -> bool:
    """Whether a paragraph's first sentence only names its subject: ``Installing.``"""
    return count_cjk(sentence) <= 5 and sum(not run.cjk for run in runs(sentence)) <= 2


def _quote(kind: Kind, raw: str) -> Iterator[Quote]:
    text = " ".join(plain(raw).split())
    if any(character.isalnum() for character in text):
        leads = text.rstrip("*_ ").endswith((":", "："))
        yield Quote(kind, _cut(text), leads, _POINTS.search(raw) is not None)


def _cut(text: str) -> str:
    if len(text) <= MAX_QUOTE:
        return text
    space = text.rfind(" ", MAX_QUOTE // 2, MAX_QUOTE)
    return text[: space if space > 0 else MAX_QUOTE] + " …"


def _code(lines: list[str], i: int, fence: str, language: str) -> tuple[int, list[Quote]]:
    body: list[str] = []
    i += 1
    while i < len(lines) and not (
        lines[i].strip().startswith(fence) and not lines[i].strip().strip(fence[0])
    ):
        body.append(_QUOTE.sub("", lines[i]) if lines[i].lstrip().startswith(">") else lines[i])
        i += 1
    if not any(line.strip() for line in body):
        return i + 1, []
    if len(body) > MAX_CODE_LINES:
        body = [*body[:MAX_CODE_LINES], "…"]
    return i + 1, [Quote("code", "\n".join([fence + language, *body, fence]))]


def _row(line: str) -> bool:
    return line.lstrip().startswith("|")


def _cells(line: str) -> list[str]:
    bare = line.strip().removeprefix("|").removesuffix("|").replace("\\|", "\0")
    return [cell.replace("\0", "|").strip() for cell in bare.split("|")]


def _table(lines: list[str], i: int, head: list[str]) -> tuple[int, list[Quote]]:
    rows: list[Quote] = []
    while i < len(lines) and _row(lines[i]):
        cells = _cells(lines[i])
        wide = len(head) > 2
        named = [
            f"{head[n]}: {cell}" if wide and n and n < len(head) and head[n] else cell
            for n, cell in enumerate(cells)
            if cell
        ]
        rows.extend(_quote("row", ": ".join([*named[:1], "; ".join(named[1:])]).strip(": ")))
        i += 1
    return i, rows
