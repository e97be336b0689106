"""Reserve, meter, cut, settle: what answers take of budgets."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from fairlead.engine.accounts import Accounts
from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.engine.limits import Limits
from fairlead.engine.meter import LEASE, MIN_STEP
from fairlead.engine.metering import Metering
from fairlead.engine.models import Model, Models
from fairlead.errors import (
    BudgetExhausted,
    Misconfigured,
    StoreUnavailable,
    TooLarge,
    UpstreamCut,
    UpstreamRejected,
)
from fairlead.events.attachment import Attachment
from fairlead.events.model import Event, Reasoning, Thinking, Token, Usage
from fairlead.policy.budgets import Budget, Budgets, Per, window
from fairlead.policy.caller import Caller
from fairlead.policy.prices import Price, Prices
from fairlead.policy.tokens import estimate
from fairlead.ports.counters import Claim, Counter, Reserved
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import Turn
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.stores.memory_counters import MemoryCounters
from fairlead.stores.memory_usage import MemoryUsage
from fairlead.testing.clock import Clock
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, BOB, Bench

#: About 10 tokens, as the stated estimate has it.
QUESTION = "q" * 40
PROMPT = 10


class Counting(MemoryCounters):
    """Counts how often it is asked, and can be out of order or in no hurry."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.reserved = 0
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = asyncio.Event()

    async def reserve(self, holder: str, claims: Any, ttl: float) -> Reserved:
        self.reserved += 1
        if not self.gate.is_set():
            self.waiting.set()
            await self.gate.wait()
        self._check()
        return await super().reserve(holder, claims, ttl)

    async def settle(self, holder: str, finals: Any) -> tuple[int, ...]:
        self._check()
        return await super().settle(holder, finals)

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("the counters are out of order")


