"""The port of counters: what has been taken of each budget, over all processes.

A counter is named by a key and the window it counts; a hold by its holder and a counter. What
becomes of them is said in :mod:`fairlead.policy.holds`. Times are by the store's clock. Each call
is one atomic act, also over several counters and processes; none takes more than its arguments and
a clock, so that each can be one script on a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec


class Counter(msgspec.Struct, frozen=True, gc=False):
    """A counter: ``window`` is when what it counts began, ``ends`` when it will be of no more use
    (seconds since 1970, UTC)."""

    key: str
    window: int
    ends: int


class Claim(msgspec.Struct, frozen=True, gc=False):
    """``amount`` is asked for, of which the counter has room up to ``limit``. ``metered``: so much
    of all that the holder has of the counter, this claim included, is used by now."""

    counter: Counter
    limit: int
    amount: int
    metered: int


class Used(msgspec.Struct, frozen=True, gc=False):
    """``metered`` of all that the holder has of the counter is used by now."""

    holder: str
    counter: Counter
    metered: int


class Final(msgspec.Struct, frozen=True, gc=False):
    """``amount`` is what the holder used of the counter in the end: less than it was granted, or
    more."""

    counter: Counter
    amount: int


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """Whether all claims were ``granted``, and what is now ``taken`` of each counter."""

    granted: bool
    taken: tuple[int, ...]


class Taken(NamedTuple):
    """``taken`` of one of a budget's counters; ``whose`` is what follows the budget's name in the
    counter's key (empty: all share it)."""

    whose: str
    taken: int


class Counters(Protocol):
    """What is taken of budgets. Calls raise :class:`~fairlead.errors.StoreUnavailable`."""

    async def open(self) -> None:
        """Make ready. Idempotent."""
        ...

    async def close(self) -> None:
        """Free everything; the holds stay until they lapse. Idempotent."""
        ...

    async def reserve(self, holder: str, claims: Sequence[Claim], ttl: float) -> Reserved:
        """Hand out all that is claimed, or, if any counter lacks the room, nothing. What is granted
        lapses unless its holder is heard of within ``ttl`` seconds. A counter is named once."""
        ...

    async def meter(self, used: Sequence[Used], ttl: float) -> None:
        """What is used stays charged, and the holds live for ``ttl`` seconds from now. A hold that
        is not there is passed over."""
        ...

    async def settle(self, holder: str, finals: Sequence[Final]) -> tuple[int, ...]:
        """End holds at what was used; what is then taken of each counter. A hold that is not there
        changes nothing, so that the call may be repeated."""
        ...

    async def taken(self, counters: Sequence[Counter]) -> tuple[int, ...]:
        """What is taken of each counter."""
        ...

    async def largest(self, name: str, window: int, limit: int) -> list[Taken]:
        """Of the counters whose keys are ``name``, or begin with it and a blank, those of the
        window that begins then, the most taken first, ``limit`` at most."""
        ...

    async def sweep(self) -> None:
        """Forget counters whose windows are over."""
        ...
