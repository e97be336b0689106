"""How budgets stand, in headers: ``RateLimit-Policy`` and ``RateLimit``.

Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4: lists of items of RFC 9651, one
for each budget. ``q`` is its limit and ``w`` its window in seconds, ``r`` what remains and ``t``
the seconds until it refills. Of units (``qu``) the draft knows ``requests``; ``tokens`` and
``micro-usd`` (millionths of a currency) are ours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from fairlead.policy.budgets import Budget, Standing

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 30 * 86_400}

#: The headers' names, for pages of other origins (CORS).
NAMES = ("RateLimit-Policy", "RateLimit")


def headers(standings: Sequence[Standing], now: float | None = None) -> dict[str, str]:
    """The headers of a response; none without budgets. ``now``: seconds since 1970."""
    if not standings:
        return {}
    now = time.time() if now is None else now
    return {
        "ratelimit-policy": ", ".join(_policy(each.budget) for each in standings),
        "ratelimit": ", ".join(
            f'"{each.budget.name}";r={each.remaining};t={max(0, math.ceil(each.refills - now))}'
            for each in standings
        ),
    }


def _policy(budget: Budget) -> str:
    unit = f"micro-{budget.currency.lower()}" if budget.unit == "money" else budget.unit
    return f'"{budget.name}";q={budget.limit};qu="{unit}";w={_SECONDS[budget.per]}'
