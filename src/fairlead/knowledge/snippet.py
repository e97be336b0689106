"""A few words of a passage around what matched. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.language.question import Question
from fairlead.language.words import words

#: The length of a snippet in characters, without its ellipses.
LENGTH = 180


def snippet(text: str, question: Question, weights: Sequence[float], length: int = LENGTH) -> str:
    """The stretch of ``text`` that holds the most of what is asked for, on one line; ``…`` marks
    where it was cut. ``weights``: one per needle of the question."""
    if len(text) <= length:
        return " ".join(text.split())
    start = _best_start(text, question, weights, length)
    end = min(len(text), start + length)
    start, end = _to_word(text, start), _to_word(text, end)
    body = " ".join(text[start:end].split())
    return ("… " if start > 0 else "") + body + (" …" if end < len(text) else "")


def _best_start(text: str, question: Question, weights: Sequence[float], length: int) -> int:
    """Where a window of ``length`` holds most; a needle counts once per window."""
    exact = {n.term: i for i, n in enumerate(question.needles) if not n.prefix}
    prefixes = [(n.term, i) for i, n in enumerate(question.needles) if n.prefix]
    hits: list[tuple[int, int, int]] = []
    for start, end, term in words(text):
        if term in exact:
            hits.append((start, end, exact[term]))
        hits += [(start, end, i) for prefix, i in prefixes if term.startswith(prefix)]
    best, best_start, first = 0.0, 0, 0
    for last in range(len(hits)):
        while hits[last][1] - hits[first][0] > length and first < last:
            first += 1
        value = sum(weights[i] for i in {hit[2] for hit in hits[first : last + 1]})
        if value > best * 1.0001:
            margin = max(0, length - (hits[last][1] - hits[first][0])) // 3
            best, best_start = value, max(0, hits[first][0] - margin)
    return min(best_start, len(text) - length)


def _to_word(text: str, index: int) -> int:
    """The nearest place at or after ``index``, at most 24 characters on, that is no word's inside;
    CJK may be cut anywhere."""
    for i in range(index, min(index + 24, len(text))):
        if i == 0 or not (_inside(text[i - 1]) and _inside(text[i])):
            return i
    return min(index, len(text))


def _inside(character: str) -> bool:
    return character.isalnum() and ord(character) < 0x2E80
