"""From a question to passages, over one connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import apsw
import msgspec

from fairlead.knowledge import tokenizer
from fairlead.knowledge.schema import transaction
from fairlead.knowledge.snippet import snippet
from fairlead.language.markdown import prose, readable
from fairlead.language.question import Needle, Question, parse, rarity
from fairlead.language.words import is_chinese
from fairlead.ports.knowledge import Passage

#: A passage that covers less of the question, weighed by rarity, does not bear on it.
MIN_COVERAGE = 0.4

#: Nor does one that is so much worse than the best.
MIN_OF_BEST = 0.5

#: More of one section would say the same again.
MAX_PER_SECTION = 2

#: An identifier's pieces apart (``last``, ``event``, ``id``) are worth this much of the whole.
PIECES_ONLY = 0.7

#: A passage in another language than the question's answers if no other does.
OTHER_LANGUAGE = 0.6

#: How many of the best by bm25 are looked at closely.
CANDIDATES = 40

#: The shares of coverage, by passage and by heading, in the score; the rest is bm25 against the
#: best of the answer.
COVERAGE_SHARE = 0.6
HEADING_SHARE = 0.15

_CANDIDATES = """
SELECT rowid, rank, fairlead_found(terms) FROM terms WHERE terms MATCH ? ORDER BY rank LIMIT ?
"""
_PASSAGE = """
SELECT passage.id, document.id, document.title, document.address, passage.heading,
       passage.first, passage.past, passage.text
FROM passage JOIN document ON document.n = passage.document
"""
_HAVING = "SELECT doc FROM vocabulary WHERE term = ?"
_HAVING_PREFIX = "SELECT sum(doc) FROM vocabulary WHERE term >= ?1 AND term < ?1 || char(0x10ffff)"


def register(connection: apsw.Connection) -> None:
    """Teach a connection the functions that :func:`retrieve` uses."""
    connection.register_fts5_function("fairlead_found", _found)


def retrieve(
    connection: apsw.Connection, question: str, limit: int, before: str = ""
) -> list[Passage]:
    """The passages that bear on ``question``, best first, no more than ``limit``.

    A passage's score lies in 0 to 1. It is 0.6 × how much of the question it covers, weighed by
    the rarity of the words, + 0.15 × how well its heading (or the document's title, if there is
    none) announces it or the question itself stands there, + 0.25 × its bm25 against the best's;
    × 0.7 if the question names an identifier and the passage holds but its pieces; × 0.6 if it is
    in the other language.
    """
    asked = parse(question, before)
    if not asked.needles or limit < 1:
        return []
    with transaction(connection, "DEFERRED"):
        total = connection.execute("SELECT count(*) FROM passage").get
        weights = [rarity(total, _having(connection, needle)) for needle in asked.needles]
        found = [
            (_passage(row), candidate)
            for candidate in _candidates(connection, asked, weights)
            for row in connection.execute(_PASSAGE + "WHERE passage.n = ?", (candidate.n,))
        ]
    ranked = list(_ranked(found, asked, weights, is_chinese(question)))
    ranked.sort(key=lambda pair: -pair[1])
    least = MIN_OF_BEST * ranked[0][1] if ranked else 0.0
    chosen = list(_diverse(pair for pair in ranked if pair[1] >= least))[:limit]
    return [_finished(passage, score, asked, weights) for passage, score in chosen]


def passage(connection: apsw.Connection, id: str, around: int = 0) -> Passage | None:
    """One passage with what surrounds it, or None."""
    for row in connection.execute(_PASSAGE + "WHERE passage.id = ?", (id,)):
        found = _passage(row)
        return _within(connection, found, around) if around else found
    return None


def _within(connection: apsw.Connection, found: Passage, around: int) -> Passage:
    first, past = found.span
    start = max(0, first - around)
    # SQLite counts characters from 1.
    sql = "SELECT substr(text, ?, ?), substr(text, ?, ?) FROM document WHERE id = ?"
    values = (start + 1, first - start, past + 1, around, found.document)
    for before, after in connection.execute(sql, values):
        return msgspec.structs.replace(found, before=before, after=after)
    return found


class _Candidate(NamedTuple):
    """A row of the index: how much of the question its terms cover at most, and its bm25 against
    the best's."""

    n: int
    coverage: float
    rank: float


