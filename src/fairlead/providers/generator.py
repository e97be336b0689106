"""A program's own asynchronous generator as a provider: bring your own agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fairlead.events.model import Event
from fairlead.events.pieces import Pen, Piece
from fairlead.ports.provider import GenerationRequest

#: Given the question, yields the answer: text, pieces (:mod:`fairlead.events.pieces`), events.
Agent = Callable[[GenerationRequest], AsyncGenerator[Piece, None]]


class GeneratorProvider:
    """Implements :class:`~fairlead.ports.provider.Provider` with an asynchronous generator.

    Stopping the answer closes the generator: its ``finally`` runs, whatever it awaits is cancelled.
    What it raises ends the answer as failed. ``clock`` gives milliseconds since 1970 (UTC).
    """

    def __init__(
        self,
        name: str,
        agent: Agent,
        *,
        clock: Callable[[], int],
        context_tokens: int = 32_768,
    ) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.takes: tuple[str, ...] = ("*/*",)  # the agent makes of them what it can
        self._agent = agent
        self._clock = clock

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """What the agent yields, as events."""
        pen = Pen(self._clock)
        async with aclosing(self._agent(request)) as pieces:
            async for piece in pieces:
                for event in pen.write(piece):
                    yield event
        for event in pen.end():
            yield event

    async def close(self) -> None:
        """There is nothing to free: the agent is the program's."""
