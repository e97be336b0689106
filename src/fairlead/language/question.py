"""A question as what is to be found: terms, and how far a text covers them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from fairlead.language import stopwords
from fairlead.language.words import fold, pieces, runs, term

#: Of a longer question, this many characters of its beginning and as many of its end are looked at.
EDGE = 1000

#: More terms and identifiers than this are left unseen.
MAX_TERMS = 64
MAX_LITERALS = 8

_LITERAL = re.compile(r"(?<![\w])[A-Za-z0-9]+(?:[-_./:]{1,3}[A-Za-z0-9]+)+")


class Needle(NamedTuple):
    """A term to look for; ``prefix``: longer terms that begin with it count too."""

    term: str
    prefix: bool = False


class Unit(NamedTuple):
    """A thing asked for: found if any of the needles with the indexes ``any_of`` is.

    ``share``: 1 for a word, 1/n for each of n pieces of an identifier, ½ for a CJK character; what
    is asked for twice counts twice, but never more than 1.
    """

    any_of: tuple[int, ...]
    share: float


class Question(NamedTuple):
    """The needles of a question and the units they make up. Both are empty when the question
    consists of stop words and punctuation alone. ``literals``: identifiers that have to be found in
    one piece to be meant, such as ``last-event-id`` or ``/chat/stream``, folded."""

    needles: tuple[Needle, ...]
    units: tuple[Unit, ...]
    literals: tuple[str, ...] = ()

    def coverage(self, found: Collection[int], weights: Sequence[float]) -> float:
        """How much of what is asked for was found, 0 to 1.

        ``found`` holds the indexes of the needles found, ``weights`` the weight of each needle
        (its rarity, :func:`rarity`).
        """
        total = covered = 0.0
        for unit in self.units:
            # The commonest: pairs that straddle two words exist nowhere and would outweigh all.
            weight = unit.share * min(weights[i] for i in unit.any_of)
            total += weight
            if any(i in found for i in unit.any_of):
                covered += weight
        return covered / total if total else 0.0

    def is_literally_in(self, text: str) -> bool:
        """Whether ``text`` has one of the identifiers asked for; true if none is asked for."""
        folded = text.casefold()
        return not self.literals or any(literal in folded for literal in self.literals)

    def found_in(self, terms: Collection[str]) -> set[int]:
        """The indexes of the needles that are among ``terms``."""
        return {
            i
            for i, needle in enumerate(self.needles)
            if needle.term in terms
            or (needle.prefix and any(t.startswith(needle.term) for t in terms))
        }


def rarity(total: int, having: int) -> float:
    """The weight of a term that ``having`` of ``total`` texts have: more for a rarer one, and most
    for one that none has. Never zero or less."""
    return math.log1p(total / (having + 0.5)) if total else 1.0


def parse(text: str) -> Question:
    """Read a question in natural language; any text is one."""
    if len(text) > 2 * EDGE:
        text = f"{text[:EDGE]}\n{text[-EDGE:]}"
    builder = _Builder()
    literals = dict.fromkeys(match[0].casefold() for match in _LITERAL.finditer(text))
    for run in runs(text):
        piece = text[run.start : run.end]
        if run.cjk:
            start = 0
            for a, b in [*stopwords.chinese_spans(piece), (len(piece), len(piece))]:
                builder.cjk(piece[start:a])
                start = b
        elif fold(piece) not in stopwords.ENGLISH:
            builder.word(piece)
        if len(builder.needles) >= MAX_TERMS:
            break
    return builder.question()._replace(literals=tuple(literals)[:MAX_LITERALS])


class _Builder:
    def __init__(self) -> None:
        self.needles: dict[Needle, int] = {}
        self._units: dict[tuple[int, ...], Unit] = {}

    def word(self, word: str) -> None:
        whole = self._needle(Needle(term(word)))
        parts = [term(word[a:b]) for a, b in pieces(word)]
        if not parts:
            self._unit((whole,), 1.0)
        for part in parts:
            self._unit((whole, self._needle(Needle(part))), 1.0 / len(parts))

    def cjk(self, run: str) -> None:
        folded = [fold(character) for character in run]
        if len(folded) == 1:
            if run not in stopwords.LIGHT:
                self._unit((self._needle(Needle(folded[0], prefix=True)),), 0.5)
            return
        pairs = [self._needle(Needle(folded[i] + folded[i + 1])) for i in range(len(folded) - 1)]
        for i, character in enumerate(run):
            if character not in stopwords.LIGHT:
                self._unit(tuple(dict.fromkeys(pairs[max(i - 1, 0) : i + 1])), 0.5)

    def question(self) -> Question:
        kept = [
            Unit(tuple(i for i in unit.any_of if i < MAX_TERMS), unit.share)
            for unit in self._units.values()
        ]
        return Question(
            tuple(self.needles)[:MAX_TERMS], tuple(unit for unit in kept if unit.any_of)
        )

    def _needle(self, needle: Needle) -> int:
        return self.needles.setdefault(needle, len(self.needles))

    def _unit(self, any_of: tuple[int, ...], share: float) -> None:
        known = self._units.get(any_of)
        self._units[any_of] = Unit(any_of, min(1.0, share + (known.share if known else 0.0)))
