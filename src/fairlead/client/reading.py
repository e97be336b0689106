"""An answer that is being read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Protocol, overload

from fairlead.client.answers import Answer, Event
from fairlead.client.place import Place
from fairlead.errors import BadRequest


class Verbs(Protocol):
    """What an answer asks of its client."""

    async def stop(self, stream: str) -> Answer: ...

    async def interrupt(
        self,
        stream: str,
        message: str = "",
        *,
        shown: str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Reading: ...


class Reading(AsyncGenerator[Event, None]):
    """The events of an answer, each once and in order, up to ``done`` or ``error``.

    An asynchronous generator with verbs of its own. Closing it detaches; :meth:`stop` and
    :meth:`interrupt` end the answer. Nothing is sent before it is read.
    """

    def __init__(self, events: AsyncGenerator[Event, None], place: Place, client: Verbs) -> None:
        self._events = events
        self._place = place
        self._client = client
        self._next: Event | None = None
        #: The position after the last event that was given; empty before the first.
        self.position = place.position

    @property
    def stream(self) -> str:
        """The stream's id; empty until the server has named it."""
        return self._place.stream

    async def stop(self) -> Answer:
        """Stop the answer, for all its readers. What was written stays, and ``done`` follows."""
        return await self._client.stop(self._named())

    async def interrupt(
        self, message: str = "", *, shown: str | None = None, key: str | None = None, **fields: Any
    ) -> Reading:
        """Stop this answer and ask on, in one act: the next answer. See :meth:`Client.interrupt`.

        ``shown`` is the position up to which the person has seen this answer: by default, that of
        the last event given here. This answer's own events end with its ``done``.
        """
        if shown is None:
            shown = self.position
        return await self._client.interrupt(self._named(), message, shown=shown, key=key, **fields)

    def _named(self) -> str:
        if not self.stream:
            raise BadRequest("this answer has not begun: read its first event before")
        return self.stream

    async def begin(self) -> None:
        """Wait for the first event, which is given when it is asked for."""
        if self._next is None:
            self._next = await anext(self._events, None)

    # -- an asynchronous generator

    async def asend(self, value: None) -> Event:
        event, self._next = self._next, None
        if event is None:
            event = await anext(self._events)
        self.position = event.position or self.position
        return event

    @overload
    async def athrow(
        self,
        typ: type[BaseException],
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Event: ...

    @overload
    async def athrow(
        self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /
    ) -> Event: ...

    async def athrow(self, typ: Any, val: Any = None, tb: Any = None, /) -> Event:
        return await self._events.athrow(typ, val, tb)

    async def aclose(self) -> None:
        """Read no more. The answer goes on without us."""
        self._next = None
        await self._events.aclose()
