"""The FTS5 tokenizer ``fairlead``: the terms of :mod:`fairlead.language.words` with byte offsets.

FTS5 asks for tokens in two situations. Of a document it gets every term. A query consists of
finished terms, each in quotes (see :func:`match`), and a term is not split or stemmed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import apsw

from fairlead.language.question import Needle
from fairlead.language.words import words

NAME = "fairlead"


def register(connection: apsw.Connection) -> None:
    """Make the tokenizer known to a connection; tables that use it cannot be read without."""
    connection.register_fts5_tokenizer(NAME, _make)


def match(needles: Iterable[Needle]) -> str:
    """The FTS5 query that finds rows with any of ``needles``; whatever they hold is data (no word
    holds a NUL, where SQLite would see the query's end).

    There must be at least one needle: FTS5 has no query for nothing.
    """
    return " OR ".join(_quoted(needle) for needle in needles)


def index_terms(utf8: bytes) -> Iterator[tuple[int, int, str]]:
    """Every term of a text in UTF-8 with its first and past-the-last byte."""
    text = utf8.decode()
    if len(text) == len(utf8):
        yield from words(text)
        return
    offsets = [0, *accumulate(_width(character) for character in text)]
    for start, end, term in words(text):
        yield offsets[start], offsets[end], term


def _make(_: apsw.Connection, arguments: Sequence[str]) -> apsw.FTS5Tokenizer:
    if arguments:
        raise ValueError(f"the tokenizer {NAME} takes no arguments")
    # The stub names the class that wraps a registered tokenizer; what is registered is a callable.
    return _tokenize  # type: ignore[return-value]


def _tokenize(utf8: bytes, flags: int, _: str | None) -> Iterable[tuple[int, int, str]]:
    if flags & apsw.FTS5_TOKENIZE_QUERY:
        return [(0, len(utf8), utf8.decode())]
    return index_terms(utf8)


def _quoted(needle: Needle) -> str:
    # FTS5 doubles quotes within a string; no other character means anything in one.
    # https://www.sqlite.org/fts5.html#fts5_strings
    quoted = '"' + needle.term.replace('"', '""') + '"'
    return quoted + " *" if needle.prefix else quoted


def _width(character: str) -> int:
    """The number of bytes of a character in UTF-8."""
    code = ord(character)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
