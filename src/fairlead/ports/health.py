"""The port of health: how the upstreams stand, for metrics and operators."""

from __future__ import annotations

from typing import Protocol

import msgspec

from fairlead.policy.breaker import State


class UpstreamHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream at one moment; no secret is in it.

    ``state``: of its breaker. ``well``: what its health check found last (without one: true).
    ``usable``: whether a question would be sent to it now. ``resumes_in``: seconds until its
    breaker tries again or its pause is over; None: neither. ``in_flight``: answers under way, of
    ``room`` that it is given at once (0: no limit); ``waiting``: questions that wait for it. Since
    the start of the process: questions ``asked``, those that it ``answered`` to the end,
    ``failed``, ``rate_limited`` (429) and ``refused`` (the key); ``last_error``: the code of the
    newest failure (:mod:`fairlead.errors`), and ``failed_at`` its time in seconds since 1970 (UTC);
    0: never.
    """

    name: str
    models: tuple[str, ...]
    state: State
    well: bool
    usable: bool
    resumes_in: float | None
    in_flight: int
    room: int = 0
    waiting: int
    asked: int
    answered: int
    failed: int
    rate_limited: int
    refused: int
    last_error: str
    failed_at: float


class Health(Protocol):
    """Whoever knows how the upstreams stand."""

    def snapshot(self) -> tuple[UpstreamHealth, ...]:
        """All upstreams, in the order of the configuration."""
        ...
