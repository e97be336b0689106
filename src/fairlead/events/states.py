"""Which event may follow which: the legal moves of a generation stream, as data.

Everything that decides whether an event is legal lives here. ``MOVES`` gives, for each phase, the
phase that an event of some kind leads to; what is not in the table is illegal. Beside the phase
there are the open parts: a delta must name an open part of its own kind, and a terminal event
closes whatever is open.
"""

from __future__ import annotations

from enum import StrEnum

from fairlead.events.model import (
    MAIN_PART,
    Asked,
    Done,
    Error,
    Event,
    Mark,
    Media,
    Part,
    PartKind,
    Progress,
    Reasoning,
    Relayed,
    Reset,
    Sources,
    Thinking,
    Token,
    Tool,
    Unknown,
    Usage,
)


class Phase(StrEnum):
    """How far a generation stream has come."""

    PREPARING = "preparing"  # nothing of the answer yet
    ANSWERING = "answering"  # pieces of the answer have been written
    ENDED = "ended"  # a terminal event has been written


_P, _A, _E = Phase.PREPARING, Phase.ANSWERING, Phase.ENDED

MOVES: dict[Phase, dict[type[Event], Phase]] = {
    _P: {
        Asked: _P, Mark: _P, Thinking: _P, Sources: _P, Progress: _P, Usage: _P, Reset: _P,
        Part: _A, Token: _A, Reasoning: _A, Tool: _A, Media: _A, Relayed: _A,
        Done: _E, Error: _E,
    },
    _A: {
        Mark: _A, Thinking: _A, Sources: _A, Progress: _A, Usage: _A, Reset: _P,
        Part: _A, Token: _A, Reasoning: _A, Tool: _A, Media: _A, Relayed: _A,
        Done: _E, Error: _E,
    },
    _E: {},
}  # fmt: skip

#: The kind of part that each delta extends.
EXTENDS: dict[type[Event], PartKind] = {
    Token: "text",
    Reasoning: "reasoning",
    Tool: "tool_call",
    Media: "media",
}


class IllegalEvent(ValueError):
    """The event may not stand here; the message says why. A fault of whoever wrote it."""


class Grammar:
    """Follows one stream and refuses what may not stand in it.

    A reset takes back everything written so far: it closes all parts but the main one. ``mark`` is
    the last one that names somebody, if it was not taken back.
    """

    __slots__ = ("mark", "open", "phase")

    def __init__(self) -> None:
        self.phase = Phase.PREPARING
        self.mark: Mark | None = None
        self.open: dict[int, PartKind] = {MAIN_PART: "text"}

    def step(self, event: Event | Unknown) -> None:
        """Take the event in, or raise :class:`IllegalEvent` and stay as before."""
        if type(event) is Token and self.phase is _A and self.open.get(event.part) == "text":
            return  # what the tables say of nearly every event
        if isinstance(event, Unknown):
            if self.phase is _E:
                raise IllegalEvent(f"{event.kind!r} after the end")
            return
        kind = type(event)
        phase = MOVES[self.phase].get(kind)
        if phase is None:
            raise IllegalEvent(f"{kind.__name__} may not stand in phase {self.phase}")
        extends = EXTENDS.get(kind)
        if extends is not None:
            part: int = event.part  # type: ignore[union-attr]  # all that extend a part name it
            if self.open.get(part) != extends:
                raise IllegalEvent(f"{kind.__name__} names part {part}, which is no open one")
        elif isinstance(event, Part):
            self._part(event)
        elif isinstance(event, Reset):
            self.open = {MAIN_PART: "text"}
        elif isinstance(event, Mark):
            self.mark = event if event.upstream else None
        self.phase = phase

    def _part(self, event: Part) -> None:
        if event.state == "open":
            if event.part == MAIN_PART or event.part in self.open:
                raise IllegalEvent(f"part {event.part} is open already")
            self.open[event.part] = event.type
        elif self.open.pop(event.part, None) is None:
            raise IllegalEvent(f"part {event.part} is not open, so it cannot close")
