"""The embedded answerer: no model, no network, the documents' own sentences."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable

from fairlead.events.model import Event, Token, Usage
from fairlead.language.words import CJK
from fairlead.policy.tokens import estimate
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import GenerationRequest
from fairlead.providers.quoting import answer

#: How many tokens are written without letting others run, where there is no pace.
FAIR_AFTER = 32

# Every character belongs to exactly one piece: a few of CJK, or a word, each with what follows it.
_PIECE = re.compile(rf"[{CJK}]{{1,2}}[^\w\s\[]*\s*|[^\s{CJK}]+\s*|\s+")


class ExtractiveProvider:
    """Implements :class:`~fairlead.ports.provider.Provider`.

    Answers the last question of the dialogue (with the one before in mind) with sentences of
    ``request.passages``, each followed by its number as ``[1]``; says that there is no answer, in
    the question's language, if there are no passages. ``clock`` gives the time in milliseconds
    since 1970; ``pace``, in seconds, is waited between tokens, so that a page shows an answer being
    written. Texts that came with the question are quoted, too, followed by their names.
    """

    name = "extractive"
    takes: tuple[str, ...] = ("text/plain", "text/markdown")
    #: Only the question and the passages are read; more of the dialogue is of no use.
    context_tokens = 16_384

    def __init__(self, *, clock: Callable[[], int], pace: float = 0.0) -> None:
        if pace < 0:
            raise ValueError(f"a pace is not negative: {pace}")
        self._clock = clock
        self._pace = pace

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer as ``token`` events in pieces of a word, then ``usage`` (estimated)."""
        asked = [turn.text for turn in request.turns if turn.role == "user"]
        before, question = ["", "", *asked][-2:]
        files = _attached(request)
        marks = [f"({file.title})" for file in files]
        marks += [f"[{number}]" for number in range(1, len(request.passages) + 1)]
        text = answer(question, [*files, *request.passages], before, marks)
        for n, piece in enumerate(pieces(text)):
            if n and (self._pace or n % FAIR_AFTER == 0):
                await asyncio.sleep(self._pace)
            yield Token(self._clock(), piece)
        read = [turn.text for turn in request.turns]
        read += [passage.text for passage in (*files, *request.passages)]
        yield Usage(
            self._clock(),
            input_tokens=sum(estimate(each) for each in read),
            output_tokens=estimate(text),
            estimated=True,
            model=self.name,
        )

    async def close(self) -> None:
        """There is nothing to free."""


def _attached(request: GenerationRequest) -> list[Passage]:
    """The texts attached to the last question, as passages."""
    asked = [turn for turn in request.turns if turn.role == "user"]
    files = asked[-1].attachments if asked else ()
    return [
        Passage(
            id="",
            document="",
            title=file.name or f"attachment {number}",
            address="",
            heading="",
            span=(0, len(file.data)),
            text=file.data.decode(errors="replace"),
        )
        for number, file in enumerate(files, 1)
    ]


def pieces(text: str) -> list[str]:
    """``text`` in pieces of about a word, or two Chinese characters; joined they are the text."""
    return _PIECE.findall(text)
