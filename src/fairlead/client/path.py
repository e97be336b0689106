"""What a client knows of the network path to its server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

#: The ways to read an answer: Server-Sent Events, WebSocket, long polling.
Transport = Literal["sse", "websocket", "poll"]

#: Seconds until a transport that did not get through is tried again; each time twice as long.
FIRST_PENALTY = 60.0
LONGEST_PENALTY = 600.0


class Path:
    """Which transports get through. Shared by all answers of a client, so that the second one does
    not stumble where the first one did.

    ``ladder``: the transports in order of preference; the last one is never given up. ``clock``:
    seconds, never going back.
    """

    def __init__(
        self, ladder: Sequence[Transport], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ladder = tuple(ladder)
        self._clock = clock
        self._blocked: dict[Transport, tuple[float, float]] = {}

    def choose(self) -> Transport:
        """The first transport that is not known to be blocked now."""
        now = self._clock()
        for name in self._ladder:
            if self._blocked.get(name, (now, 0))[0] <= now:
                return name
        return self._ladder[-1]

    def has_next(self, name: Transport) -> bool:
        """Whether there is another transport to fall to."""
        return name in self._ladder[:-1]

    def suspects(self, name: Transport) -> bool:
        """Whether the transport did not get through the last time."""
        return name in self._blocked

    def works(self, name: Transport) -> None:
        """Something came over it."""
        self._blocked.pop(name, None)

    def blocks(self, name: Transport) -> None:
        """Nothing came over it. Said by several answers at once, it counts once."""
        now = self._clock()
        until, penalty = self._blocked.get(name, (now, FIRST_PENALTY))
        if until <= now:
            self._blocked[name] = now + penalty, min(2 * penalty, LONGEST_PENALTY)
