"""Counters in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fairlead.policy.holds import NOTHING, Hold, fits, grant, lapse, meter, settle
from fairlead.ports.counters import Claim, Counter, Final, Reserved, Taken, Used


class _Count:
    __slots__ = ("holds", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.holds: dict[str, Hold] = {}


class MemoryCounters:
    """A :class:`~fairlead.ports.counters.Counters` of one process; ``clock``: seconds since
    1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: dict[Counter, _Count] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def reserve(self, holder: str, claims: Sequence[Claim], ttl: float) -> Reserved:
        now = self._clock()
        fit = True
        counts = []
        known = self._counts
        for claim in claims:
            count = known.get(claim.counter)
            if count is None:
                count = known[claim.counter] = _Count()
            # Mostly there is room: that is seen without a call.
            if count.taken + claim.amount > claim.limit:
                if not fits(count.taken, claim.limit, claim.amount):
                    _lapse(count, now)
                    fit = fit and fits(count.taken, claim.limit, claim.amount)
            counts.append(count)
        if fit:
            until = now + ttl
            for count, claim in zip(counts, claims, strict=True):
                holds = count.holds
                count.taken, holds[holder] = grant(
                    count.taken, holds.get(holder, NOTHING), claim.amount, claim.metered, until
                )
        return Reserved(fit, tuple([count.taken for count in counts]))

    async def meter(self, used: Sequence[Used], ttl: float) -> None:
        until = self._clock() + ttl
        for each in used:
            count = self._counts.get(each.counter)
            hold = count.holds.get(each.holder) if count is not None else None
            if count is not None and hold is not None:
                count.holds[each.holder] = meter(hold, each.metered, until)

    async def settle(self, holder: str, finals: Sequence[Final]) -> tuple[int, ...]:
        taken = []
        for final in finals:
            count = self._counts.get(final.counter)
            if count is not None:
                hold = count.holds.pop(holder, None)
                if hold is not None:
                    count.taken = settle(count.taken, hold, final.amount)
            taken.append(count.taken if count is not None else 0)
        return tuple(taken)

    async def taken(self, counters: Sequence[Counter]) -> tuple[int, ...]:
        now = self._clock()
        found = []
        for counter in counters:
            count = self._counts.get(counter)
            if count is not None:
                _lapse(count, now)
            found.append(count.taken if count is not None else 0)
        return tuple(found)

    async def largest(self, name: str, window: int, limit: int) -> list[Taken]:
        found = [
            Taken(counter.key.removeprefix(name).lstrip(" "), count.taken)
            for counter, count in self._counts.items()
            if counter.window == window and counter.key.partition(" ")[0] == name
        ]
        return sorted(found, key=lambda each: (-each.taken, each.whose))[:limit]

    async def sweep(self) -> None:
        now = self._clock()
        for counter in [counter for counter in self._counts if counter.ends <= now]:
            del self._counts[counter]


def _lapse(count: _Count, now: float) -> None:
    for holder, hold in count.holds.items():
        if hold.until <= now:
            count.taken, count.holds[holder] = lapse(count.taken, hold)
