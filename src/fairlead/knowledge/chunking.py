"""Cut a document into passages that keep their place. Pure.

Markdown is read line by line: front matter, headings, fenced and indented code, tables, lists and
paragraphs (CommonMark 0.31, the sections named below; nested blocks count as text of their list or
quotation). A passage is a stretch of the document's own text, never rewritten, so that
``text[start:end]`` is what was retrieved and what a reader can be shown in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from fairlead.language.sentences import sentences

#: Rises whenever some document would be cut differently: such documents are read anew.
VERSION = 1

#: A passage is filled up to this many characters; only one block that cannot be cut is longer.
TARGET = 900

#: Code and tables stay whole up to this many characters.
WHOLE = 1800

#: Between the headings of a path.
SEPARATOR = " › "

#: A title in front matter is cut after this many characters.
MAX_TITLE = 200

#: A longer "heading" is text: most often a paragraph with a rule right below it.
MAX_HEADING = 200

Format = Literal["markdown", "text"]


class Chunk(NamedTuple):
    """Characters ``start`` to ``end`` (past the last) of a document, under the path ``heading``
    (without the title; empty at the top)."""

    start: int
    end: int
    heading: str


class Chunked(NamedTuple):
    """A document's title (empty if it states none) and its passages in order."""

    title: str
    chunks: tuple[Chunk, ...]


class _Block(NamedTuple):
    kind: Literal["heading", "code", "table", "text"]
    start: int
    end: int
    level: int = 0
    name: str = ""


def chunk(text: str, format: Format = "markdown") -> Chunked:
    """Cut ``text``, which has no carriage returns, into passages.

    Passages do not overlap and, with headings and front matter, hold every character that is not
    white space. Plain text takes its first line for its title if it is short and stands alone.
    """
    title, begin = _front_matter(text) if format == "markdown" else ("", 0)
    blocks = list(_markdown_blocks(text, begin) if format == "markdown" else _paragraphs(text, 0))
    if not title:
        title = _title(text, blocks, format)
    return Chunked(title[:MAX_TITLE], tuple(_chunks(text, blocks, title)))


# -- blocks ----------------------------------------------------------------------------------------

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)  # 4.5
_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\Z)")  # 4.2
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")  # 4.3
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)[ \t]*\S")  # 4.4
_ITEM = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?:[ \t]|\Z)")  # 5.2
_TABLE_RULE = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\Z")


