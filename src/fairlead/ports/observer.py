"""The port of observers: whoever is told how generations go (metrics, traces).

An observer is told of a generation's beginning, of how fast it goes about once a second, and of its
end: never of a single event. Its calls must be quick and may not raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from fairlead.events.answer import Status


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that begins, or waits for its turn, at ``at`` (seconds since 1970, UTC).
    ``model`` and ``provider`` are those that were asked for."""

    stream: str
    consumer: str
    model: str
    provider: str
    conversation: str
    at: float


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a generation went. Times in seconds since 1970, UTC: ``turn_at``, when it might begin its
    work (None: it never came to that), ``first_at``, when it wrote the first token (None: none),
    and ``at``, when it was over.

    ``provider`` and ``model`` are those that answered, among several. ``code`` is that of the error
    that ended it and ``budget`` the budget that did; ``reason`` why it was stopped; each is empty
    where there was none. ``estimated``: its tokens were counted here, the provider stated none.
    """

    begun: Begun
    provider: str
    model: str
    status: Status
    code: str
    reason: str
    budget: str
    turn_at: float | None
    first_at: float | None
    at: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    estimated: bool


class Observer(Protocol):
    """Whoever is told."""

    def begun(self, begun: Begun) -> Mapping[str, str]:
        """It begins, in the context of the request that asks. Headers that its own request to the
        model's server is to carry."""
        ...

    def paced(self, begun: Begun, seconds: float) -> None:
        """So many seconds lay between two of its tokens, on the average of about the last
        second."""
        ...

    def refused(self, code: str, budget: str) -> None:
        """A question was not begun, for want of room or of a budget; ``code`` is the error's."""
        ...

    def exhausted(self, budget: str) -> None:
        """A budget has ended what is no generation: a socket that is passed on."""
        ...

    def ended(self, ended: Ended) -> None:
        """It is over."""
        ...
