"""A provider that says nothing: for questions that are only to be gone on with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from fairlead.events.model import Event, Usage
from fairlead.ports.provider import GenerationRequest


class SilentProvider:
    """Implements :class:`~fairlead.ports.provider.Provider`. It takes whatever is asked in the
    dialects that it ``speaks``, since nobody is asked. ``clock`` gives milliseconds since 1970
    (UTC)."""

    takes: tuple[str, ...] = ("*/*",)

    def __init__(
        self, name: str, context_tokens: int, speaks: tuple[str, ...], clock: Callable[[], int]
    ) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.speaks = speaks
        self._clock = clock

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """That nothing was used."""
        yield Usage(self._clock())

    async def close(self) -> None:
        """There is nothing to free."""
