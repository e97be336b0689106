"""An answer whose model was told where to stop, because a budget has no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.engine.meter import Meter
from fairlead.events.model import Done, Event, Part, Usage
from fairlead.ports.pouring import Sink

#: What models' servers say of an answer that was as long as it might be.
_LENGTH = frozenset({"length", "max_tokens", "max_output_tokens"})
#: How a question says how long its answer may be, in the words of Chat Completions.
_LONGEST = ("max_completion_tokens", "max_tokens")


def longest(parameters: Mapping[str, Any]) -> int:
    """The tokens that a question lets all its alternatives have; 0: it does not say."""
    said = [value for name in _LONGEST if type(value := parameters.get(name)) is int and value > 0]
    return min(said, default=0) * alternatives(parameters)


def alternatives(parameters: Mapping[str, Any]) -> int:
    """How many answers a question asks for."""
    said = parameters.get("n")
    return said if type(said) is int and said > 0 else 1


class Allowed:
    """Hands the events of an answer on to a ``sink``; implements
    :class:`~fairlead.ports.pouring.Sink`. An end at the ``most`` tokens that the model was told (of
    each alternative) is the budget's, not the model's own: it is raised as
    :class:`~fairlead.errors.BudgetExhausted`, as it is for an answer that is cut."""

    __slots__ = ("_closing", "_meter", "_most", "_sink", "_spent")

    def __init__(self, sink: Sink, meter: Meter, most: int) -> None:
        self._sink = sink
        self._meter = meter
        self._most = most
        #: Parts that have ended for their length: whose limit that was, the usage tells.
        self._closing: list[Event] = []
        self._spent = False

    def write(self, events: Sequence[Event]) -> bool:
        kept: list[Event] = []
        for event in events:
            kind = type(event)
            if kind is Part and event.finish in _LENGTH:  # type: ignore[union-attr]  # it has one
                self._closing.append(event)
                continue
            if kind is Usage and self._closing and self._by_itself(event):  # type: ignore[arg-type]
                kept += self._closing
                self._closing.clear()
            elif kind is Done and self._closing:
                self._spent = True
                break
            kept.append(event)
        written = not kept or self._sink.write(kept)
        return written and not self._spent

    async def room(self) -> None:
        await self._sink.room()
        if self._spent:
            raise await self._meter.spent()

    def _by_itself(self, usage: Usage) -> bool:
        """Whether the model has come to an end before: its context is full, say."""
        return not usage.estimated and 0 < usage.output_tokens < self._most
