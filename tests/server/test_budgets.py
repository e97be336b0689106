"""Budgets by configuration, over HTTP, with the real server's composition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import Misconfigured
from fairlead.server.config import Config
from fairlead.server.metering import budgets_of
from fairlead.server.models import Offer
from fairlead.server.tables.budget import BudgetTable, PriceTable
from fairlead.server.tables.upstream import Upstream

LOCAL = Upstream(name="local", base_url="http://127.0.0.1:9/v1", models=("small", "large"))


def config(*budgets: BudgetTable, prices: tuple[PriceTable, ...] = (), **fields: Any) -> Config:
    return Config(
        data_dir=Path("unused"), budgets=budgets, prices=prices, upstreams=(LOCAL,), **fields
    )


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": "a b"}, "named by 1 to 64"),
        ({"limit": 0}, "whole number of tokens"),
        ({"limit": 1.5}, "whole number of tokens"),
        ({"limit": float("nan")}, "whole number of tokens"),
        ({"limit": float("inf")}, "whole number of tokens"),
        ({"unit": "money", "limit": 1e-9}, "from 0.000001"),
        ({"unit": "money", "currency": "dollars"}, "three capital letters"),
        ({"keyed_by": ("consumer", "hat:x")}, "'hat:x' is nothing to key by"),
        ({"per": "day", "on_exhausted": "slow"}, "nobody waits a day"),
        ({"per": "minute", "unit": "requests", "on_exhausted": "slow"}, "no more requests"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_in_words(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(Misconfigured, match=wrong):
        config(BudgetTable(**{"name": "b", "limit": 10, **fields}))


def test_names_are_unique() -> None:
    with pytest.raises(Misconfigured, match="b: this name is used twice"):
        config(BudgetTable(name="b", limit=1), BudgetTable(name="b", limit=2))


@pytest.mark.parametrize("amount", [-1.0, float("nan"), 2e6])
def test_a_price_is_an_amount(amount: float) -> None:
    with pytest.raises(Misconfigured, match="small: output must be from 0 to 1000000"):
        config(prices=(PriceTable(model="small", input=1, output=amount),))


def test_a_budget_of_money_needs_a_price_for_each_of_its_models() -> None:
    money = BudgetTable(name="purse", limit=5, unit="money")
    small = PriceTable(model="small", input=0.5, output=1.5)
    with pytest.raises(Misconfigured, match="purse: 'large' has no price in USD"):
        config(money, prices=(small,))
    config(BudgetTable(name="purse", limit=5, unit="money", models=("small",)), prices=(small,))
    config(money, prices=(small, PriceTable(model="*", input=1, output=1)))
    with pytest.raises(Misconfigured, match="in EUR"):
        config(
            BudgetTable(name="purse", limit=5, unit="money", currency="EUR", models=("small",)),
            prices=(small,),
        )


def test_money_is_reckoned_in_millionths() -> None:
    money = BudgetTable(name="purse", limit=12.5, unit="money")
    prices = (PriceTable(model="*", input=0.27, output=1.1, cached=0.07),)
    found = budgets_of(config(money, prices=prices))
    assert found.all[0].limit == 12_500_000
    price = found.prices.of("small", "USD")
    assert price is not None
    assert (price.input, price.output, price.cached) == (270_000, 1_100_000, 70_000)
    shown = {row.name: row.value for row in config(money, prices=prices).effective()}
    assert shown["budgets"] == "purse (12.50 USD per day by consumer)"
    assert shown["prices"] == "* (0.27/1.10 USD)"


def test_a_budget_for_a_model_that_is_none_is_refused() -> None:
    table = BudgetTable(name="purse", limit=5, models=("smal",))
    with pytest.raises(Misconfigured, match="purse: there is no model 'smal'; there are large, s"):
        Offer(config(table), ())
