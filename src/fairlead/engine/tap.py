"""Where the events of a provider come in: counted, changed, written, in this order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fairlead.engine.course import Course
from fairlead.engine.meter import Meter
from fairlead.engine.writer import Writer
from fairlead.events.answer import Answer
from fairlead.events.model import Done, Event, Usage
from fairlead.ports.transform import StreamTransform


class Tap:
    """Takes the events of one generation; implements :class:`~fairlead.ports.pouring.Sink`.

    What can be done at once is; from the first event that something must be awaited for, the rest
    is left to :meth:`room`. ``now`` gives the time of events.
    """

    __slots__ = (
        "_answer",
        "_course",
        "_meter",
        "_now",
        "_rest",
        "_silent",
        "_transform",
        "_writer",
    )

    def __init__(
        self,
        writer: Writer,
        answer: Answer,
        meter: Meter,
        course: Course,
        transform: StreamTransform | None,
        now: Callable[[], int],
    ) -> None:
        self._writer = writer
        self._answer = answer
        self._meter = meter
        self._course = course
        self._transform = transform
        self._now = now
        self._silent = True
        self._rest: Sequence[Event] = ()

    def write(self, events: Sequence[Event]) -> bool:
        if self._transform is not None:
            self._rest = events
            return False
        writer, answer, meter = self._writer, self._answer, self._meter
        try:
            for place, event in enumerate(events):
                kind = type(event)
                if kind is Usage or kind is Done:
                    self._rest = events[place:]
                    return False
                if tokens := meter.add(event):
                    # It is counted again when it is waited for, if it ever is.
                    meter.output -= tokens
                    self._rest = events[place:]
                    return False
                writer.take(event)
                answer.add(event)
        finally:
            writer.send()
        if self._silent:
            self._look()
        return not writer.full

    async def room(self) -> None:
        rest, self._rest = self._rest, ()
        for event in rest:
            await self._take(event)
        if self._writer.full:
            await self._writer.room()

    async def end(self) -> None:
        """The provider has given its last event."""
        if self._transform is not None and not self._writer.ended:
            for shown in await self._transform.end(self._now()):
                self._write(shown)

    async def _take(self, event: Event) -> None:
        if tokens := self._meter.add(event):
            # Before it is shown: nobody sees more than there was a budget for.
            await self._meter.room(tokens)
        if type(event) is Usage:
            event = await self._meter.settle(event)
        elif type(event) is Done:
            # The end is written now: what the provider still has to tidy up holds up nobody who
            # reads.
            event = msgspec.structs.replace(event, at=self._now(), status="completed")
        if self._transform is None:
            self._write(event)
        else:
            # After it was counted: what the provider wrote is charged, shown or not.
            for shown in await self._transform.write(event):
                self._write(shown)
        if self._silent:
            self._look()
        if self._writer.full:
            await self._writer.room()

    def _write(self, event: Event) -> None:
        self._writer.write(event)
        self._answer.add(event)

    def _look(self) -> None:
        if self._meter.output:
            self._silent = False
            self._course.first()
