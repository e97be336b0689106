"""Places for WebSockets: how many of them one consumer may have open at once, read or idle."""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from fairlead.errors import TooMany


class Places:
    """The places of this process: ``each`` for one consumer (0: no cap), which may change; nobody
    who is in is sent away."""

    def __init__(self, each: int = 0) -> None:
        self.each = each
        self._taken: Counter[str] = Counter()

    def take(self, consumer: str) -> Place:
        """A place, to be left as a context manager. Raises :class:`~fairlead.errors.TooMany`."""
        if self.each and self._taken[consumer] >= self.each:
            raise TooMany(
                f"{self.each} of your WebSockets are open, which is the cap: close one",
                retry_after=5,
            )
        self._taken[consumer] += 1
        return Place(self, consumer)

    def leave(self, consumer: str) -> None:
        """A place of the consumer's is free again."""
        self._taken[consumer] -= 1
        if not self._taken[consumer]:
            del self._taken[consumer]


class Place:
    """The place of one WebSocket."""

    __slots__ = ("_consumer", "_places")

    def __init__(self, places: Places, consumer: str) -> None:
        self._places = places
        self._consumer = consumer

    def move(self, consumer: str) -> None:
        """The WebSocket is another consumer's from now on. Raises :class:`~fairlead.errors.TooMany`
        where that one has no place, and then nothing has changed."""
        if consumer != self._consumer:
            self._places.take(consumer)
            self._places.leave(self._consumer)
            self._consumer = consumer

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._places.leave(self._consumer)
