"""Near a budget's end the model itself is told where to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fairlead.engine.meter import MIN_STEP
from fairlead.events.model import Done, Part, Usage
from fairlead.policy.allowance import EACH, FEW, PLENTY
from fairlead.policy.budgets import Budget
from fairlead.policy.prices import Price, Prices
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, BOB
from tests.engine.test_metering import PROMPT, QUESTION, Budgeted, words


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Budgeted]:
    monkeypatch.setattr(ScriptedProvider, "bounds", True, raising=False)
    bench = Budgeted()
    await bench.store.open()
    await bench.engine.open()
    yield bench
    await bench.engine.close()
    await bench.store.close()


def closed(finish: str) -> Part:
    return Part(0, 0, "close", "text", finish=finish)


def ended(count: int, finish: str = "length", prompt: int = PROMPT) -> list[Any]:
    """What a model says that writes so many words and stops."""
    return [*words(count), closed(finish), Usage(0, prompt, count), Done(0, finish=finish)]


async def told(bench: Budgeted, count: int = 1) -> int:
    return (await bench.provider.wait_started(count)).most


async def test_the_model_is_told_what_is_left_and_its_end_there_is_the_budgets(
    bench: Budgeted,
) -> None:
    bench.budgets(Budget(name="month", limit=10_000, per="month"), Budget(name="day", limit=100))
    stream = await bench.ask(QUESTION)
    assert await told(bench) == 100 - PROMPT
    bench.provider.say(*ended(100 - PROMPT))
    bench.provider.finish()
    reading = await (await bench.read(stream)).to_end()
    assert reading.text == "".join(words(100 - PROMPT))
    name, end = reading.events[-1]
    assert name == "error"
    assert (end["code"], end["budget"]) == ("budget_exhausted", "day")
    assert "'day' (100 tokens per day) is used up; it refills at 2023-11-15" in end["error"]
    assert end["retry_after"] == 86_400 - bench.clock() % 86_400
    # Nobody is told that the model came to its own end; what it used is known.
    assert "length" not in str(reading.events)
    assert reading.names()[-2] == "usage"
    assert await bench.taken() == {"month": 100, "day": 100}


async def test_a_model_that_does_not_obey_is_cut_as_ever(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=100))
    stream = await bench.ask(QUESTION)
    bench.provider.say(*words(500))
    reading = await (await bench.read(stream)).to_end()
    await bench.provider.wait_closed()
    assert reading.text == "".join(words(100 - PROMPT))
    assert reading.events[-1][1]["code"] == "budget_exhausted"


async def test_while_there_is_plenty_nothing_is_told_and_nobody_is_asked_more(
    bench: Budgeted,
) -> None:
    bench.budgets(Budget(name="day", limit=PLENTY + PROMPT))
    await bench.ask(QUESTION)
    assert await told(bench) == 0
    assert bench.counters.reserved == 1
    bench.provider.finish()


async def test_a_provider_that_cannot_tell_it_is_asked_as_ever(
    bench: Budgeted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(ScriptedProvider, "bounds")
    bench.budgets(Budget(name="day", limit=100))
    await bench.ask(QUESTION)
    assert await told(bench) == 0
    bench.provider.finish()


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_who_asks_for_less_has_it_and_its_end_is_the_models(
    bench: Budgeted, name: str
) -> None:
    bench.budgets(Budget(name="day", limit=100))
    end = await bench.answer(*ended(20), parameters={name: 20})
    assert bench.provider.requests[-1].most == 0
    assert (end["status"], end["finish"]) == ("completed", "length")
    # And never more than what was asked for.
    await bench.ask(QUESTION, parameters={name: 500})
    assert await told(bench, 2) == 100 - 2 * PROMPT - 20
    bench.provider.finish()


async def test_an_end_before_that_is_the_models_own(bench: Budgeted) -> None:
    """Its context is full, for example."""
    bench.budgets(Budget(name="day", limit=100))
    end = await bench.answer(*ended(50))
    assert bench.provider.requests[-1].most == 90
    assert (end["status"], end["finish"]) == ("completed", "length")
    assert await bench.taken() == {"day": 60}


async def test_what_is_only_estimated_is_no_more_than_the_model_was_told(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=100))
    end = Usage(0, PROMPT, 120, estimated=True)
    await bench.answer(*words(90), closed("length"), end, Done(0, finish="length"))
    assert await bench.taken() == {"day": 100}


async def test_alternatives_share_it(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=100))
    end = await bench.answer(*ended(90), parameters={"n": 3})
    assert bench.provider.requests[-1].most == 30
    assert end["code"] == "budget_exhausted"


async def test_where_each_would_have_less_than_a_token_nothing_is_told(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=PROMPT + 2))
    end = await bench.answer(*words(9), parameters={"n": 3})
    assert bench.provider.requests[-1].most == 0
    assert end["code"] == "budget_exhausted"
    assert await bench.taken() == {"day": PROMPT + 2}


async def test_a_limit_in_money_is_told_in_tokens(bench: Budgeted) -> None:
    price = Price(model="*", currency="USD", input=1_000_000, output=10_000_000, cached=0)
    purse = Budget(name="purse", limit=1000, unit="money", currency="USD")
    bench.budgets(purse, prices=Prices([price]))
    end = await bench.answer(*ended(99))
    assert bench.provider.requests[-1].most == 99
    assert (end["code"], end["budget"]) == ("budget_exhausted", "purse")


@pytest.mark.parametrize(
    "budget",
    [
        Budget(name="pace", limit=100, per="second", on_exhausted="slow"),
        Budget(name="second", limit=100, per="second"),
        Budget(name="asks", limit=100, unit="requests"),
    ],
)
async def test_what_refills_meanwhile_or_counts_no_tokens_bounds_nothing(
    bench: Budgeted, budget: Budget
) -> None:
    bench.budgets(budget)
    await bench.ask(QUESTION)
    assert await told(bench) == 0
    bench.provider.finish()


async def test_in_a_crowd_each_has_a_share_of_its_own_and_holds_it(bench: Budgeted) -> None:
    limit = 1000
    bench.budgets(Budget(name="day", limit=limit, keyed_by=()))
    for n in range(FEW):
        await bench.ask(QUESTION)
        # The few count on the same rest, of which each fetches as it goes.
        assert await told(bench, n + 1) == limit - n * (PROMPT + MIN_STEP) - PROMPT
    taken = (await bench.taken())["day"]
    assert taken == FEW * (PROMPT + MIN_STEP)
    shares = []
    for n in range(10):
        await bench.ask(QUESTION, BOB)
        shares.append(await told(bench, FEW + n + 1))
        taken += PROMPT + shares[-1]
        assert (await bench.taken())["day"] == taken <= limit
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == (limit - FEW * (PROMPT + MIN_STEP) - PROMPT) // (FEW + 1)
    assert shares[-1] >= MIN_STEP
    for _ in bench.provider.requests:
        bench.provider.finish()
    await bench.engine.wait_idle()
    assert bench.metering.accounts._writing == {}


async def test_a_share_that_is_used_up_while_others_give_back_says_what_it_was(
    bench: Budgeted,
) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    few = []
    for n in range(FEW):
        few.append(await bench.ask(QUESTION))
        await told(bench, n + 1)
    stream = await bench.ask(QUESTION)
    share = await told(bench, FEW + 1)
    for other in few:
        await bench.engine.stop(ALICE, other)
    await bench.provider.wait_closed(FEW)
    bench.provider.say(*ended(share))
    end = (await (await bench.read(stream)).to_end()).events[-1][1]
    assert (end["code"], end["budget"]) == ("budget_exhausted", "day")
    assert f"had no more than {share} tokens for this answer; it refills at" in end["error"]
    assert await bench.taken() == {"day": FEW * PROMPT + PROMPT + share}


async def test_a_large_limit_knows_no_crowd_of_a_few(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=100 * EACH))
    for n in range(2 * FEW):
        await bench.ask(QUESTION)
        assert await told(bench, n + 1) == 0
    for _ in range(2 * FEW):
        bench.provider.finish()
