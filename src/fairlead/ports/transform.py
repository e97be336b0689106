"""The port of transforms: what stands between those who ask, the model, and those who read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fairlead.events.model import Event
from fairlead.policy.caller import Caller
from fairlead.ports.provider import Turn


class StreamTransform(Protocol):
    """Of one answer. Both may raise :class:`~fairlead.errors.FairleadError`, which ends it."""

    async def write(self, event: Event) -> Sequence[Event]:
        """What is to be written in the place of an event. Some may be held back until later; with
        ``done`` comes all that is left."""
        ...

    async def end(self, at: int) -> Sequence[Event]:
        """What is left when the provider has ended without a ``done``. ``at`` as in events."""
        ...


class Transforms(Protocol):
    """What all prompts and answers pass through."""

    async def prompt(self, turns: tuple[Turn, ...], caller: Caller) -> tuple[Turn, ...]:
        """The dialogue as the model is to have it. Raises
        :class:`~fairlead.errors.FairleadError` to refuse it."""
        ...

    def stream(self, caller: Caller) -> StreamTransform | None:
        """What an answer to the caller passes through; None: nothing. Raises
        :class:`~fairlead.errors.FairleadError`."""
        ...