class Budgeted(Bench):
    """An engine with budgets. ``sleeps``: what was to be waited for; :meth:`wake` ends it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.counters = Counting(self.clock)
        self.ledger = MemoryUsage()
        self.sleeps: list[float] = []
        self._sleeping = asyncio.Event()
        self._awake = asyncio.Event()
        self.metering = Metering(
            Accounts(
                counters=self.counters, ledger=self.ledger, clock=self.clock, sleep=self._sleep
            )
        )
        self.store = MemoryStore()
        provider = ScriptedProvider()
        engine = Engine(
            store=self.store,
            conversations=MemoryConversations(),
            models=Models([Model("scripted", provider), Model("dear", provider)]),
            knowledge=None,
            secret=b"a secret of the deployment",
            limits=Limits(),
            metering=self.metering,
            clock=self.clock,
        )
        super().__init__(engine, provider)

    def budgets(self, *budgets: Budget, prices: Prices | None = None) -> None:
        self.metering.replace(Budgets(budgets, prices))

    async def taken(self, caller: Caller = ALICE) -> dict[str, int]:
        return {each.budget.name: each.taken for _, each in await self.engine.budgets(caller)}

    async def answer(self, *said: str | Event, **fields: Any) -> dict[str, Any]:
        """Ask, have it answered, and read to the end: the last event."""
        stream = await self.ask(QUESTION, **fields)
        self.provider.say(*said)
        self.provider.finish()
        return (await (await self.read(stream)).to_end()).events[-1][1]

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self._sleeping.set()
        self._awake.clear()
        await self._awake.wait()

    async def asleep(self) -> float:
        """Wait until it waits for a budget; how long it wants to."""
        await self._sleeping.wait()
        self._sleeping.clear()
        return self.sleeps[-1]

    def wake(self) -> None:
        self.clock.advance(self.sleeps[-1])
        self._awake.set()


@pytest.fixture
async def bench() -> AsyncIterator[Budgeted]:
    bench = Budgeted()
    await bench.store.open()
    await bench.engine.open()
    yield bench
    await bench.engine.close()
    await bench.store.close()


def counter(key: str, per: Per, now: float) -> Counter:
    return Counter(key, window(per, now).start, window(per, now).end)


def words(count: int) -> list[str]:
    return [f"w{n} " for n in range(count)]


async def test_what_the_provider_states_is_charged_in_the_end(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    await bench.answer(*words(5), Usage(0, 77, 40))
    assert await bench.taken() == {"day": 117}
    assert await bench.taken(BOB) == {"day": 0}


async def test_nobody_used_nothing(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    await bench.answer(*words(30), Usage(0, 0, 0))
    assert await bench.taken() == {"day": PROMPT + 30}


async def test_without_its_word_what_was_counted_is_charged(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    await bench.answer(*words(30))
    assert await bench.taken() == {"day": PROMPT + 30}


async def test_an_answer_is_cut_at_the_limit_and_says_which_and_until_when(
    bench: Budgeted,
) -> None:
    bench.budgets(
        Budget(name="month", limit=10_000, per="month"), Budget(name="hour", limit=50, per="hour")
    )
    stream = await bench.ask(QUESTION)
    bench.provider.say(*words(200))
    reading = await (await bench.read(stream)).to_end()
    await bench.provider.wait_closed()
    assert reading.text == "".join(words(50 - PROMPT))
    name, end = reading.events[-1]
    seconds = window("hour", bench.clock()).end - bench.clock()
    assert name == "error"
    assert end["code"] == "budget_exhausted"
    assert end["budget"] == "hour"
    assert end["retryable"] is True
    assert end["retry_after"] == seconds
    assert "'hour' (50 tokens per hour)" in end["error"]
    assert "2023-11-14 23:00:00 UTC" in end["error"]
    # Nobody was shown the token that was one too many: it is not charged.
    assert await bench.taken() == {"month": 50, "hour": 50}


async def test_a_question_that_cannot_be_paid_for_leaves_no_trace(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=40))
    await bench.answer(*words(30))
    with pytest.raises(BudgetExhausted, match=r"'day' \(40 tokens per day\) is used") as refused:
        await bench.ask(QUESTION)
    assert refused.value.details == {"budget": "day"}
    assert refused.value.retry_after is not None
    assert len(bench.provider.requests) == 1
    assert len((await bench.store.page(None)).items) == 1
    assert await bench.taken() == {"day": 40}
    # Others have their own, and tomorrow is another day.
    await bench.ask(QUESTION, BOB)
    bench.clock.advance(refused.value.retry_after)
    await bench.ask(QUESTION)


async def test_all_budgets_or_none(bench: Budgeted) -> None:
    bench.budgets(
        Budget(name="own", limit=1000), Budget(name="all", limit=25, keyed_by=(), per="month")
    )
    await bench.answer(*words(10), Usage(0, 10, 10))
    with pytest.raises(BudgetExhausted, match="'all'"):
        await bench.ask(QUESTION, BOB)
    assert await bench.taken(BOB) == {"own": 0, "all": 20}


async def test_a_repetition_costs_nothing(bench: Budgeted) -> None:
    bench.budgets(Budget(name="tokens", limit=1000), Budget(name="asks", limit=1, unit="requests"))
    ask = Ask(message=QUESTION)
    first = await bench.engine.start(ALICE, ask, "key")
    taken = await bench.taken()
    for _ in range(5):
        assert (await bench.engine.start(ALICE, ask, "key")).stream == first.stream
    assert await bench.taken() == taken
    with pytest.raises(BudgetExhausted, match=r"'asks' \(1 requests per day\)"):
        await bench.engine.start(ALICE, ask, "another key")


async def test_of_two_that_start_the_same_at_once_one_is_charged(bench: Budgeted) -> None:
    bench.budgets(Budget(name="tokens", limit=1000), Budget(name="asks", limit=9, unit="requests"))
    ask = Ask(message=QUESTION)
    started = await asyncio.gather(*(bench.engine.start(ALICE, ask, "key") for _ in range(5)))
    assert sum(each.created for each in started) == 1
    bench.provider.finish()
    await bench.engine.wait_idle()
    assert await bench.taken() == {"tokens": PROMPT, "asks": 1}


async def test_the_same_that_began_meanwhile_is_found_though_nothing_is_left(
    bench: Budgeted,
) -> None:
    bench.budgets(Budget(name="asks", limit=1, unit="requests"))
    ask = Ask(message=QUESTION)
    bench.counters.gate.clear()
    both = [asyncio.create_task(bench.engine.start(ALICE, ask, "key")) for _ in range(2)]
    await bench.counters.waiting.wait()
    bench.counters.gate.set()
    one, other = await asyncio.gather(*both)
    assert one.stream == other.stream


async def test_many_that_start_the_same_at_once_do_not_take_it_from_each_other(
    bench: Budgeted, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is enough for one, and the first is slow to be created.
    bench.budgets(Budget(name="day", limit=PROMPT + MIN_STEP))
    creating, go_on = asyncio.Event(), asyncio.Event()
    create = bench.store.create

    async def slowly(*args: Any, **fields: Any) -> Any:
        creating.set()
        await go_on.wait()
        return await create(*args, **fields)

    monkeypatch.setattr(bench.store, "create", slowly)
    ask = Ask(message=QUESTION)
    starting = [asyncio.create_task(bench.engine.start(ALICE, ask, "key")) for _ in range(20)]
    await creating.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    go_on.set()
    started = await asyncio.gather(*starting)
    assert len({each.stream for each in started}) == 1
    assert sum(each.created for each in started) == 1


async def test_counters_are_asked_in_steps(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1_000_000))
    await bench.answer(*words(2000))
    assert bench.counters.reserved < 2000 / 64
    assert await bench.taken() == {"day": PROMPT + 2000}


async def test_a_flood_does_not_reach_the_counters_and_ends_with_what_filled_them(
    bench: Budgeted,
) -> None:
    bench.budgets(Budget(name="day", limit=40))
    first = await bench.ask(QUESTION)
    asked = bench.counters.reserved
    for _ in range(100):
        with pytest.raises(BudgetExhausted, match="'day'"):
            await bench.ask("q" * 100)
    assert bench.counters.reserved - asked < 10
    # What needs less may have room, what needs as much a moment later, and at once what is freed.
    await bench.engine.stop(ALICE, await bench.ask("q"))
    bench.clock.advance(0.1)
    asked = bench.counters.reserved
    with pytest.raises(BudgetExhausted):
        await bench.ask("q" * 100)
    assert bench.counters.reserved > asked
    await bench.provider.wait_started(1)
    await bench.engine.stop(ALICE, first)
    await bench.ask("q" * 100)


async def test_what_comes_after_the_usage_goes_on_though_a_step_was_being_fetched(
    bench: Budgeted,
) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    meter = await bench.metering.begin(ALICE, "scripted", ())
    await meter.asked(())
    waiting = 0
    while not waiting:
        waiting = meter.add(Token(0, "w"))
    await meter.room(waiting)
    # The fetching has not begun when it is called off.
    await meter.settle(Usage(0, 10, meter.output))
    for _ in range(3 * MIN_STEP):
        if waiting := meter.add(Token(0, "w")):
            await meter.room(waiting)
    await meter.close()


async def test_tokens_wait_for_a_step_that_is_late(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=100))
    stream = await bench.ask(QUESTION)
    bench.counters.gate.clear()
    bench.provider.say(*words(60))
    bench.provider.finish()
    reading = await bench.read(stream)
    await bench.counters.waiting.wait()
    await reading.until(lambda r: r.text == "".join(words(MIN_STEP)))
    assert await bench.taken() == {"day": PROMPT + MIN_STEP}
    bench.counters.gate.set()
    assert (await reading.to_end()).text == "".join(words(60))


async def test_what_is_held_by_one_comes_back_to_others(bench: Budgeted) -> None:
    bench.budgets(Budget(name="all", limit=60, keyed_by=()))
    first = await bench.ask(QUESTION)  # holds 10 + 16
    await bench.ask(QUESTION, BOB)
    with pytest.raises(BudgetExhausted):
        await bench.ask(QUESTION)
    await bench.provider.wait_started(2)
    await bench.engine.stop(ALICE, first)
    assert await bench.taken() == {"all": PROMPT + (PROMPT + MIN_STEP)}
    await bench.ask(QUESTION)


async def test_an_abandoned_answer_is_charged_for_its_prompt_and_what_was_written(
    bench: Budgeted,
) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    stream = await bench.ask(QUESTION, orphan_window=0)
    bench.provider.say(*words(3))
    reading = await (await bench.read(stream)).until(lambda r: r.text == "".join(words(3)))
    reading.detach()
    await bench.provider.wait_closed()
    await bench.engine.wait_idle()
    assert await bench.taken() == {"day": PROMPT + 3}


async def test_failures_are_charged_for_what_was_used(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000), Budget(name="asks", limit=10, unit="requests"))
    stream = await bench.ask(QUESTION)
    bench.provider.say(*words(4))
    bench.provider.fail(UpstreamCut("cut"))
    await (await bench.read(stream)).to_end()
    assert await bench.taken() == {"day": PROMPT + 4, "asks": 1}
    # A server that refuses has read no prompt; asked it was.
    stream = await bench.ask(QUESTION)
    bench.provider.fail(UpstreamRejected("no"))
    await (await bench.read(stream)).to_end()
    assert await bench.taken() == {"day": PROMPT + 4, "asks": 2}


async def test_reasoning_and_large_pieces_count(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    text = "many tokens in one piece " * 20
    stream = await bench.ask(QUESTION)
    bench.provider.say(Token(0, text))
    bench.provider.finish()
    await (await bench.read(stream)).to_end()
    assert await bench.taken() == {"day": PROMPT + estimate(text)}
    meter = await bench.metering.begin(ALICE, "scripted", ())
    meter.add(Reasoning(0, "because", 1))
    assert meter.output == 1
    await meter.cancel()


async def test_a_slow_budget_waits_for_the_next_window(bench: Budgeted) -> None:
    bench.budgets(Budget(name="pace", limit=30, per="minute", on_exhausted="slow"))
    stream = await bench.ask(QUESTION)
    bench.provider.say(*words(70))
    bench.provider.finish()
    reading = await bench.read(stream)
    seen = 30  # what slows down counts answers alone
    for _ in range(2):
        shown = "".join(words(seen))
        await reading.until(lambda r, shown=shown: r.text == shown)  # type: ignore[misc]
        assert 0 < await bench.asleep() <= 60
        bench.wake()
        seen += 30
    await reading.to_end()
    assert reading.text == "".join(words(70))
    assert reading.names()[-1] == "done"
    assert await bench.taken() == {"pace": 10}


async def test_a_piece_that_is_larger_than_a_window_waits_for_several(bench: Budgeted) -> None:
    bench.budgets(
        Budget(name="pace", limit=30, per="minute", on_exhausted="slow"),
        Budget(name="day", limit=1000),
    )
    stream = await bench.ask("a prompt as long as this one could never be slow " * 10)
    bench.provider.say("first ", "p" * 400)
    bench.provider.finish()
    reading = await bench.read(stream)
    for _ in range(3):
        await bench.asleep()
        assert reading.text in ("", "first ")
        bench.wake()
    await reading.to_end()
    assert reading.text == "first " + "p" * 400
    assert (await bench.taken())["pace"] == 101 - 90


async def test_a_question_may_begin_while_a_slow_budget_is_empty(bench: Budgeted) -> None:
    bench.budgets(Budget(name="pace", limit=30, per="minute", on_exhausted="slow"))
    await bench.answer(*words(30))
    stream = await bench.ask(QUESTION)
    bench.provider.say("late")
    bench.provider.finish()
    await bench.asleep()
    bench.wake()
    assert (await (await bench.read(stream)).to_end()).text == "late"


async def test_an_answer_that_waits_can_be_stopped(bench: Budgeted) -> None:
    bench.budgets(Budget(name="pace", limit=30, per="minute", on_exhausted="slow"))
    stream = await bench.ask(QUESTION)
    bench.provider.say(*words(70))
    reading = await bench.read(stream)
    await bench.asleep()
    await bench.engine.stop(ALICE, stream)
    assert (await reading.to_end()).names()[-1] == "done"
    assert bench.provider.closed == 1


async def test_a_prompt_that_never_fits_is_refused_for_good(bench: Budgeted) -> None:
    bench.budgets(Budget(name="minute", limit=PROMPT, per="minute"))
    with pytest.raises(TooLarge, match="about 10 tokens, for which the budget 'minute'"):
        await bench.ask(QUESTION)
    await bench.ask("q")


PRICES = Prices(
    [Price(model="dear", currency="USD", input=1_000_000, output=10_000_000, cached=100_000)]
)
MONEY = Budget(name="purse", limit=500, unit="money", currency="USD", models=("dear",))


async def test_a_limit_in_money_cuts_by_the_models_price(bench: Budgeted) -> None:
    bench.budgets(MONEY, prices=PRICES)
    stream = await bench.ask(QUESTION, model="dear")
    bench.provider.say(*words(100))
    reading = await (await bench.read(stream)).to_end()
    # 10 millionths for the prompt, 10 for each token.
    assert reading.text == "".join(words(49))
    assert "'purse' (0.0005 USD per day)" in reading.events[-1][1]["error"]
    await bench.ask(QUESTION)  # another model
    with pytest.raises(BudgetExhausted):
        await bench.ask(QUESTION, model="dear")


async def test_what_was_cached_costs_less(bench: Budgeted) -> None:
    bench.budgets(MONEY, prices=PRICES)
    await bench.answer("a", Usage(0, 100, 3, cached_tokens=80), model="dear")
    assert await bench.taken() == {"purse": 20 + 8 + 30}


async def test_money_without_a_price_is_refused(bench: Budgeted) -> None:
    bench.budgets(msgspec.structs.replace(MONEY, models=()), prices=PRICES)
    with pytest.raises(Misconfigured, match="'scripted' has no price in USD"):
        await bench.ask(QUESTION)


async def test_a_model_that_answers_instead_is_paid_at_its_own_price(bench: Budgeted) -> None:
    cheap = Price(model="scripted", currency="USD", input=0, output=1_000_000, cached=0)
    prices = Prices([*PRICES.all, cheap])
    bench.budgets(msgspec.structs.replace(MONEY, models=()), prices=prices)
    instead = Thinking(0, "writing", provider="other", model="dear")
    stream = await bench.ask(QUESTION)
    bench.provider.say(instead, *words(100))
    reading = await (await bench.read(stream)).to_end()
    assert reading.text == "".join(words(49))
    assert reading.events[-1][1]["budget"] == "purse"
    (row,) = await bench.engine.usage(ALICE, "2023-11-14", "2023-11-14")
    assert (row.model, row.money) == ("dear", 10 + 490)


async def test_usage_says_what_is_left(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000), MONEY, prices=PRICES)
    stream = await bench.ask(QUESTION, model="dear")
    bench.provider.say("a", Usage(0, 100, 20))
    bench.provider.finish()
    reading = await (await bench.read(stream)).to_end()
    (usage,) = [fields for name, fields in reading.events if name == "usage"]
    refills = window("day", bench.clock()).end
    assert usage["budgets"] == [
        {"name": "day", "remaining": 880, "unit": "tokens", "refills_at": refills},
        {"name": "purse", "remaining": 0.0002, "unit": "USD", "refills_at": refills},
    ]


async def test_what_comes_after_usage_counts_too(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    await bench.answer(*words(5), Usage(0, 20, 5), *words(30))
    assert await bench.taken() == {"day": 20 + 5 + 30}
    await bench.answer(*words(5), Usage(0, 20, 5), *words(30), Usage(0, 40, 35))
    assert await bench.taken() == {"day": 55 + 75}


async def test_other_budgets_hold_for_answers_under_way(bench: Budgeted) -> None:
    free = await bench.ask(QUESTION)
    reading = await bench.read(free)
    bench.provider.say(*words(20))
    await reading.until(lambda r: r.text == "".join(words(20)))
    bench.budgets(Budget(name="new", limit=40, keyed_by=()))
    bench.provider.say(*words(20))
    await reading.to_end()
    assert reading.events[-1][1]["budget"] == "new"
    assert reading.text == "".join(words(20) + words(10))
    bench.budgets()
    await bench.answer(*words(100))


async def test_counters_that_are_out_of_order_let_nobody_by(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    running = await bench.ask(QUESTION)
    bench.counters.broken = True
    with pytest.raises(StoreUnavailable):
        await bench.ask(QUESTION)
    bench.provider.say(*words(200))
    reading = await (await bench.read(running)).to_end()
    assert reading.events[-1][1]["code"] == "store_unavailable"
    assert reading.text == "".join(words(MIN_STEP))


async def test_an_answer_is_whole_although_it_cannot_be_settled(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    stream = await bench.ask(QUESTION)
    reading = await bench.read(stream)
    bench.provider.say("all ")
    await reading.until(lambda r: r.text == "all ")
    bench.counters.broken = True
    bench.provider.say(Usage(0, 20, 5))
    bench.provider.finish()
    await reading.to_end()
    assert reading.names()[-2:] == ["usage", "done"]
    bench.counters.broken = False
    # It lapses, charged for what was metered last: so much was known when it began.
    assert await bench.taken() == {"day": PROMPT + MIN_STEP}
    bench.clock.advance(LEASE)
    assert await bench.taken() == {"day": PROMPT}


async def test_parameters_that_say_much_are_part_of_the_prompt(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    await bench.answer("a", parameters={"temperature": 0.5, "max_tokens": 100})
    assert await bench.taken() == {"day": PROMPT + 1}
    with pytest.raises(TooLarge, match=r"about 10[0-9]{2} tokens"):
        await bench.ask(QUESTION, parameters={"tools": [{"description": "t" * 4000}]})


async def test_a_body_that_is_sent_on_counts_with_all_it_holds(bench: Budgeted) -> None:
    picture = Attachment("image/png", b"p" * 3000)
    turns = [Turn("user", "q" * 40, (picture,))]
    body = b'{"messages": "..."}' + b64encode(picture.data)
    for more, tokens in ((b"", 10 + 1000), (b"m" * 8000, 2004)):
        meter = await bench.metering.begin(ALICE, "scripted", turns, {}, body + more)
        assert meter.input == tokens
        await meter.cancel()


async def test_a_start_that_is_cancelled_gives_everything_back(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    bench.counters.gate.clear()
    start = asyncio.create_task(bench.ask(QUESTION))
    await bench.counters.waiting.wait()
    start.cancel()
    await asyncio.gather(start, return_exceptions=True)
    bench.counters.gate.set()
    assert await bench.taken() == {"day": 0}


async def test_the_windows_of_a_long_answer_are_charged_each(bench: Budgeted) -> None:
    bench.budgets(Budget(name="minute", limit=100, per="minute"))
    stream = await bench.ask(QUESTION)
    reading = await bench.read(stream)
    bench.provider.say(*words(80))
    await reading.until(lambda r: r.text == "".join(words(80)))
    before = counter("minute 'alice'", "minute", bench.clock())
    bench.clock.advance(60)
    bench.provider.say(*words(80))
    bench.provider.finish()
    await reading.to_end()
    (first,) = await bench.counters.taken([before])
    assert first == 100
    assert await bench.taken() == {"minute": PROMPT + 160 - 100}


async def test_the_ledger_has_every_answer(bench: Budgeted) -> None:
    bench.budgets(prices=PRICES)
    await bench.answer("a", Usage(0, 100, 20, cached_tokens=50), model="dear")
    await bench.answer(*words(7))
    stream = await bench.ask(QUESTION)
    await bench.provider.wait_started(3)
    await bench.engine.stop(ALICE, stream)
    dear, scripted = await bench.engine.usage(ALICE, "2023-11-14", "2023-11-14")
    assert msgspec.to_builtins(dear) == {
        "day": "2023-11-14",
        "consumer": "alice",
        "model": "dear",
        "currency": "USD",
        "requests": 1,
        "input_tokens": 100,
        "output_tokens": 20,
        "cached_tokens": 50,
        "money": 50 + 5 + 200,
        "estimated": 0,
    }
    assert (scripted.requests, scripted.estimated, scripted.output_tokens) == (2, 2, 7)
    assert await bench.engine.usage(BOB, "2023-11-14", "2023-11-14") == []


async def test_passages_are_part_of_the_prompt(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=100))
    await bench.answer(*words(40))
    meter = await bench.metering.begin(ALICE, "scripted", [Turn("user", QUESTION)])
    passage = Passage(
        id="p", document="d", title="", address="", heading="", span=(0, 120), text="p" * 120
    )
    await meter.asked([passage])
    assert meter.input == PROMPT + 30
    with pytest.raises(BudgetExhausted):
        await meter.asked([passage])
    with pytest.raises(TooLarge):
        await meter.asked([passage] * 3)
    await meter.close()


async def test_a_node_that_lives_keeps_what_it_holds(bench: Budgeted) -> None:
    bench.budgets(Budget(name="day", limit=1000))
    meter = await bench.metering.begin(ALICE, "scripted", [Turn("user", QUESTION)])
    await meter.asked(())
    for _ in range(3):
        bench.clock.advance(LEASE - 1)
        await bench.counters.meter(list(meter.used()), LEASE)
    assert (await bench.taken())["day"] > PROMPT
    bench.clock.advance(LEASE)
    assert await bench.taken() == {"day": PROMPT}
    claim = Claim(counter("day", "day", bench.clock()), 10, 1, 0)
    assert (await bench.counters.reserve("other", [claim], LEASE)).granted