def _front_matter(text: str) -> tuple[str, int]:
    """The title stated in YAML front matter, and where the document proper begins."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return "", 0
    title = _FRONT_TITLE.search(match[1] or "")
    return (title[1].strip("\"'") if title else ""), match.end()


def _lines(text: str, start: int) -> Iterator[tuple[int, int]]:
    """The spans of the lines from ``start``, without their line feeds."""
    while start < len(text):
        end = text.find("\n", start)
        if end < 0:
            end = len(text)
        yield start, end
        start = end + 1


def _paragraphs(text: str, start: int) -> Iterator[_Block]:
    begin = last = -1
    for a, b in _lines(text, start):
        if not text[a:b].strip():
            if begin >= 0:
                yield _Block("text", begin, last)
            begin = -1
        else:
            begin, last = (a if begin < 0 else begin), b
    if begin >= 0:
        yield _Block("text", begin, last)


def _markdown_blocks(text: str, start: int) -> Iterator[_Block]:
    lines = list(_lines(text, start))
    i = 0
    listed = False  # within a list, where four spaces of indentation are not code
    while i < len(lines):
        a, b = lines[i]
        line = text[a:b]
        if not line.strip():
            i += 1
            continue
        if not line[0].isspace() and not _ITEM.match(line):
            listed = False
        fence = _FENCE.match(line)
        heading = _ATX.match(line) if len(line) <= MAX_HEADING else None
        if fence:
            j = _end_of_fence(text, lines, i, fence[1])
            yield _Block("code", a, lines[j][1])
        elif heading:
            j = i
            yield _Block("heading", a, b, len(heading[1]), _plain(_unclosed(line[heading.end() :])))
        elif not listed and _INDENTED.match(line):
            j = _last(lines, i, lambda s: bool(_INDENTED.match(s)), text)
            yield _Block("code", a, lines[j][1])
        elif _is_table(text, lines, i):
            j = _last(lines, i, lambda s: "|" in s, text)
            yield _Block("table", a, lines[j][1])
        else:
            listed = listed or bool(_ITEM.match(line))
            j, level = _end_of_paragraph(text, lines, i)
            if level and lines[j][1] - a <= MAX_HEADING:
                name = _plain(" ".join(text[a : lines[j - 1][1]].split()))
                yield _Block("heading", a, lines[j][1], level, name)
            else:
                yield _Block("text", a, lines[j][1])
        i = j + 1


def _end_of_fence(text: str, lines: list[tuple[int, int]], i: int, fence: str) -> int:
    for j in range(i + 1, len(lines)):
        a, b = lines[j]
        stripped = text[a:b].strip()
        if len(stripped) >= len(fence) and not stripped.strip(fence[0]):
            return j
    return len(lines) - 1


def _last(lines: list[tuple[int, int]], i: int, holds: Callable[[str], bool], text: str) -> int:
    """The last line of the unbroken row of lines from ``i`` of which ``holds`` is true."""
    while i + 1 < len(lines) and holds(text[slice(*lines[i + 1])]):
        i += 1
    return i


def _is_table(text: str, lines: list[tuple[int, int]], i: int) -> bool:
    """A row with a bar, above a row of dashes with a bar (GFM 4.10)."""
    if i + 1 >= len(lines) or "|" not in text[slice(*lines[i])]:
        return False
    rule = text[slice(*lines[i + 1])]
    return "|" in rule and bool(_TABLE_RULE.match(rule))


def _end_of_paragraph(text: str, lines: list[tuple[int, int]], i: int) -> tuple[int, int]:
    """The last line of the paragraph that begins at line ``i``, and the level of the heading that
    an underline makes of it (0: none)."""
    item = bool(_ITEM.match(text[slice(*lines[i])])) or text[lines[i][0]] in ">|"
    for j in range(i + 1, len(lines)):
        line = text[slice(*lines[j])]
        underline = _SETEXT.match(line)
        if underline and not item:
            return j, 1 if underline[1][0] == "=" else 2
        if not line.strip() or _FENCE.match(line) or _ATX.match(line) or _is_table(text, lines, j):
            return j - 1, 0
    return len(lines) - 1, 0


def _unclosed(heading: str) -> str:
    """The text of a heading without the number signs that may close it (4.2)."""
    text = heading.strip()
    bare = text.rstrip("#")
    return bare if not bare or bare[-1].isspace() else text


_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[[^\[\]]*\])")
_ANCHOR = re.compile(r"<[^<>]*>|\{#[^{}]*\}$")


def _plain(heading: str) -> str:
    """A heading without the marks of links, emphasis and code."""
    text = _ANCHOR.sub("", _LINK.sub(r"\1", heading.strip()))
    return text.replace("`", "").replace("**", "").strip().strip("*_").strip()


def _title(text: str, blocks: list[_Block], format: Format) -> str:
    if format == "markdown":
        headings = [block for block in blocks if block.kind == "heading" and block.name]
        return next((block.name for block in headings if block.level == 1), "")
    if not blocks:
        return ""
    first = text[blocks[0].start : blocks[0].end].strip()
    return first if len(first) <= 80 and "\n" not in first and len(blocks) > 1 else ""


# -- passages --------------------------------------------------------------------------------------


def _chunks(text: str, blocks: list[_Block], title: str) -> Iterator[Chunk]:
    path: list[tuple[int, str]] = []
    pieces: list[tuple[int, int]] = []
    for i, block in enumerate(blocks):
        if block.kind != "heading":
            pieces.extend(_pieces(text, block))
            continue
        yield from _packed(pieces, _path(path, title))
        pieces = []
        while path and path[-1][0] >= block.level:
            path.pop()
        path.append((block.level, block.name))
        following = blocks[i + 1] if i + 1 < len(blocks) else None
        if following is None or (following.kind == "heading" and following.level <= block.level):
            # Nothing stands below it: the heading itself is what there is to find.
            pieces = [_stripped(text, block.start, block.end)]
    yield from _packed(pieces, _path(path, title))


def _path(path: list[tuple[int, str]], title: str) -> str:
    return SEPARATOR.join(name for _, name in path if name and name != title)


def _packed(pieces: list[tuple[int, int]], heading: str) -> Iterator[Chunk]:
    """Join neighbouring pieces as long as they fit; all belong to one section."""
    start = end = -1
    for a, b in pieces:
        if start >= 0 and b - start > TARGET:
            yield Chunk(start, end, heading)
            start = -1
        start, end = (a if start < 0 else start), b
    if start >= 0:
        yield Chunk(start, end, heading)


def _pieces(text: str, block: _Block) -> Iterator[tuple[int, int]]:
    """A block in pieces no longer than allowed, cut where it hurts least."""
    start, end = _stripped(text, block.start, block.end, keep_indent=block.kind == "code")
    if end - start <= (TARGET if block.kind == "text" else WHOLE):
        yield start, end
    elif block.kind == "text":
        for a, b in sentences(text[start:end]):
            yield from _hard(text, start + a, start + b)
    else:
        yield from _rows(text, start, end)


def _rows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for a, b in _lines(text[:end], start):
        if text[a:b].strip():
            yield from _hard(text, *_stripped(text, a, b))


def _hard(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut what has no sentences or rows at white space, or anywhere if there is none."""
    while end - start > TARGET:
        limit = start + TARGET
        cut = max(text.rfind(" ", start + TARGET // 2, limit), text.rfind("\n", start, limit))
        if cut <= start:
            cut = limit
        piece = _stripped(text, start, cut)
        if piece[0] < piece[1]:
            yield piece
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _stripped(text: str, start: int, end: int, keep_indent: bool = False) -> tuple[int, int]:
    while end > start and text[end - 1].isspace():
        end -= 1
    while not keep_indent and start < end and text[start].isspace():
        start += 1
    return start, end
