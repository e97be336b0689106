"""The port of providers that hand their events on the moment they come.

Whoever asks a generator for the next event is woken for each: a task's step, and one of every
generator in between. A provider that reads a socket can do without: where bytes arrive it makes
events of them and pours them into a :class:`Sink`, within the same callback. Its task is there for
the beginning, the end, and for what has to be waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol, runtime_checkable

from fairlead.events.model import Event
from fairlead.ports.provider import GenerationRequest, Provider


class Sink(Protocol):
    """Takes the events of one answer. Used by one task, and the callbacks that it has set up."""

    def write(self, events: Sequence[Event]) -> bool:
        """Take the next events. Never waits. False: something has to be waited for first (the store
        is behind, a budget is asked); then :meth:`room` must be awaited before the next call.

        Raises what ends the answer; nothing may be written any more.
        """
        ...

    async def room(self) -> None:
        """Wait until more can be taken. Raises as :meth:`write`."""
        ...


@runtime_checkable
class Pouring(Protocol):
    """What a :class:`~fairlead.ports.provider.Provider` can do besides."""

    async def pour(self, request: GenerationRequest, sink: Sink) -> None:
        """Write the events that ``generate`` would give to ``sink``, and return after the last one.

        Raises as ``generate`` does, and what the sink raises. Cancelling it stops the work at once;
        nothing is written when it has ended.
        """
        ...


async def pour(provider: Provider, request: GenerationRequest, sink: Sink) -> None:
    """Have the events of an answer written to ``sink``, whichever way the provider gives them."""
    # Asking Python whether it is a Pouring would cost every question some 30 µs.
    pouring: Callable[[GenerationRequest, Sink], Awaitable[None]] | None
    pouring = getattr(provider, "pour", None)
    if pouring is not None:
        await pouring(request, sink)
        return
    async with aclosing(provider.generate(request)) as events:
        async for event in events:
            if not sink.write((event,)):
                await sink.room()
