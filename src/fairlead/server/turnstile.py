"""The turnstile: however many requests come at once, those who write and read answers have their
turns in between."""

from __future__ import annotations

import asyncio
from collections import deque

#: Requests let in at each turn of the loop: a few milliseconds' work.
_EACH = 8


class Turnstile:
    """Lets requests in, in the order in which they came, a few at each turn of the loop."""

    def __init__(self, each: int = _EACH) -> None:
        self._each = each
        self._let = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter(self) -> asyncio.Future[None] | None:
        """None: come in; else wait for it first."""
        if self._let < self._each and not self._waiting:
            self._let += 1
            if self._let == 1:
                asyncio.get_running_loop().call_soon(self._turn)
            return None
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return waiting

    def _turn(self) -> None:
        """Another turn of the loop."""
        self._let = 0
        while self._waiting and self._let < self._each:
            waiting = self._waiting.popleft()
            if not waiting.done():  # whoever has left waits no more
                waiting.set_result(None)
                self._let += 1
        if self._let:
            asyncio.get_running_loop().call_soon(self._turn)
