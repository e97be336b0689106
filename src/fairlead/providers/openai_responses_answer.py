"""One answer of an upstream of the Responses dialect while it is being read, and what is known of
it over several connections."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from fairlead.errors import UpstreamProtocol
from fairlead.events.model import Event, Mark, Thinking
from fairlead.ports.pouring import Sink
from fairlead.providers.openai_answer import Answer
from fairlead.providers.openai_errors import BAD_JSON


class Place(msgspec.Struct, frozen=True):
    """What a mark holds: the ``model`` that was asked, how many tokens the prompt has by estimate
    (``input``), whether what the text ``cites`` is its sources, where the ``fold`` stands, and how
    many tokens the model was told to write at ``most`` (0: it was not told)."""

    model: str
    input: int
    cites: bool
    fold: msgspec.Raw
    most: int = 0


#: Where a fold stands that has not begun.
NOWHERE = msgspec.Raw(b"{}")

_place = msgspec.json.Decoder(Place)
_encode = msgspec.json.Encoder().encode


def place_of(mark: Mark) -> Place:
    """What the mark holds. Raises :class:`~fairlead.errors.UpstreamProtocol` if it is not ours."""
    try:
        return _place.decode(mark.place)
    except BAD_JSON:
        raise UpstreamProtocol("where the answer was interrupted cannot be read") from None


def mark_of(upstream: str, place: Place, at: int) -> Mark:
    """The mark that holds it."""
    return Mark(at, upstream, msgspec.Raw(_encode(place)))


class ResponsesAnswer(Answer):
    """Reads one connection, up to the event that ends the response."""

    def _take(self, data: bytes, events: list[Event]) -> bool:
        return super()._take(data, events) or self._fold.finished


class Spout:
    """What an answer is written to over all its connections: knows whether a piece of it has been
    written (``said``), or marks alone (``marked``: the last one)."""

    __slots__ = ("_sink", "marked", "room", "said", "write")

    write: Callable[[Sequence[Event]], bool]

    def __init__(self, sink: Sink) -> None:
        self.said = False
        self.marked: Mark | None = None
        self.room = sink.room
        self.write = self._first
        self._sink = sink

    def close(self) -> None:
        """It is over; no cycle is left behind."""
        self.write = self._sink.write

    def _first(self, events: Sequence[Event]) -> bool:
        for event in events:
            if isinstance(event, Mark):
                self.marked = event if event.upstream else None
            else:
                self.said = True
                self.write = self._sink.write
        return self._sink.write(events)


class Remaining:
    """A sink for what follows the events that were ``seen`` before: those come once more, and are
    passed over."""

    __slots__ = ("_seen", "_sink", "room")

    def __init__(self, sink: Sink, seen: Iterable[Event]) -> None:
        self.room = sink.room
        self._sink = sink
        self._seen = deque(event for event in seen if not isinstance(event, Mark))

    def write(self, events: Sequence[Event]) -> bool:
        """See :class:`~fairlead.ports.pouring.Sink`. Raises
        :class:`~fairlead.errors.UpstreamProtocol` for what is not what was seen."""
        if not self._seen:
            return self._sink.write(events)
        rest: list[Event] = []
        for event in events:
            if not self._seen:
                rest.append(event)
            elif not isinstance(event, Mark) and not _alike(event, self._seen.popleft()):
                raise UpstreamProtocol("the upstream went on with another answer than it had begun")
        return self._sink.write(rest) if rest else True


def _alike(event: Event, before: Event) -> bool:
    """Whether it is the same event, written at another time."""
    if type(event) is not type(before):
        return False
    if isinstance(event, Thinking):
        return True
    for name in ("text", "part", "state", "call_id", "name", "data"):
        if getattr(event, name, None) != getattr(before, name, None):
            return False
    return True
