"""The circuit breaker of an upstream: who fails too often is left alone for a while.

A state machine as a value: each method gives the state after what happened. Time is in seconds of
any clock that never goes back, and is passed in.

::

    closed --(too many failures)--> open --(rest is over, one question)--> half-open
    half-open --(it answers)--> closed      half-open --(it fails)--> open
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Whether questions are sent."""

    CLOSED = "closed"  # all are
    OPEN = "open"  # none is
    HALF_OPEN = "half_open"  # one is on its way, to find out


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """It opens after ``failures`` in a row, or when at least ``share`` of the outcomes of the last
    ``window`` seconds (``least`` of them or more) were failures. Then it rests for ``rest``
    seconds. ``failures`` 0: it never opens."""

    failures: int = 5
    share: float = 0.5
    window: float = 60.0
    least: int = 20
    rest: float = 15.0


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """``in_a_row``: failures since the last success; ``good`` and ``bad``: outcomes since
    ``since``, when their window began; ``until``: when the rest is over."""

    state: State = State.CLOSED
    in_a_row: int = 0
    good: int = 0
    bad: int = 0
    since: float = 0.0
    until: float = 0.0

    def admits(self, now: float) -> bool:
        """Whether a question may be sent."""
        return self.state is State.CLOSED or (self.state is State.OPEN and now >= self.until)

    def asked(self) -> tuple[Breaker, bool]:
        """A question is sent, which it admits; whether that is the probe. Its outcome must be told,
        by one of the methods below."""
        if self.state is State.CLOSED:
            return self, False
        return msgspec.structs.replace(self, state=State.HALF_OPEN), True

    def answering(self, probe: bool) -> Breaker:
        """The first piece of an answer has come: that is all that a probe asks."""
        return Breaker() if probe and self.state is State.HALF_OPEN else self

    def succeeded(self, settings: BreakerSettings, now: float, probe: bool) -> Breaker:
        """An answer ended well."""
        if not self._concerns(probe):
            return self
        if self.state is State.HALF_OPEN:
            return Breaker()
        return msgspec.structs.replace(self._counting(settings, now, good=1), in_a_row=0)

    def failed(self, settings: BreakerSettings, now: float, probe: bool) -> Breaker:
        """The upstream failed."""
        if not self._concerns(probe):
            return self
        counted = self._counting(settings, now, bad=1)
        counted = msgspec.structs.replace(counted, in_a_row=self.in_a_row + 1)
        if not settings.failures:
            return msgspec.structs.replace(counted, state=State.CLOSED)
        outcomes = counted.good + counted.bad
        often = outcomes >= settings.least and counted.bad >= settings.share * outcomes
        if self.state is State.HALF_OPEN or counted.in_a_row >= settings.failures or often:
            return counted.tripped(settings, now)
        return counted

    def tripped(self, settings: BreakerSettings, now: float) -> Breaker:
        """One look was enough (a refused key): open at once."""
        if not settings.failures:
            return msgspec.structs.replace(self, state=State.CLOSED)
        return Breaker(state=State.OPEN, in_a_row=self.in_a_row, until=now + settings.rest)

    def let_go(self, probe: bool) -> Breaker:
        """The question was given up before its outcome was known: another one may find out."""
        if probe and self.state is State.HALF_OPEN:
            return msgspec.structs.replace(self, state=State.OPEN)
        return self

    def _concerns(self, probe: bool) -> bool:
        """Whether an outcome says anything now: while it is not closed, only the probe's does; and
        once closed again, an old probe's is like any other's."""
        return self.state is State.CLOSED or (probe and self.state is State.HALF_OPEN)

    def _counting(
        self, settings: BreakerSettings, now: float, good: int = 0, bad: int = 0
    ) -> Breaker:
        if now - self.since >= settings.window:
            return msgspec.structs.replace(self, since=now, good=good, bad=bad)
        return msgspec.structs.replace(self, good=self.good + good, bad=self.bad + bad)
