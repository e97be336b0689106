"""A provider that says what a test tells it to, when the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from fairlead.errors import FairleadError
from fairlead.events.model import Event, Token
from fairlead.ports.provider import GenerationRequest


class ScriptedProvider:
    """Each generation waits for :meth:`say`, :meth:`fail` and :meth:`finish`.

    ``requests`` are the requests so far; ``closed`` counts the generations that were closed before
    they finished. What is said goes to the newest generation, or waits for the first one.

    ::

        provider = ScriptedProvider()
        ...                                  # start a generation
        provider.say("Hello", " world")
        provider.finish()
    """

    name = "scripted"
    context_tokens = 8_000
    takes: tuple[str, ...] = ("*/*",)

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self.closed = 0
        self._queue: asyncio.Queue[Event | FairleadError | Exception | None] = asyncio.Queue()
        self._started = asyncio.Event()
        self._closed = asyncio.Event()

    def say(self, *pieces: str | Event) -> None:
        """Have the generation write tokens (or any events)."""
        for piece in pieces:
            self._queue.put_nowait(Token(0, piece) if isinstance(piece, str) else piece)

    def fail(self, error: Exception) -> None:
        """Have the generation fail."""
        self._queue.put_nowait(error)

    def finish(self) -> None:
        """Have the generation end well."""
        self._queue.put_nowait(None)

    async def wait_started(self, count: int = 1) -> GenerationRequest:
        """Wait until ``count`` generations have begun; the newest one's request."""
        while len(self.requests) < count:
            self._started.clear()
            await self._started.wait()
        return self.requests[-1]

    async def wait_closed(self, count: int = 1) -> None:
        """Wait until ``count`` generations were closed before they finished."""
        while self.closed < count:
            self._closed.clear()
            await self._closed.wait()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """What the test says, until it says no more."""
        self.requests.append(request)
        self._started.set()
        finished = False
        try:
            while (said := await self._queue.get()) is not None:
                if isinstance(said, Exception):
                    finished = True
                    raise said
                yield said
            finished = True
        finally:
            if not finished:
                self.closed += 1
                self._closed.set()

    async def close(self) -> None:
        """Nothing to free."""