def _candidates(
    connection: apsw.Connection, asked: Question, weights: list[float]
) -> list[_Candidate]:
    rows = list(connection.execute(_CANDIDATES, (tokenizer.match(asked.needles), CANDIDATES)))
    if not rows:
        return []
    # SQLite's bm25 is negative, the best is the smallest.
    best_rank = min(-1e-12, *(rank for _, rank, _ in rows))
    candidates = []
    for n, rank, found in rows:
        mask = int(found, 16)
        strengths = {i: 1.0 for i in range(len(asked.needles)) if mask >> i & 1}
        coverage = asked.coverage(strengths, weights)
        if coverage >= MIN_COVERAGE:
            candidates.append(_Candidate(n, coverage, rank / best_rank))
    return candidates


def _ranked(
    found: list[tuple[Passage, _Candidate]],
    asked: Question,
    weights: list[float],
    chinese: bool,
) -> Iterator[tuple[Passage, float]]:
    """The passages that bear on the question when looked at closely, with their scores."""
    for passage, candidate in found:
        strengths = asked.strengths(f"{passage.title}\n{passage.heading}\n\n{passage.text}")
        coverage = asked.coverage(strengths, weights)
        if coverage < MIN_COVERAGE:
            continue
        rank = candidate.rank * coverage / candidate.coverage
        heading = asked.titled(passage.heading or passage.title, weights)
        if asked.is_said_in(passage.text):
            heading = 1.0
        score = (
            COVERAGE_SHARE * coverage
            + HEADING_SHARE * heading
            + (1 - COVERAGE_SHARE - HEADING_SHARE) * rank
        )
        if not asked.is_literally_in(f"{passage.heading}\n{passage.text}"):
            score *= PIECES_ONLY
        if is_chinese(prose(passage.text) or passage.title) != chinese:
            score *= OTHER_LANGUAGE
        yield passage, score


def _having(connection: apsw.Connection, needle: Needle) -> int:
    """How many passages have the needle (for a prefix: at most so many)."""
    sql = _HAVING_PREFIX if needle.prefix else _HAVING
    return int(connection.execute(sql, (needle.term,)).get or 0)


def _diverse(passages: Iterable[tuple[Passage, float]]) -> Iterator[tuple[Passage, float]]:
    """Leave out what repeats: a text that was seen, and the third passage of a section."""
    sections: Counter[tuple[str, str]] = Counter()
    texts: set[str] = set()
    for passage, score in passages:
        section = (passage.document, passage.heading)
        if passage.text not in texts and sections[section] < MAX_PER_SECTION:
            texts.add(passage.text)
            sections[section] += 1
            yield passage, score


def _finished(passage: Passage, score: float, asked: Question, weights: list[float]) -> Passage:
    return Passage(
        id=passage.id,
        document=passage.document,
        title=passage.title,
        address=passage.address,
        heading=passage.heading,
        span=passage.span,
        text=passage.text,
        snippet=snippet(readable(passage.text), asked, weights),
        score=round(score, 4),
    )


def _passage(row: tuple[str, str, str, str, str, int, int, str]) -> Passage:
    id, document, title, address, heading, first, past, text = row
    return Passage(
        id=id,
        document=document,
        title=title,
        address=address,
        heading=heading,
        span=(first, past),
        text=text,
    )


def _found(api: apsw.FTS5ExtensionApi, *_: apsw.SQLiteValue) -> str:
    """Which phrases of the query a row holds: bit i, in hexadecimal, is set for the i-th."""
    mask = 0
    for i in range(api.phrase_count):
        if api.phrase_columns(i):
            mask |= 1 << i
    return f"{mask:x}"
