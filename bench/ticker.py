"""The clock and the text of the *paced* workload, the same for every server that is measured.

One timer serves all streams: each millisecond one group of them is given the next token, so that a
stream speaks ``rate`` times a second and the streams are spread over time as real ones are.
"""

from __future__ import annotations

import asyncio
import time

#: One character that stands in every token and nowhere else on the wire: tokens are counted by it,
#: however they were joined.
MARK = b"~"
#: Digits of the time that follow the mark: microseconds of the system's monotonic clock.
STAMP_DIGITS = 16
_SLOT = 0.001
_FILLER = " lorem ipsum"
#: Characters of one token.
TOKEN_CHARS = 1 + STAMP_DIGITS + 1 + 8 + len(_FILLER)


def token_text(stamp: str, number: int) -> str:
    """The ``number``-th token of a stream, counted from 1; ``stamp`` as the ticker gave it."""
    return f"{stamp}{number:08d}{_FILLER}"


class Ticker:
    """Wakes the streams. ``rate``: tokens a second and stream; 0 is silence."""

    def __init__(self, streams: int, rate: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = 1 / rate if rate else 0.0
        count = max(1, min(round(self._interval / _SLOT), streams))
        self._slots: list[list[asyncio.Future[str]]] = [[] for _ in range(count)]
        self._turn = 0
        self._joined = 0
        self._due = time.monotonic()
        if rate:
            self._loop.call_soon(self._fire)

    def join(self) -> int:
        """The slot of one more stream."""
        self._joined += 1
        return self._joined % len(self._slots)

    def next(self, slot: int) -> asyncio.Future[str]:
        """Done when the slot's streams speak next; the stamp of that moment."""
        # One for each stream: who stops waiting cancels its own only.
        future: asyncio.Future[str] = self._loop.create_future()
        self._slots[slot].append(future)
        return future

    def _fire(self) -> None:
        now = time.monotonic()
        step = self._interval / len(self._slots)
        if now - self._due > self._interval:
            # Too far behind: tokens are dropped rather than sent in a burst, and the rate tells.
            self._due = now
        while self._due <= now:
            self._due += step
            waiting, self._slots[self._turn] = self._slots[self._turn], []
            self._turn = (self._turn + 1) % len(self._slots)
            stamp = f"~{time.monotonic_ns() // 1000:0{STAMP_DIGITS}d} "
            for future in waiting:
                if not future.done():
                    future.set_result(stamp)
        # uvloop counts in milliseconds, and a shorter wait would be none at all.
        self._loop.call_later(max(self._due - now, _SLOT), self._fire)
