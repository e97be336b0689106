"""Which of several upstreams is asked next: order of preference, caps, obstacles. Pure.

All orders come of one number per upstream, a hash of its name and a key (weighted rendezvous
hashing: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005). With a random key
the order is a weighted draw; with the conversation as the key it is the same every time, and an
upstream that comes or goes moves only the conversations that are its own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from fairlead.policy.breaker import Breaker

Strategy = Literal["weighted", "least_loaded", "sticky", "in_order"]
STRATEGIES: tuple[Strategy, ...] = ("weighted", "least_loaded", "sticky", "in_order")


class Candidate(msgspec.Struct, frozen=True):
    """An upstream that offers the model. One of ``weight`` 2 is given twice as much as one of 1."""

    name: str
    weight: float = 1.0


def preferred(
    strategy: Strategy,
    candidates: Iterable[Candidate],
    key: bytes,
    loads: Mapping[str, int] | None = None,
) -> tuple[str, ...]:
    """All candidates' names, the one to ask first in front.

    ``key``: the conversation for ``sticky``, else random bytes. ``loads``: answers under way, for
    ``least_loaded``. ``in_order`` takes them as they are written.
    """
    listed = list(candidates)
    if strategy == "in_order":
        return tuple(candidate.name for candidate in listed)
    if strategy == "least_loaded":
        under_way = loads or {}
        listed.sort(
            key=lambda c: (under_way.get(c.name, 0) / c.weight, -_score(c, key)),
        )
    else:
        listed.sort(key=lambda c: _score(c, key), reverse=True)
    return tuple(candidate.name for candidate in listed)


def _score(candidate: Candidate, key: bytes) -> float:
    digest = hashlib.blake2b(candidate.name.encode(), digest_size=8, key=_short(key)).digest()
    uniform = (int.from_bytes(digest) + 0.5) / 2**64
    return -candidate.weight / math.log(uniform)


def _short(key: bytes) -> bytes:
    """blake2b takes keys of 64 bytes at most."""
    return key if len(key) <= 64 else hashlib.blake2b(key).digest()


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """What an upstream is given at most: ``concurrent`` answers at once, questions ``per_second``
    (as many at once as a second brings, then evenly). 0: no cap."""

    concurrent: int = 0
    per_second: float = 0.0


Hindrance = Literal["unwell", "open", "paused", "full", "rate"]


class Obstacle(msgspec.Struct, frozen=True):
    """Why an upstream cannot be asked now. ``until``: when that is over, where time alone decides.

    ``unwell``: its health check failed. ``open``: its breaker is. ``paused``: it asked for that.
    ``full`` and ``rate``: its caps.
    """

    kind: Hindrance
    until: float | None = None

    @property
    def passing(self) -> bool:
        """Whether waiting for it is worth while."""
        return self.kind in ("paused", "full", "rate")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an upstream stands: its ``breaker``, whether its health check found it ``well``, answers
    ``in_flight``, until when it asked to be left alone, and when the next question would be due at
    the even pace of its cap (``due``; GCRA's theoretical arrival time, ITU-T I.371)."""

    breaker: Breaker = Breaker()
    well: bool = True
    in_flight: int = 0
    paused_until: float = 0.0
    due: float = 0.0

    def obstacle(self, caps: Caps, now: float) -> Obstacle | None:
        """What stands against asking it now; None: nothing."""
        if not self.well:
            return Obstacle("unwell")
        if not self.breaker.admits(now):
            probing = self.breaker.until <= now
            return Obstacle("open", None if probing else self.breaker.until)
        if now < self.paused_until:
            return Obstacle("paused", self.paused_until)
        if caps.concurrent and self.in_flight >= caps.concurrent:
            return Obstacle("full")
        if caps.per_second and (wait := self._ahead(caps, now)) > 0:
            return Obstacle("rate", now + wait)
        return None

    def asked(self, caps: Caps, now: float) -> tuple[Standing, bool]:
        """A question is sent to it; whether that is the breaker's probe."""
        breaker, probe = self.breaker.asked()
        due = max(self.due, now) + 1 / caps.per_second if caps.per_second else 0.0
        return (
            msgspec.structs.replace(self, breaker=breaker, in_flight=self.in_flight + 1, due=due),
            probe,
        )

    def left(self) -> Standing:
        """An answer is over, however it ended."""
        return msgspec.structs.replace(self, in_flight=self.in_flight - 1)

    def _ahead(self, caps: Caps, now: float) -> float:
        """Seconds until one more question is within the rate."""
        at_once = max(caps.per_second, 1.0)
        ahead = self.due + (1 - at_once) / caps.per_second - now
        return ahead if ahead > 1e-9 else 0.0  # sums of fractions are not exact
