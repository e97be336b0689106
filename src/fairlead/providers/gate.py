"""The gate of one upstream: what stands before it, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fairlead.errors import (
    Draining,
    FairleadError,
    Misconfigured,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefusedKey,
    UpstreamRejected,
)
from fairlead.policy.balance import Caps, Obstacle, Standing
from fairlead.policy.breaker import BreakerSettings
from fairlead.ports.health import UpstreamHealth
from fairlead.ports.provider import Provider

#: Seconds that an upstream is left alone after a 429 that does not say how long.
_PAUSE = 1.0


class Gate:
    """One upstream and its state, shared by all models and routes that lead to it.

    ``models``: what it offers. ``clock`` never goes back; ``wall`` gives seconds since 1970 (UTC).
    ``room`` is called when somebody who waits may try again.
    """

    def __init__(
        self,
        provider: Provider,
        models: tuple[str, ...],
        *,
        weight: float = 1.0,
        caps: Caps | None = None,
        breaker: BreakerSettings | None = None,
        max_wait: float = 30.0,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.provider = provider
        self.name = provider.name
        self.models = models
        self.weight = weight
        self.max_wait = max_wait
        self.waiting = 0
        self.room: Callable[[], None] = _nothing
        self._caps = caps or Caps()
        self._breaker = breaker or BreakerSettings()
        self._clock = clock
        self._wall = wall
        self._standing = Standing()
        self._asked = 0
        self._answered = 0
        self._failed = 0
        self._rate_limited = 0
        self._refused = 0
        self._last_error = ""
        self._failed_at = 0.0

    @property
    def in_flight(self) -> int:
        """Answers under way."""
        return self._standing.in_flight

    def obstacle(self) -> Obstacle | None:
        """What stands against asking it now; None: nothing."""
        return self._standing.obstacle(self._caps, self._clock())

    def enter(self) -> Visit:
        """Ask it. Nothing may stand against it; :meth:`Visit.leave` must follow."""
        self._standing, probe = self._standing.asked(self._caps, self._clock())
        self._asked += 1
        return Visit(self, probe)

    def checked(self, error: FairleadError | None) -> bool:
        """What its health check found; whether that is news. One that is well again after its
        breaker had opened is asked again when the breaker's rest is over, not sooner: that it lists
        its models does not mean that it answers."""
        well = error is None
        news = well is not self._standing.well
        self._standing = msgspec.structs.replace(self._standing, well=well)
        if error is not None:
            self._note(error)
        elif news:
            self.room()
        return news

    def health(self) -> UpstreamHealth:
        """How it stands."""
        standing, now = self._standing, self._clock()
        obstacle = self.obstacle()
        until = None if obstacle is None else obstacle.until
        return UpstreamHealth(
            name=self.name,
            models=self.models,
            state=standing.breaker.state,
            well=standing.well,
            usable=obstacle is None,
            resumes_in=None if until is None else round(max(0.0, until - now), 3),
            in_flight=standing.in_flight,
            room=self._caps.concurrent,
            waiting=self.waiting,
            asked=self._asked,
            answered=self._answered,
            failed=self._failed,
            rate_limited=self._rate_limited,
            refused=self._refused,
            last_error=self._last_error,
            failed_at=self._failed_at,
        )

    # -- what a visit tells

    def _answering(self, probe: bool) -> None:
        breaker = self._standing.breaker.answering(probe)
        self._standing = msgspec.structs.replace(self._standing, breaker=breaker)

    def _left(self, probe: bool, outcome: FairleadError | bool | None) -> None:
        standing = self._standing.left()
        breaker, now = standing.breaker, self._clock()
        paused = standing.paused_until
        if isinstance(outcome, UpstreamRateLimited):
            self._rate_limited += 1
            self._note(outcome)
            wait = _PAUSE if outcome.retry_after is None else outcome.retry_after
            paused = max(paused, now + wait)
            breaker = breaker.let_go(probe)
        elif isinstance(outcome, UpstreamRefusedKey):
            self._refused += 1
            self._note(outcome)
            breaker = breaker.tripped(self._breaker, now)
        elif isinstance(outcome, FairleadError) and counts(outcome):
            self._failed += 1
            self._note(outcome)
            breaker = breaker.failed(self._breaker, now, probe)
        elif outcome is True or isinstance(outcome, UpstreamRejected):
            # One that finds fault with the question is well.
            self._answered += outcome is True
            breaker = breaker.succeeded(self._breaker, now, probe)
        else:
            breaker = breaker.let_go(probe)
        self._standing = msgspec.structs.replace(standing, breaker=breaker, paused_until=paused)
        self.room()

    def _note(self, error: FairleadError) -> None:
        self._last_error = error.code
        self._failed_at = self._wall()


class Visit:
    """One question at an upstream."""

    __slots__ = ("_gate", "_left", "_probe")

    def __init__(self, gate: Gate, probe: bool) -> None:
        self._gate = gate
        self._probe = probe
        self._left = False

    def answering(self) -> None:
        """The first piece has come."""
        self._gate._answering(self._probe)

    def leave(self, outcome: FairleadError | bool | None) -> None:
        """It is over: with an error, well (True), or given up before that could be known (None).
        Idempotent."""
        if not self._left:
            self._left = True
            self._gate._left(self._probe, outcome)


def counts(error: FairleadError) -> bool:
    """Whether an error is the upstream's own failure, after which another one may be asked. One
    that finds the request itself wrong would be right elsewhere, too; one that is being closed is
    ours."""
    if isinstance(error, UpstreamRejected | Draining):
        return False
    return isinstance(error, UpstreamError | Misconfigured)


def _nothing() -> None:
    pass
