"""An answer made of the best sentences of some passages. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from fairlead.language.markdown import prose
from fairlead.language.question import Question, parse, rarity
from fairlead.language.words import count_cjk, is_chinese, words
from fairlead.ports.knowledge import Passage
from fairlead.providers.quotable import Quote, quotes

#: An answer has no more quotes than this, counting what completes a quote with it as one …
MAX_QUOTES = 5

#: … and is not added to once it has this many characters.
ENOUGH = 700

#: A quote this much worse than the best adds nothing; the second may be weaker than the others.
MIN_OF_BEST = 0.5
MIN_OF_BEST_SECOND = 0.3

#: Of more passages, or of longer ones, the rest is left unread.
MAX_PASSAGES = 8
MAX_PASSAGE = 6000

#: A quote that begins with what is asked for is likely to say what it is: so many terms count.
OPENING = 4

#: A sentence that defines what a question asks the meaning of is worth this much more.
DEFINES = 0.8

#: What "how do I" asks for is shown by code or a list: a sentence that introduces one gains this …
SHOWS = 1.2

#: … one that tells of the case without it loses this …
WITHOUT = 0.75

#: … and one that only says where to read on loses this.
POINTS = 0.5

#: What code is worth that no chosen sentence introduces: nothing beside a sentence that says
#: anything, unless a command or an example is asked for.
CODE_ALONE = 0.05
CODE_ASKED = 0.8

#: Passages in the other language than the question's are worth this much.
OTHER_LANGUAGE = 0.5

#: So much of what a sentence covers, the next one is taken to speak of, too.
GOES_ON = 0.5

#: How many items of a list complete the sentence that introduces it, or one of its steps.
MAX_ITEMS = 8

NO_ANSWER_ENGLISH = (
    "The documents hold no answer to this question. To add some, run `fairlead ingest PATH`, where "
    "PATH is a file or a folder of Markdown or text; then ask again."
)
NO_ANSWER_CHINESE = (
    "文档中没有这个问题的答案。可以运行 `fairlead ingest PATH` 添加文档"
    "（PATH 是 Markdown 或文本文件，或存放它们的文件夹），然后再问一次。"
)

# They lean on the sentence before them.
_LEANING = re.compile(
    r"(?:it|its|this|that|these|those|they|them|he|she|such)\b|[它这那其此]|因此|所以", re.I
)

_ASKS_MEANING = re.compile(
    r"\A\W*what(?:'s|\s+is|\s+are)\b|\bmean(?:s|ing)?\b|什么是|是什么|什么意思|是指", re.I
)
_ASKS_HOW = re.compile(r"\bhow\s+(?:do|does|can|could|should|to|would)\b|如何|怎[么样]", re.I)
_WITHOUT = re.compile(r"\W*(?:without|unless|if no)\b|没有|不使用", re.I)
_ASKS_CODE = re.compile(
    r"\b(?:command|curl|code|snippet|example|sample|script)s?\b|命令|代码|示例|例子|脚本", re.I
)
_DEFINITION = re.compile(
    r"\W*(?:(?:an?|the)\s+)?(?P<subject>[^.,;:]{1,60}?)\s+(?:is|are|means?)\s+"
    r"(?:an?|the|one|what|that|how|when|where)\b"
    r"|\W*(?P<chinese>[^，。；：]{1,30}?)\s*(?:是指|指的是|就是|是(?!否|不))",
    re.I,
)


def answer(
    question: str,
    passages: Sequence[Passage],
    before: str = "",
    marks: Sequence[str] | None = None,
) -> str:
    """An answer to ``question`` in the passages' own words, each quote followed by its passage's
    mark, by default ``[n]``, where n counts passages from 1; a plain statement that there is none
    if there are no passages.

    ``before`` is the question asked before, which a short one may lean on.
    """
    if not any(passage.text.strip() for passage in passages):
        return NO_ANSWER_CHINESE if is_chinese(question) else NO_ANSWER_ENGLISH
    candidates = _candidates(passages[:MAX_PASSAGES])
    if not candidates:
        return NO_ANSWER_CHINESE if is_chinese(question) else NO_ANSWER_ENGLISH
    asked = parse(question, before)
    chosen = _chosen(_scored(asked, question, candidates, passages))
    marks = marks or [f"[{number}]" for number in range(1, len(passages) + 1)]
    return _written(chosen, candidates, marks)


class _Candidate(NamedTuple):
    """A quote and its place: the passage's number from 0, the quote's number in it from 0, its
    number among all candidates. ``terms``: all it holds; ``opening``: those it begins with."""

    passage: int
    place: int
    number: int
    quote: Quote
    terms: frozenset[str]
    opening: frozenset[str]


def _candidates(passages: Sequence[Passage]) -> list[_Candidate]:
    found: list[_Candidate] = []
    seen: set[str] = set()
    for n, passage in enumerate(passages):
        for place, quote in enumerate(quotes(passage.text[:MAX_PASSAGE])):
            # Titles are shown with the sources; they say nothing here.
            if quote.text not in seen and quote.text not in (passage.title, passage.heading):
                seen.add(quote.text)
                terms = [word.term for word in words(quote.text)]
                opening = frozenset(terms[:OPENING])
                found.append(_Candidate(n, place, len(found), quote, frozenset(terms), opening))
    return found


def _scored(
    asked: Question, question: str, candidates: list[_Candidate], passages: Sequence[Passage]
) -> list[tuple[float, _Candidate]]:
    found = [asked.strengths(candidate.quote.text) for candidate in candidates]
    having = [sum(i in each for each in found) for i in range(len(asked.needles))]
    weights = [rarity(len(candidates), count) for count in having]
    headed = [asked.titled(p.heading or p.title, weights) for p in passages[:MAX_PASSAGES]]
    chinese = is_chinese(question)
    foreign = [is_chinese(prose(p.text) or p.title) != chinese for p in passages[:MAX_PASSAGES]]
    code = CODE_ASKED if _ASKS_CODE.search(question) else CODE_ALONE
    meaning = _ASKS_MEANING.search(question) is not None
    how = _ASKS_HOW.search(question) is not None
    scores: list[float] = []
    before = 0.0  # what the quote before lends to this one
    for candidate, each in zip(candidates, found, strict=True):
        quote = candidate.quote
        coverage = asked.coverage(each, weights)
        heading = headed[candidate.passage]
        lead = 1 / (1 + candidate.place)
        # Under a heading that covers the question, the first sentences are the answer.
        bears = coverage + (before if candidate.place else 0.0) + 0.6 * heading**2 * lead
        if bears:
            bears += 0.1 * heading + 0.05 * lead
            opening = {i: s for i, s in each.items() if asked.needles[i].term in candidate.opening}
            bears += 0.1 * asked.coverage(opening, weights)
            if meaning or quote.kind == "row":
                bears += DEFINES * _defined(asked, quote, weights)
            if asked.is_said_in(quote.text):
                bears += DEFINES
        if not asked.is_literally_in(quote.text):
            bears *= 0.5
        # A sentence that asks is answered by the next one; others are often gone on with.
        is_question = quote.text.rstrip("*_ ").endswith(("?", "？"))
        before = 0.0 if quote.kind in ("row", "item", "code") else GOES_ON * coverage
        form = code if quote.kind == "code" else _form(quote, is_question)
        if how and quote.leads:
            form *= SHOWS
        elif how and _WITHOUT.match(quote.text):
            form *= WITHOUT
        score = bears * form / (1 + 0.1 * candidate.passage)
        scores.append(score * OTHER_LANGUAGE if foreign[candidate.passage] else score)
    if not any(scores):
        # The passages were found by other means than words: their beginnings stand for them.
        scores = [1 / (1 + c.place + c.passage) for c in candidates]
    # An answer speaks one language: the one of its best sentence.
    best = max(range(len(scores)), key=scores.__getitem__)
    language = foreign[candidates[best].passage]
    return [
        (score, candidate)
        for score, candidate in zip(scores, candidates, strict=True)
        if foreign[candidate.passage] == language
    ]


def _defined(asked: Question, quote: Quote, weights: Sequence[float]) -> float:
    """How much of what is asked for the sentence defines ("A position is the place where …"), or
    the row of a table begins with."""
    if quote.kind == "row":
        first, _, rest = quote.text.partition(": ")
        return asked.coverage(asked.strengths(first), weights) ** 2 if rest else 0.0
    match = _DEFINITION.match(quote.text) if quote.kind in ("sentence", "item") else None
    if match is None:
        return 0.0
    return asked.coverage(asked.strengths(match["subject"] or match["chinese"]), weights) ** 2


def _form(quote: Quote, is_question: bool) -> float:
    """How well a quote reads as an answer, whatever it says."""
    if is_question:
        return 0.1
    if quote.points:
        return POINTS
    if quote.kind != "sentence":
        return 1.0
    if len(quote.text) + 2 * count_cjk(quote.text) < 18:
        return 0.5
    if quote.text[-1].isalnum():
        # The title of something, or a line that was cut.
        return 0.6
    return 0.8 if _LEANING.match(quote.text) else 1.0


def _chosen(scored: list[tuple[float, _Candidate]]) -> list[_Candidate]:
    """The best quotes that do not repeat each other; those of a passage together and in its order,
    and first the passage that has the best."""
    best = max(score for score, _ in scored)
    chosen: list[_Candidate] = []
    left = list(scored)
    while left and len(chosen) < MAX_QUOTES:
        if sum(len(candidate.quote.text) for candidate in chosen) >= ENOUGH:
            break
        gains = [
            (score * (1 - 0.8 * _repeats(c, chosen)), -c.number, score, c) for score, c in left
        ]
        gain, _, _, candidate = max(gains)
        least = MIN_OF_BEST_SECOND if len(chosen) < 2 else MIN_OF_BEST
        if chosen and gain < least * best:
            break
        chosen.append(candidate)
        left = [(score, other) for score, other in left if other is not candidate]
    passages = list(dict.fromkeys(candidate.passage for candidate in chosen))
    return sorted(chosen, key=lambda c: (passages.index(c.passage), c.number))


def _repeats(candidate: _Candidate, chosen: list[_Candidate]) -> float:
    """The largest share of the candidate's terms that one chosen quote has, squared: sharing the
    subject is no repetition."""
    if not candidate.terms:
        return 0.0
    shares = [len(candidate.terms & other.terms) / len(candidate.terms) for other in chosen]
    return max(shares, default=0.0) ** 2


def _written(chosen: list[_Candidate], candidates: list[_Candidate], marks: Sequence[str]) -> str:
    text = ""
    before: _Candidate | None = None
    written: set[int] = set()
    for candidate in chosen:
        for part in _completed(candidate, candidates):
            if part.number not in written:
                text += _joint(before, part) + _cited(part, marks[part.passage])
                written.add(part.number)
                before = part
    return text


def _completed(candidate: _Candidate, candidates: list[_Candidate]) -> list[_Candidate]:
    """A quote with what belongs to it: after a colon the code or the list that it introduces,
    before code or an item what introduces it, and with a step of a procedure all its steps."""
    same = [other for other in candidates if other.passage == candidate.passage]
    at = same.index(candidate)
    if candidate.quote.kind == "step":
        first = at
        while first and same[first - 1].quote.kind == "step":
            first -= 1
        return _row_of(same[first:])
    if candidate.quote.kind in ("code", "item"):
        first = at
        while first and same[first - 1].quote.kind == "item":
            first -= 1
        # What an item is one of may turn its meaning: "What does not work yet:".
        introduced = first and same[first - 1].quote.leads
        return [same[first - 1], candidate] if introduced else [candidate]
    if not candidate.quote.leads or at + 1 == len(same):
        return [candidate]
    if same[at + 1].quote.kind in ("item", "step", "row"):
        return [candidate, *_row_of(same[at + 1 :])]
    return [candidate, same[at + 1]]


def _row_of(candidates: list[_Candidate]) -> list[_Candidate]:
    """The items that a list begins with."""
    kind = candidates[0].quote.kind
    return list(takewhile(lambda other: other.quote.kind == kind, candidates[:MAX_ITEMS]))


_LISTED = ("item", "step", "row")


def _joint(before: _Candidate | None, part: _Candidate) -> str:
    """What stands between two quotes: prose runs on within a passage, all else begins anew."""
    kind = part.quote.kind
    mark = "- " if kind in ("item", "row") else ""
    if before is None:
        return mark
    if kind in _LISTED and before.quote.kind == kind and before.passage == part.passage:
        return f"\n{mark}"
    if {kind, before.quote.kind} != {"sentence"} or before.passage != part.passage:
        return f"\n\n{mark}"
    return "" if is_chinese(part.quote.text) else " "


def _cited(part: _Candidate, mark: str) -> str:
    if part.quote.kind == "code":
        return f"{part.quote.text}\n{mark}"
    return part.quote.text + ("" if is_chinese(part.quote.text) else " ") + mark
