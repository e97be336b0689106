"""A question as what is to be found: terms, and how far a text covers them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from fairlead.language import markdown, stopwords
from fairlead.language.synonyms import synonyms
from fairlead.language.words import fold, pieces, runs, term, tokens, words

#: Of a longer question, this many characters of its beginning and as many of its end are looked at.
EDGE = 1000

#: More terms and identifiers than this are left unseen.
MAX_TERMS = 64
MAX_LITERALS = 8

#: What a word found as a part of an identifier is worth (``FAIRLEAD_UPSTREAM`` speaks little of
#: Fairlead, ``FastAPI`` not at all of being fast), unless all parts of it are asked for …
PART = 0.35

#: … what one in fenced code is worth, where nothing explains anything …
CODE = 0.5

#: … another form of the word (``comes`` for ``coming``) …
INFLECTED = 0.9

#: … a synonym …
SYNONYM = 0.9

#: … and what was asked before, for a question that leans on it.
BEFORE = 0.5

#: A shorter question is likely to stand in a text by chance.
MIN_PHRASE = 10

_WORD = re.compile(r"\w+")
_LITERAL = re.compile(r"(?<![\w])[A-Za-z0-9]+(?:[-_./:]{1,3}[A-Za-z0-9]+)+")
_LEANING = re.compile(
    r"""
    \A\W*(?:and|but|or|so|then|what\ about|how\ about|what\ if)\b
    | \b(?:it|its|that|this|they|them|those|these|there)\b
    | \A\W*(?:那|还有|另外|但|可是|如果|要是|换成) | [它其]|这[个样些]|那[个样些]
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Needle(NamedTuple):
    """A term to look for; ``prefix``: longer terms that begin with it count too."""

    term: str
    prefix: bool = False


class Unit(NamedTuple):
    """A thing asked for: found if any of the needles with the indexes ``any_of`` is, and a little
    less if one of ``near`` is, which mean the same.

    ``share``: 1 for a word, 1/n for each of n pieces of an identifier, ½ for a CJK character; what
    is asked for twice counts twice, but never more than 1.
    """

    any_of: tuple[int, ...]
    share: float
    near: tuple[int, ...] = ()

    def found(self, strengths: Mapping[int, float]) -> float:
        """How well it was found, 0 to 1."""
        return max(
            *(strengths.get(i, 0.0) for i in self.any_of),
            *(SYNONYM * strengths.get(i, 0.0) for i in self.near),
            0.0,
        )


class Question(NamedTuple):
    """The needles of a question and the units they make up. Both are empty when the question
    consists of stop words and punctuation alone. ``literals``: identifiers that have to be found in
    one piece to be meant, such as ``last-event-id`` or ``/chat/stream``, folded. ``forms``: the
    words as they were written, folded. ``text``: the question itself, without the one before."""

    needles: tuple[Needle, ...]
    units: tuple[Unit, ...]
    literals: tuple[str, ...] = ()
    forms: frozenset[str] = frozenset()
    text: str = ""

    def coverage(self, strengths: Mapping[int, float], weights: Sequence[float]) -> float:
        """How much of what is asked for was found, 0 to 1.

        ``strengths``: how well the needles were found (:meth:`strengths`), ``weights``: the weight
        of each needle (its rarity, :func:`rarity`).
        """
        total = covered = 0.0
        for unit in self.units:
            # The commonest: pairs that straddle two words exist nowhere and would outweigh all.
            weight = unit.share * min(weights[i] for i in (*unit.any_of, *unit.near))
            total += weight
            covered += weight * unit.found(strengths)
        return covered / total if total else 0.0

    def titled(self, heading: str, weights: Sequence[float]) -> float:
        """How well a heading announces what is asked for, 0 to 1: how much of it, and how little
        else."""
        covered = self.coverage(self.strengths(heading), weights)
        announced = _announced(heading)
        if not covered or not announced.units:
            return 0.0
        share = announced.coverage(announced.strengths(self.text), [1.0] * len(announced.needles))
        return covered * (0.25 + 0.75 * share)

    def is_said_in(self, text: str) -> bool:
        """Whether ``text`` has the question itself, word for word: "What is coming" is a heading or
        the beginning of a sentence that is meant."""
        asked = _WORD.findall(self.text.casefold())
        phrase, folded = " ".join(asked), text.casefold()
        if len(phrase) < MIN_PHRASE or not all(word in folded for word in asked):
            return False
        return f" {phrase} " in f" {' '.join(_WORD.findall(folded))} "

    def strengths(self, text: str) -> dict[int, float]:
        """How well ``text``, which is Markdown, holds the needles: their indexes, each with 1, or
        less where it is found in code or as a part of an identifier alone."""
        exact = {needle.term: i for i, needle in enumerate(self.needles) if not needle.prefix}
        prefixes = [(needle.term, i) for i, needle in enumerate(self.needles) if needle.prefix]
        found: dict[int, float] = {}
        for stretch, is_code in markdown.split(text):
            most = CODE if is_code else 1.0
            for token in tokens(stretch):
                for each in _held(token):
                    i = exact.get(each.term)
                    if i is not None:
                        found[i] = max(found.get(i, 0.0), most * self._worth(each, exact))
                    for prefix, j in prefixes:
                        if each.term.startswith(prefix):
                            found[j] = max(found.get(j, 0.0), most)
        if self.literals and self.is_literally_in(text):
            found = dict.fromkeys(found, 1.0)
        return found

    def _worth(self, held: _Held, exact: Mapping[str, int]) -> float:
        if held.of and not all(part in exact for part in held.of):
            return PART
        return INFLECTED if held.term.isascii() and held.form not in self.forms else 1.0

    def is_literally_in(self, text: str) -> bool:
        """Whether ``text`` has one of the identifiers asked for; true if none is asked for."""
        folded = text.casefold()
        return not self.literals or any(literal in folded for literal in self.literals)


