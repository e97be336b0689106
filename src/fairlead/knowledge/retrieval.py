"""From a question to passages, over one connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import apsw

from fairlead.knowledge import tokenizer
from fairlead.knowledge.schema import transaction
from fairlead.knowledge.snippet import snippet
from fairlead.language.question import Needle, Question, parse, rarity
from fairlead.ports.knowledge import Passage

#: A passage that covers less of the question, weighed by rarity, does not bear on it.
MIN_COVERAGE = 0.4

#: Nor does one that is so much worse than the best.
MIN_OF_BEST = 0.5

#: More of one section would say the same again.
MAX_PER_SECTION = 2

#: An identifier's pieces apart (``last``, ``event``, ``id``) are worth this much of the whole.
PIECES_ONLY = 0.7

#: How many of the best by bm25 are looked at closely.
CANDIDATES = 40

#: The share of coverage in the score; the rest is bm25 against the best of the answer.
COVERAGE_SHARE = 0.7

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


def retrieve(connection: apsw.Connection, question: str, limit: int) -> list[Passage]:
    """The passages that bear on ``question``, best first, no more than ``limit``.

    A passage's score lies in 0 to 1: 0.7 × how much of the question it covers, weighed by the
    rarity of the words, + 0.3 × its bm25 against the best's; × 0.7 if the question names an
    identifier and the passage holds but its pieces.
    """
    asked = parse(question)
    if not asked.needles or limit < 1:
        return []
    with transaction(connection, "DEFERRED"):
        total = connection.execute("SELECT count(*) FROM passage").get
        weights = [rarity(total, _having(connection, needle)) for needle in asked.needles]
        scored = _scored(connection, asked, weights)
        passages = [
            _passage(row)
            for candidate in scored
            for row in connection.execute(_PASSAGE + "WHERE passage.n = ?", (candidate.n,))
        ]
    ranked = [
        (p, c.score * (1.0 if asked.is_literally_in(f"{p.heading}\n{p.text}") else PIECES_ONLY))
        for p, c in zip(passages, scored, strict=True)
    ]
    ranked.sort(key=lambda pair: -pair[1])
    chosen = list(_diverse(ranked))[:limit]
    return [_finished(passage, score, asked, weights) for passage, score in chosen]


def passage(connection: apsw.Connection, id: str) -> Passage | None:
    """One passage, or None."""
    for row in connection.execute(_PASSAGE + "WHERE passage.id = ?", (id,)):
        return _passage(row)
    return None


class _Candidate(NamedTuple):
    n: int
    score: float


def _scored(connection: apsw.Connection, asked: Question, weights: list[float]) -> list[_Candidate]:
    rows = list(connection.execute(_CANDIDATES, (tokenizer.match(asked.needles), CANDIDATES)))
    if not rows:
        return []
    # SQLite's bm25 is negative, the best is the smallest.
    best_rank = min(-1e-12, *(rank for _, rank, _ in rows))
    candidates = []
    for n, rank, found in rows:
        mask = int(found, 16)
        indexes = {i for i in range(len(asked.needles)) if mask >> i & 1}
        coverage = asked.coverage(indexes, weights)
        if coverage >= MIN_COVERAGE:
            score = COVERAGE_SHARE * coverage + (1 - COVERAGE_SHARE) * rank / best_rank
            candidates.append(_Candidate(n, score))
    candidates.sort(key=lambda candidate: (-candidate.score, candidate.n))
    return [c for c in candidates if c.score >= MIN_OF_BEST * candidates[0].score]


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
        snippet=snippet(passage.text, asked, weights),
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
