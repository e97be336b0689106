"""The clock and the text of the *paced* workload, the same for every server that is measured.

One timer serves all streams: each millisecond one group of them is given the next token, so that a
stream speaks ``rate`` times a second and the streams are spread over time as real ones are. A
stream whose server is late finds several tokens waiting, as it would in the socket of a model
server: the load stays what it is, however slow the server.
"""

from __future__ import annotations

import asyncio
import time

#: Stands in every token and nowhere else on the wire: tokens are counted by it, however they were
#: joined. Two characters, since any one byte may also be part of a length in some wire.
MARK = b"~0"
#: Digits of the time that follow the mark: microseconds of the system's monotonic clock.
STAMP_DIGITS = 15
_SLOT = 0.001
_FILLER = " lorem ipsum"
#: Characters of one token.
TOKEN_CHARS = len(MARK) + STAMP_DIGITS + 1 + 8 + len(_FILLER)
#: Tokens that wait for a stream at most; those before them are dropped, and the rate tells.
_WAITING = 100


def token_text(stamp: str, number: int) -> str:
    """The ``number``-th token of a stream, counted from 1; ``stamp`` as the ticker gave it."""
    return f"{stamp}{number:08d}{_FILLER}"


def stamp_of(due: float) -> str:
    """The stamp of a token that is due at a time of the monotonic clock."""
    return f"{MARK.decode()}{int(due * 1e6):0{STAMP_DIGITS}d} "


class Slot:
    """Streams that speak at the same moments."""

    __slots__ = ("first", "stamps", "waiting")

    def __init__(self) -> None:
        self.first = 0
        self.stamps: list[str] = []
        self.waiting: list[asyncio.Future[None]] = []


class Voice:
    """When one stream speaks."""

    __slots__ = ("_loop", "_next", "_slot")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._next = slot.first + len(slot.stamps)
        self._loop = asyncio.get_running_loop()

    def stamp(self) -> str | None:
        """The stamp of the next token, if it is time for that; else :meth:`wait`."""
        slot = self._slot
        index = max(0, self._next - slot.first)
        if index >= len(slot.stamps):
            return None
        self._next = slot.first + index + 1
        return slot.stamps[index]

    def wait(self) -> asyncio.Future[None]:
        """Done when it is time for the next token."""
        # One for each stream: who stops waiting cancels its own only.
        future: asyncio.Future[None] = self._loop.create_future()
        self._slot.waiting.append(future)
        return future


class Ticker:
    """Wakes the streams, once all have joined. ``rate``: tokens a second and stream; 0: silence."""

    def __init__(self, streams: int, rate: float) -> None:
        self._loop = asyncio.get_running_loop()
        interval = 1 / rate if rate else 0.0
        count = max(1, min(round(interval / _SLOT), streams))
        self._step = interval / count
        self._slots = [Slot() for _ in range(count)]
        self._turn = 0
        self._joined = 0
        self._streams = streams
        self._rate = rate
        self._due = 0.0

    def join(self) -> Voice:
        """One more stream."""
        self._joined += 1
        if self._joined == self._streams and self._rate:
            self._due = time.monotonic()
            self._loop.call_soon(self._fire)
        return Voice(self._slots[self._joined % len(self._slots)])

    def _fire(self) -> None:
        now = time.monotonic()
        while self._due <= now:
            slot = self._slots[self._turn]
            self._turn = (self._turn + 1) % len(self._slots)
            slot.stamps.append(stamp_of(self._due))
            if len(slot.stamps) > _WAITING:
                slot.first += 1
                del slot.stamps[0]
            waiting, slot.waiting = slot.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
            self._due += self._step
        # uvloop counts in milliseconds, and a shorter wait would be none at all.
        self._loop.call_later(max(self._due - now, _SLOT), self._fire)
