"""How budgets stand, in headers."""

from __future__ import annotations

from fairlead.policy.budgets import Budget, Standing
from fairlead.transports import rate_limit

DAILY = Budget(name="daily", limit=1000)
HOURLY = Budget(name="hourly", limit=100, per="hour")
ASKED = Budget(name="asked", limit=60, unit="requests", per="minute")
MONEY = Budget(name="money", limit=5_000_000, unit="money", currency="USD")


def test_the_vendors_headers_tell_of_the_budget_that_has_the_smallest_share_left() -> None:
    standings = [
        Standing(DAILY, 990, 90_000),
        Standing(HOURLY, 10, 3600),
        Standing(ASKED, 61, 60),
        Standing(MONEY, 1, 60),
    ]
    assert rate_limit.vendor_headers(standings, now=0.5) == {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "25h0m0s",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }
    assert {name.lower() for name in rate_limit.NAMES[2:]} == set(
        rate_limit.vendor_headers(standings)
    )


def test_of_a_unit_without_a_budget_nothing_is_said() -> None:
    assert rate_limit.vendor_headers([Standing(MONEY, 1, 60)]) == {}
    assert rate_limit.vendor_headers([Standing(HOURLY, 1, 7)], now=60.0) == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "99",
        "x-ratelimit-reset-tokens": "0s",
    }
