"""How budgets stand, in headers: ``RateLimit-Policy`` and ``RateLimit``.

Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4: lists of items of RFC 9651, one
for each budget. ``q`` is its limit and ``w`` its window in seconds, ``r`` what remains and ``t``
the seconds until it refills. Of units (``qu``) the draft knows ``requests``; ``tokens`` and
``micro-usd`` (millionths of a currency) are ours.

OpenAI's clients know ``x-ratelimit-limit-requests``, ``-remaining-`` and ``-reset-``, and the same
of ``tokens``: they tell of one budget each, that of which the smallest share is left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from fairlead.policy.budgets import Budget, Standing

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 30 * 86_400}

_UNITS = ("requests", "tokens")
#: The headers' names, for pages of other origins (CORS).
NAMES = (
    "RateLimit-Policy",
    "RateLimit",
    *(f"X-RateLimit-{what}-{unit}" for unit in _UNITS for what in ("Limit", "Remaining", "Reset")),
)


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


def vendor_headers(standings: Sequence[Standing], now: float | None = None) -> dict[str, str]:
    """The headers that OpenAI's clients know; none of a unit in which there is no budget."""
    now = time.time() if now is None else now
    made: dict[str, str] = {}
    for unit in _UNITS:
        found = [each for each in standings if each.budget.unit == unit]
        if found:
            least = min(found, key=lambda each: each.remaining / each.budget.limit)
            made |= {
                f"x-ratelimit-limit-{unit}": str(least.budget.limit),
                f"x-ratelimit-remaining-{unit}": str(least.remaining),
                f"x-ratelimit-reset-{unit}": _duration(max(0, math.ceil(least.refills - now))),
            }
    return made


def _duration(seconds: int) -> str:
    """As the vendor writes it, such as ``6m0s``."""
    hours, minutes = seconds // 3600, seconds // 60 % 60
    text = f"{hours}h" if hours else ""
    if hours or minutes:
        text += f"{minutes}m"
    return f"{text}{seconds % 60}s"


def _policy(budget: Budget) -> str:
    unit = f"micro-{budget.currency.lower()}" if budget.unit == "money" else budget.unit
    return f'"{budget.name}";q={budget.limit};qu="{unit}";w={_SECONDS[budget.per]}'
