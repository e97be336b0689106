"""What is known of an answer whose writer has gone, so that it can be gone on with."""

from __future__ import annotations

from typing import NamedTuple

from fairlead.engine.answers import replay
from fairlead.errors import HistoryGone
from fairlead.events.answer import Answer
from fairlead.events.model import Event, Mark, Reasoning, Thinking, Token, Tool, Unknown
from fairlead.events.states import Grammar, IllegalEvent
from fairlead.policy.tokens import estimate_piece
from fairlead.ports.store import Store


class Unfinished(NamedTuple):
    """An answer that its provider can go on with from ``mark``: ``grammar`` and ``answer`` have
    taken in its log, ``seen`` are the provider's events after the mark, and ``output`` are the
    tokens written, by estimate."""

    grammar: Grammar
    answer: Answer
    mark: Mark
    seen: list[Event]
    output: int


async def unfinished(store: Store, stream: str, max_chars: int) -> Unfinished | None:
    """What there is to go on with; None where there is no mark, where retention has removed what
    stands before it, and where a later version has written what cannot be followed here."""
    grammar, answer = Grammar(), Answer(max_chars)
    seen: list[Event] = []
    output = 0

    def add(event: Event | Unknown) -> None:
        nonlocal output
        grammar.step(event)
        answer.add(event)
        if isinstance(event, Mark):
            seen.clear()
        elif isinstance(event, Unknown):
            # Of a later version's provider, perhaps: what it is cannot be compared.
            grammar.mark = None
        elif grammar.mark is not None and not (isinstance(event, Thinking) and event.provider):
            seen.append(event)
        if isinstance(event, Token | Reasoning | Tool):
            output += estimate_piece(event.text)

    try:
        await replay(store, stream, add)
    except (HistoryGone, IllegalEvent):
        return None
    if grammar.mark is None:
        return None
    return Unfinished(grammar, answer, grammar.mark, seen, output)
