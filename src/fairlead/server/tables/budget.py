"""``[[budgets]]`` and ``[[prices]]``: how much may be asked for, and what it costs."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Annotated, Literal, Self

from fairlead.policy.budgets import Budget, Per, Unit, wrong_key
from fairlead.policy.prices import EVERY_MODEL, MICRO, Price, shown
from fairlead.server.tables.table import Table, says

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")  # ISO 4217
#: The largest number that a header may hold (RFC 9651, section 3.3.1).
_LARGEST = 999_999_999_999_999


class BudgetTable(Table, frozen=True, kw_only=True):
    """At most ``limit`` of a ``unit`` in each window of ``per``."""

    name: Annotated[str, says("for people, in messages and headers")]
    limit: Annotated[float, says("how many tokens or requests, or how much money")]
    unit: Annotated[
        Unit,
        says("`tokens` (of prompts and answers), `requests`, or `money`, by `[[prices]]`"),
    ] = "tokens"
    per: Annotated[
        Per, says("`second`, `minute`, `hour`, `day` or `month`, as the calendar has them (UTC)")
    ] = "day"
    keyed_by: Annotated[
        tuple[str, ...],
        says(
            "each combination of these has the limit for itself: `consumer`, `credential`, "
            "`address`, `model`, `header:x`, `query:x`, `cookie:x`, `claim:x`, `plugin:x`; "
            "`[]`: all share it"
        ),
    ] = ("consumer",)
    models: Annotated[tuple[str, ...], says("the models it concerns; none given: all")] = ()
    on_exhausted: Annotated[
        Literal["cut", "slow"],
        says(
            "what becomes of answers under way: `cut` ends them; `slow` has them wait for the next "
            "second or minute, and counts no prompts"
        ),
    ] = "cut"
    quota: Annotated[
        bool,
        says(
            "it concerns those alone whose API key names it (`fairlead keys create --quota`), or "
            "whose token does in its claim `quota`"
        ),
    ] = False
    currency: Annotated[str, says("of `money`, by its three letters")] = "USD"

    @property
    def budget(self) -> Budget:
        """As it is decided by."""
        money = self.unit == "money"
        return Budget(
            name=self.name,
            limit=round(self.limit * MICRO) if money else int(self.limit),
            unit=self.unit,
            per=self.per,
            keyed_by=self.keyed_by,
            models=self.models,
            on_exhausted=self.on_exhausted,
            currency=self.currency if money else "",
            quota=self.quota,
        )

    def summary(self) -> str:
        by = f" by {'+'.join(self.keyed_by)}" if self.keyed_by else ""
        return f"{self.name} ({self.budget.stated()}{by})"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        names: set[str] = set()
        for table in tables:
            if not _NAME.fullmatch(table.name):
                return "a budget is named by 1 to 64 letters, digits and . _ -"
            where = f"{table.name}: "
            if table.name in names:
                return where + "this name is used twice"
            names.add(table.name)
            if table.unit == "money":
                if not _CURRENCY.fullmatch(table.currency):
                    return where + "currency must be three capital letters, such as USD"
                if not 1 <= table.limit * MICRO <= _LARGEST:
                    return f"{where}limit must be from 0.000001 to {_LARGEST // MICRO}"
            elif not (1 <= table.limit <= _LARGEST and table.limit == int(table.limit)):
                return f"{where}limit must be a whole number of {table.unit}, at least 1"
            for item in table.keyed_by:
                if wrong := wrong_key(item):
                    return f"{where}keyed_by: {wrong}"
            if table.on_exhausted == "slow":
                if table.per not in ("second", "minute"):
                    return (
                        f"{where}on_exhausted: nobody waits a {table.per} for the rest of an "
                        "answer; slow is for budgets per second or minute"
                    )
                if table.unit == "requests":
                    return where + "on_exhausted: an answer under way makes no more requests"
        return ""


class PriceTable(Table, frozen=True, kw_only=True):
    """What a million tokens of a model cost."""

    model: Annotated[str, says(f"by the name that callers use; `{EVERY_MODEL}`: every other one")]
    input: Annotated[float, says("for a million tokens of prompts")]
    output: Annotated[float, says("for a million tokens of answers")]
    cached: Annotated[
        float | None,
        says("for a million tokens of prompts that the model's server had cached; none: as others"),
    ] = None
    currency: Annotated[str, says("its three letters")] = "USD"

    @property
    def price(self) -> Price:
        """As it is reckoned with."""
        return Price(
            model=self.model,
            currency=self.currency,
            input=round(self.input * MICRO),
            output=round(self.output * MICRO),
            cached=round((self.input if self.cached is None else self.cached) * MICRO),
        )

    def label(self) -> str:
        return self.model

    def summary(self) -> str:
        price = self.price
        return f"{self.model} ({price.input / MICRO:g}/{shown(price.output, self.currency)})"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        known: set[tuple[str, str]] = set()
        for table in tables:
            where = f"{table.model}: "
            if not table.model or not table.model.isprintable():
                return "every price needs a model"
            if not _CURRENCY.fullmatch(table.currency):
                return where + "currency must be three capital letters, such as USD"
            if (table.model, table.currency) in known:
                return f"{where}its price in {table.currency} is given twice"
            known.add((table.model, table.currency))
            for name in ("input", "output", "cached"):
                amount = getattr(table, name)
                if amount is not None and not (math.isfinite(amount) and 0 <= amount <= MICRO):
                    return f"{where}{name} must be from 0 to {MICRO}, for a million tokens"
        return ""


def unpriced(
    budgets: tuple[BudgetTable, ...], prices: tuple[PriceTable, ...], offered: Collection[str]
) -> str:
    """What budget of money has no price for a model; empty: none."""
    known = {(price.model, price.currency) for price in prices}
    for budget in budgets:
        if budget.unit != "money" or (EVERY_MODEL, budget.currency) in known:
            continue
        for model in budget.models or sorted(offered):
            if (model, budget.currency) not in known:
                return (
                    f"budgets: {budget.name}: {model!r} has no price in {budget.currency}; add one "
                    "to [[prices]], or name the models that the budget concerns (an app can have "
                    "metered = false)"
                )
    return ""


def unknown_model(
    budgets: tuple[BudgetTable, ...], models: Collection[str], apps: Collection[str]
) -> str:
    """What budget is for a model that is none of ``models`` (none at all: there is only the
    embedded answerer) nor an application; empty: none."""
    for budget in budgets:
        for name in budget.models:
            if models and name not in models and name not in apps:
                known = ", ".join(sorted({*models, *apps}))
                return f"budgets: {budget.name}: there is no model {name[:80]!r}; there are {known}"
    return ""
