"""The events that a provider pours, for whoever asks for one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from fairlead.events.model import Event
from fairlead.ports.pouring import Pouring
from fairlead.ports.provider import GenerationRequest


class _Cup:
    """Holds what was written last until it has been taken."""

    def __init__(self) -> None:
        self.events: Sequence[Event] = ()
        #: Something is in it, or nothing more comes.
        self.ready = asyncio.Event()
        self._emptied = asyncio.Event()

    def write(self, events: Sequence[Event]) -> bool:
        self.events = [*self.events, *events]
        self.ready.set()
        return not self.events

    async def room(self) -> None:
        while self.events:
            self._emptied.clear()
            await self._emptied.wait()

    def empty(self) -> None:
        self.events = ()
        self.ready.clear()
        self._emptied.set()


async def poured(provider: Pouring, request: GenerationRequest) -> AsyncGenerator[Event, None]:
    """What ``provider`` pours. It is read no further than what is asked for needs."""
    cup = _Cup()
    pouring = asyncio.create_task(provider.pour(request, cup))
    pouring.add_done_callback(lambda _: cup.ready.set())
    try:
        while True:
            await cup.ready.wait()
            if not cup.events:
                break
            for event in cup.events:
                yield event
            cup.empty()
            if pouring.done():
                break
        await pouring
    finally:
        pouring.cancel()
        await asyncio.wait([pouring])
        if not pouring.cancelled():
            pouring.exception()  # it is known, or of no interest any more
