"""The words of a text as search terms, with their places.

A term is what is compared: NFKC, case folded, marks above and below Latin, Greek and Cyrillic
letters removed, English words stemmed (Snowball English, "Porter 2").

* A run of Chinese, Japanese or Korean characters has no spaces to split at. Each character gives
  one term: itself and its successor (模型 → ``模型``, ``型``), so every two-character word is one
  term, and a single character is found by prefix.
* Identifiers are found by their pieces: ``Last-Event-ID``, ``snake_case`` and ``/chat/stream``
  split at their punctuation; ``StreamingResponse`` and ``sha256`` give the whole and the pieces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from snowballstemmer.english_stemmer import EnglishStemmer

#: Rises whenever the terms of some text change: an index made with another version is rebuilt.
VERSION = 1

#: Characters of scripts written without spaces, as the inside of a regular expression's class:
#: kana, Han with its extensions and iteration marks, Hangul, half-width kana.
CJK = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)

#: Longer words are data (hashes, base64); they are cut, not stemmed.
MAX_TERM = 48

_RUN = re.compile(rf"(?P<cjk>[{CJK}]+)|[^\W_{CJK}](?:[^\W_{CJK}]|[\u0300-\u036f])*")
_OTHER = re.compile(rf"[^\W_{CJK}](?:[^\W_{CJK}]|[\u0300-\u036f])*")
_TOKEN = re.compile(rf"[{CJK}]+|[^\W{CJK}](?:[^\W{CJK}]|[\u0300-\u036f])*")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MARK = re.compile("[\u0300-\u036f]+")


class Word(NamedTuple):
    """A term and the characters ``start`` to ``end`` (past the last) of the text it stands for."""

    start: int
    end: int
    term: str


class Run(NamedTuple):
    """Characters ``start`` to ``end`` that hold no separator: a word, or a run of CJK."""

    start: int
    end: int
    cjk: bool


def runs(text: str) -> Iterator[Run]:
    """The runs of ``text``, in order."""
    for match in _RUN.finditer(text):
        yield Run(match.start(), match.end(), match["cjk"] is not None)


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """What two spellings of one word have in common: width, case and diacritics are gone."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", _MARK.sub("", decomposed))


@lru_cache(maxsize=65536)
def term(word: str) -> str:
    """The term for one word that is not CJK."""
    folded = fold(word)
    if len(folded) > MAX_TERM:
        return folded[:MAX_TERM]
    if len(folded) > 2 and folded.isascii() and folded.isalpha():
        # A stemmer keeps its word in itself, so each call has its own: threads may share this.
        return str(EnglishStemmer().stemWord(folded))
    return folded


@lru_cache(maxsize=65536)
def pieces(word: str) -> tuple[tuple[int, int], ...]:
    """The spans of the parts of a compound such as ``readOnly`` or ``sha256``; empty for others.

    Single letters and digits are left out: they would be found everywhere.
    """
    if not word.isascii() or len(word) > MAX_TERM or word.isdigit():
        return ()
    spans = [match.span() for match in _PIECE.finditer(word)]
    if len(spans) < 2:
        return ()
    return tuple((start, end) for start, end in spans if end - start > 1)


def words(text: str) -> Iterator[Word]:
    """Every term of ``text``; starts never fall, and spans lie within one run."""
    for start, end, cjk in runs(text):
        if cjk:
            folded = [fold(character) for character in text[start:end]]
            for i in range(len(folded) - 1):
                yield Word(start + i, start + i + 2, folded[i] + folded[i + 1])
            yield Word(end - 1, end, folded[-1])
        else:
            word = text[start:end]
            yield Word(start, end, term(word))
            for a, b in pieces(word):
                yield Word(start + a, start + b, term(word[a:b]))


def tokens(text: str) -> set[str]:
    """What ``text`` is written with: runs of CJK, words, and identifiers with their underscores."""
    return set(_TOKEN.findall(text))


_CJK_CHARACTER = re.compile(f"[{CJK}]")


def count_cjk(text: str) -> int:
    """How many characters of ``text`` are CJK."""
    return len(_CJK_CHARACTER.findall(text))


def is_chinese(text: str) -> bool:
    """Whether a text is rather Chinese (or Japanese, Korean) than written with spaces.

    A few Latin names in a Chinese sentence leave it Chinese: a word weighs as one character.
    """
    cjk = count_cjk(text)
    return cjk > 0 and cjk >= len(_OTHER.findall(text))
