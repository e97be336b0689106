"""Windows, keys and amounts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.budgets import (
    Budget,
    Budgets,
    Line,
    Per,
    Standing,
    UnknownQuota,
    Unpriced,
    Window,
    keep,
    network,
    window,
    wrong_key,
)
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts, Keep
from fairlead.policy.prices import Price, Prices, shown

NOW = datetime(2026, 11, 20, 13, 45, 30, 500_000, UTC).timestamp()


def at(*when: int) -> int:
    year, month, day, *time = when
    hour, minute, second = (*time, 0, 0, 0)[:3]
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("per", "start", "end"),
    [
        ("second", at(2026, 11, 20, 13, 45, 30), at(2026, 11, 20, 13, 45, 31)),
        ("minute", at(2026, 11, 20, 13, 45), at(2026, 11, 20, 13, 46)),
        ("hour", at(2026, 11, 20, 13), at(2026, 11, 20, 14)),
        ("day", at(2026, 11, 20), at(2026, 11, 21)),
        ("month", at(2026, 11, 1), at(2026, 12, 1)),
    ],
)
def test_windows_are_the_calendars(per: Per, start: int, end: int) -> None:
    assert window(per, NOW) == Window(start, end)


def test_a_year_ends_with_december() -> None:
    assert window("month", at(2026, 12, 31, 23, 59, 59)) == Window(at(2026, 12, 1), at(2027, 1, 1))
    assert window("month", at(2028, 2, 29)) == Window(at(2028, 2, 1), at(2028, 3, 1))


@given(st.sampled_from(["second", "minute", "hour", "day", "month"]), st.floats(0, 4e9))
def test_windows_follow_one_another_without_a_gap(per: Per, now: float) -> None:
    here = window(per, now)
    assert here.start <= now < here.end
    assert window(per, here.end).start == here.end
    assert window(per, here.end - 1) == here


def line(caller: Caller, *keyed_by: str, model: str = "m") -> str:
    (found,) = Budgets([Budget(name="b", limit=1, keyed_by=keyed_by)]).lines(caller, model)
    return found.key


FACTS = Facts(
    address="192.0.2.7",
    headers={"x-tenant": "acme"},
    query={"app": "shop"},
    cookies={"sid": "1234"},
)
ANN = Caller("ann", claims={"org": "rope"}, facts=FACTS)


def test_each_part_of_a_key_tells_callers_apart() -> None:
    others = {
        "consumer": Caller("bob", claims=ANN.claims, facts=FACTS),
        "credential": Caller("ann", credential="key:2", claims=ANN.claims, facts=FACTS),
        "claim:org": Caller("ann", claims={"org": "sail"}, facts=FACTS),
        "address": Caller("ann", claims=ANN.claims, facts=Facts(address="192.0.2.8")),
        "header:X-Tenant": Caller("ann", facts=Facts(headers={"x-tenant": "other"})),
        "query:app": Caller("ann", facts=Facts(query={"app": "other"})),
        "cookie:sid": Caller("ann", facts=Facts(cookies={"sid": "5678"})),
    }
    for part, other in others.items():
        assert line(ANN, part) == line(ANN, part)
        assert line(ANN, part) != line(other, part), part
        assert line(ANN, "consumer", part) != line(other, "consumer", part), part
    assert line(ANN, "model") != line(ANN, "model", model="n")
    assert line(ANN) == line(others["consumer"])


def test_what_a_client_sent_does_not_stand_in_a_key() -> None:
    key = line(ANN, "header:x-tenant", "query:app", "cookie:sid")
    assert not any(sent in key for sent in ("acme", "shop", "1234"))


@given(st.lists(st.text(), min_size=2, max_size=2), st.lists(st.text(), min_size=2, max_size=2))
def test_no_two_callers_share_a_key_by_their_spelling(a: list[str], b: list[str]) -> None:
    one = Caller(a[0], claims={"org": a[1]})
    two = Caller(b[0], claims={"org": b[1]})
    same = line(one, "consumer", "claim:org") == line(two, "consumer", "claim:org")
    assert same == (a == b)


def test_a_key_is_short_whatever_is_sent() -> None:
    long = Caller(
        "c" * 10_000, claims={"org": "o" * 10_000}, facts=Facts(query={"app": "q" * 9999})
    )
    assert len(line(long, "consumer", "claim:org", "query:app", "model", model="m" * 9999)) < 200


def test_an_address_of_ipv6_counts_with_its_network() -> None:
    assert network("2001:db8:1:2:aaaa::1") == network("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert network("2001:db8:1:3::1") != network("2001:db8:1:2::1")
    assert network("::ffff:192.0.2.7") == network("192.0.2.7")
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("") == ""


def test_budgets_say_what_they_ask_of_a_request() -> None:
    keyed = ("consumer", "header:X-Tenant", "query:App", "cookie:sid", "claim:org", "address")
    assert keep([Budget(name="b", limit=1, keyed_by=keyed)]) == Keep(
        headers=frozenset({"x-tenant"}),
        query=frozenset({"App"}),
        cookies=frozenset({"sid"}),
        claims=frozenset({"org", "quota"}),
    )


@pytest.mark.parametrize("item", ["consumers", "header:", "header:a b", "body:x", "", "claim"])
def test_what_is_nothing_to_key_by(item: str) -> None:
    assert "must be consumer" in wrong_key(item)


@pytest.mark.parametrize("item", ["consumer", "header:X-Tenant", "claim:https://a.example/org"])
def test_what_is_something_to_key_by(item: str) -> None:
    assert wrong_key(item) == ""


def test_a_budget_concerns_its_models() -> None:
    budgets = Budgets([Budget(name="b", limit=1, models=("dear",)), Budget(name="c", limit=1)])
    assert [each.budget.name for each in budgets.lines(ANN, "dear")] == ["b", "c"]
    assert [each.budget.name for each in budgets.lines(ANN, "cheap")] == ["c"]


def test_a_quota_concerns_those_who_name_it() -> None:
    budgets = Budgets([Budget(name="all", limit=1), Budget(name="gold", limit=1, quota=True)])

    def names(caller: Caller) -> list[str]:
        return [each.budget.name for each in budgets.lines(caller, "m")]

    assert names(ANN) == ["all"]
    assert names(Caller("ann", credential="key:1", claims={"quota": "gold"})) == ["all", "gold"]
    assert names(Caller("ann", credential="jwt:1", claims={"quota": "x gold"})) == ["all", "gold"]
    # An API key's quotas are the operator's word: a misspelt one is no way round it.
    with pytest.raises(UnknownQuota, match="'glod'"):
        names(Caller("ann", credential="key:1", claims={"quota": "glod"}))
    # What else a token calls so is its issuer's business.
    assert names(Caller("ann", credential="jwt:1", claims={"quota": "100"})) == ["all"]


PRICE = Price(model="dear", currency="USD", input=2_500_000, output=10_000_000, cached=1_250_000)


def test_a_price_is_that_of_a_million() -> None:
    assert PRICE.cost(1_000_000, 0) == 2_500_000
    assert PRICE.cost(0, 1_000_000) == 10_000_000
    assert PRICE.cost(1_000_000, 0, cached_tokens=1_000_000) == 1_250_000
    assert PRICE.cost(1, 0) == 3  # 2.5 millionths, rounded up
    assert shown(PRICE.cost(1_000_000, 0), "USD") == "2.50 USD"
    assert shown(123, "EUR") == "0.000123 EUR"


def test_money_needs_a_price() -> None:
    money = Budget(name="b", limit=1, unit="money", currency="USD")
    with pytest.raises(Unpriced, match="in USD"):
        Budgets([money], Prices([PRICE])).lines(ANN, "cheap")
    every = Price(model="*", currency="USD", input=1, output=1, cached=1)
    prices = Prices([every, PRICE])
    assert Budgets([money], prices).lines(ANN, "cheap")[0].price == every
    assert Budgets([money], prices).lines(ANN, "dear")[0].price == PRICE
    assert prices.first("dear") == PRICE


@given(
    st.sampled_from(["tokens", "requests", "money"]),
    st.integers(0, 10_000),
    st.integers(0, 10_000_000),
    st.integers(0, 5_000_000),
)
def test_an_answer_reaches_as_far_as_an_amount_does(
    unit: str, prompt: int, amount: int, output_price: int
) -> None:
    price = Price(model="m", currency="USD", input=700_000, output=output_price, cached=1)
    budget = Budget(name="b", limit=1, unit=unit)  # type: ignore[arg-type]
    found = Line(budget, "b", price)
    reach = found.reach(prompt, amount)
    if reach >= 0:
        assert found.amount(prompt, reach) <= amount
        if reach < 1 << 40:
            assert found.amount(prompt, reach + 1) > amount
    else:
        assert found.amount(prompt, 0) > amount


def test_a_standing_is_never_below_nothing() -> None:
    budget = Budget(name="b", limit=10)
    assert Standing(budget, 4, 0).remaining == 6
    assert Standing(budget, 14, 0).remaining == 0
    assert budget.stated() == "10 tokens per day"
    money = Budget(name="b", limit=1_500_000, unit="money", currency="USD", per="month")
    assert money.stated() == "1.50 USD per month"
