"""The port of providers whose work outlives this process.

Such a provider begins the work elsewhere, where it goes on when the connection to it is lost, and
says in a :class:`~fairlead.events.model.Mark` how to find it. A mark is written into the log with
the events before it; so whoever comes to write a stream that has lost its writer can have the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from fairlead.events.model import Event, Mark
from fairlead.ports.pouring import Sink
from fairlead.ports.provider import GenerationRequest


@runtime_checkable
class Resuming(Protocol):
    """What a :class:`~fairlead.ports.provider.Provider` can do besides. One that gives marks only
    lets go of the work where others stop it (when their generator is closed, or cancelled):
    :meth:`forsake` stops it. One that has the model stop at a request's ``most`` tokens says of a
    mark, in a further method ``told``, how many those were."""

    def resumes(self, mark: Mark) -> bool:
        """Whether :meth:`resume` can go on from this mark, which may be another provider's."""
        ...

    async def resume(
        self, request: GenerationRequest, mark: Mark, seen: Sequence[Event], sink: Sink
    ) -> None:
        """Write to ``sink`` what follows ``mark`` and the events ``seen`` after it, and return
        after the last event. Of the request only ``stream`` and ``headers`` are known.

        Raises the upstream errors of :mod:`fairlead.errors`. Cancelling it lets go of the work.
        """
        ...

    async def forsake(self, mark: Mark) -> None:
        """Nobody wants the rest: have the work stopped where it is done. Never raises."""
        ...


def told(provider: Resuming, mark: Mark) -> int:
    """How many tokens the model was told that the answer may have, because a budget had no more; 0:
    it was not told."""
    say: Callable[[Mark], int] | None = getattr(provider, "told", None)
    return 0 if say is None else say(mark)