def rarity(total: int, having: int) -> float:
    """The weight of a term that ``having`` of ``total`` texts have: more for a rarer one, and most
    for one that none has. Never zero or less."""
    return math.log1p(total / (having + 0.5)) if total else 1.0


def parse(text: str, before: str = "") -> Question:
    """Read a question in natural language; any text is one.

    ``before``, the question asked before, counts for half, and only where this one leans on it: it
    begins with "and" or the like, has a pronoun, or consists of stop words.
    """
    builder = _Builder()
    literals = builder.read(text)
    if before and (_LEANING.search(text[:EDGE]) or not builder.units):
        own = builder.units.copy()
        literals += builder.read(before)
        builder.units = {
            key: own.get(key) or unit._replace(share=BEFORE * unit.share)
            for key, unit in builder.units.items()
        }
    return builder.question()._replace(
        literals=tuple(dict.fromkeys(literals))[:MAX_LITERALS],
        forms=frozenset(builder.forms),
        text=text[: 2 * EDGE],
    )


class _Held(NamedTuple):
    """A term of a token: as it is written, folded, and, if it is but a part of an identifier, all
    the parts of that."""

    term: str
    form: str
    of: tuple[str, ...]


@lru_cache(maxsize=65536)
def _held(token: str) -> tuple[_Held, ...]:
    bare = token.strip("_")
    found = list(words(bare))
    parts = [word for word in found if (word.start, word.end) != (0, len(bare))]
    is_identifier = bare.isascii() and parts
    of = tuple(word.term for word in parts) if is_identifier else ()
    return tuple(
        _Held(word.term, fold(bare[word.start : word.end]), of if word in parts else ())
        for word in found
    )


@lru_cache(maxsize=4096)
def _announced(heading: str) -> Question:
    return parse(heading)


class _Builder:
    def __init__(self) -> None:
        self.forms: set[str] = set()
        self.needles: dict[Needle, int] = {}
        self.units: dict[tuple[int, ...], Unit] = {}

    def read(self, text: str) -> list[str]:
        """Add what ``text`` asks for; the identifiers in it, folded."""
        if len(text) > 2 * EDGE:
            text = f"{text[:EDGE]}\n{text[-EDGE:]}"
        for run in runs(text):
            piece = text[run.start : run.end]
            if run.cjk:
                start = 0
                for a, b in [*stopwords.chinese_spans(piece), (len(piece), len(piece))]:
                    self.cjk(piece[start:a])
                    start = b
            elif fold(piece) not in stopwords.ENGLISH:
                self.word(piece)
            if len(self.needles) >= MAX_TERMS:
                break
        return [match[0].casefold() for match in _LITERAL.finditer(text)]

    def word(self, word: str) -> None:
        self.forms.add(fold(word))
        whole = self._needle(Needle(term(word)))
        parts = [term(word[a:b]) for a, b in pieces(word)]
        if not parts:
            self._unit((whole,), 1.0, self._near(term(word)))
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
                two = range(max(i - 1, 0), min(i + 1, len(pairs)))
                near = [n for j in two for n in self._near(folded[j] + folded[j + 1])]
                self._unit(tuple(dict.fromkeys(pairs[j] for j in two)), 0.5, tuple(near))

    def question(self) -> Question:
        kept = [
            Unit(_within(unit.any_of), unit.share, _within(unit.near))
            for unit in self.units.values()
        ]
        return Question(
            tuple(self.needles)[:MAX_TERMS], tuple(unit for unit in kept if unit.any_of)
        )

    def _needle(self, needle: Needle) -> int:
        return self.needles.setdefault(needle, len(self.needles))

    def _near(self, term: str) -> tuple[int, ...]:
        return tuple(self._needle(Needle(other)) for other in synonyms(term))

    def _unit(self, any_of: tuple[int, ...], share: float, near: tuple[int, ...] = ()) -> None:
        known = self.units.get(any_of)
        self.units[any_of] = Unit(any_of, min(1.0, share + (known.share if known else 0.0)), near)


def _within(indexes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i in indexes if i < MAX_TERMS)
