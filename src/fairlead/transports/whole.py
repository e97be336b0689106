"""A whole answer in one response, when it has ended: for those who do not stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol

from starlette.requests import Request

from fairlead.engine.engine import Engine
from fairlead.engine.reader import Reader
from fairlead.errors import Draining, FairleadError
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Error, Event, Unknown
from fairlead.transports.connections import Connections

_TAKE = 256 * 1024


class Sum(Protocol):
    """What a dialect adds events up to. ``error``: the one that it ended with."""

    @property
    def ended(self) -> bool: ...

    @property
    def error(self) -> Error | None: ...

    def add(self, event: Event | Unknown) -> None: ...

    def object(self) -> bytes: ...


class WholeWire:
    """Adds up what a reader reads; its bytes only tell that there was something."""

    transport = "whole"
    mergeable = True
    remembers = True

    def __init__(
        self, stream: str, meta: GenerationMeta, make: Callable[[str, GenerationMeta], Sum]
    ) -> None:
        self.key: Hashable | None = None
        self.sum = make(stream, meta)

    def begin(self, offset: int) -> Sum:
        return self.sum

    def step(self, state: Sum, event: Event | Unknown, position: bytes) -> tuple[Sum, bytes]:
        state.add(event)
        return state, b"."

    def keeps(self, state: Sum) -> bool:
        return False

    def flush(self, state: Sum) -> tuple[Sum, bytes]:
        return state, b""


class Whole:
    """One reader that stays until the answer has ended."""

    def __init__(self, engine: Engine, reader: Reader[WholeWire], connections: Connections) -> None:
        self._engine = engine
        self._reader = reader
        self._connections = connections
        self._woken = asyncio.Event()
        self._over: FairleadError | None = _draining() if connections.draining else None

    async def wait(self, request: Request) -> Sum:
        """What it has added up to. Detaches the reader.

        Raises what ended the reading; :class:`~fairlead.errors.Draining` when the server goes away
        first: the answer, or what there is of it, can still be asked for.
        """
        reader, sum = self._reader, self._reader.wire.sum
        self._connections.add(self)
        reader.notify = self._woken.set
        gone = asyncio.create_task(self._disconnected(request))
        try:
            while not sum.ended:
                if reader.take(_TAKE):
                    continue
                if reader.cold:
                    await reader.fill()
                    continue
                if reader.failure is not None:
                    raise reader.failure
                if reader.ended:
                    break
                if self._over is not None:
                    raise self._over
                await self._woken.wait()
                self._woken.clear()
            return sum
        finally:
            gone.cancel()
            reader.notify = _nothing
            self._connections.remove(self)
            self._engine.detach(reader)

    async def _disconnected(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.abort()

    # -- asked by Connections

    def tick(self) -> None:
        """There is nothing to show that it lives: a byte would be the beginning of the answer."""

    def drain(self) -> None:
        self._end(_draining())

    def abort(self) -> None:
        # Nobody will see it.
        self._end(_draining())

    def _end(self, why: FairleadError) -> None:
        self._over = why
        self._woken.set()


def _draining() -> FairleadError:
    return Draining(
        "the server is restarting before the answer has ended; repeat the request with the same "
        "idempotency key to have it",
        retry_after=1,
    )


def _nothing() -> None:
    pass
