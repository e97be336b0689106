"""Reserve, meter, settle, refund: what becomes of a counter and of a hold on it.

A counter counts what has been taken of a budget in one of its windows: what is charged and what is
held. A hold is what one answer has been given of it in advance. It moves so:

- *granted* in steps, as long as the counter stays within the limit;
- *metered*: so much of it is used, and stays charged whatever happens;
- *settled* at its true amount: the rest is given back, or, where a model's server states more than
  was held, charged in addition;
- *lapsed* when its holder has not been heard of: what was not metered is given back.

Every store of counters moves by these functions, or by the same arithmetic in its own language.
"""

from __future__ import annotations

import msgspec


class Hold(msgspec.Struct, frozen=True, gc=False):
    """``granted`` in all, ``metered`` of that, and until when (seconds since 1970, UTC) its holder
    is taken to live."""

    granted: int
    metered: int
    until: float


NOTHING = Hold(0, 0, 0.0)


def fits(taken: int, limit: int, amount: int) -> bool:
    """Whether ``amount`` more may be handed out. Nothing more always may."""
    return not amount or taken + amount <= limit


def grant(taken: int, hold: Hold, amount: int, metered: int, until: float) -> tuple[int, Hold]:
    """Hand out ``amount``, which fits; ``metered`` of the whole hold is used already."""
    granted = hold.granted + amount
    if metered > granted:
        metered = granted
    if metered < hold.metered:
        metered = hold.metered
    return taken + amount, Hold(granted, metered, until)


def meter(hold: Hold, metered: int, until: float) -> Hold:
    """``metered`` of the whole hold is used. What has been metered is never taken back."""
    return Hold(hold.granted, max(hold.metered, min(metered, hold.granted)), until)


def settle(taken: int, hold: Hold, amount: int) -> int:
    """What is taken when the hold ends at its true ``amount``."""
    return taken + amount - hold.granted


def lapse(taken: int, hold: Hold) -> tuple[int, Hold]:
    """What is taken when the holder is gone, and the hold as it is kept: its holder may be alive
    after all, and will settle."""
    return taken - hold.granted + hold.metered, Hold(hold.metered, hold.metered, hold.until)
