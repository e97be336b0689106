"""Answers side by side on one budget, in whatever order things happen to them: what they are shown
and charged together stays within it."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairlead.engine.accounts import Accounts
from fairlead.engine.meter import LEASE, Meter
from fairlead.engine.metering import Metering
from fairlead.errors import BudgetExhausted, TooLarge
from fairlead.events.model import Token, Usage
from fairlead.policy.budgets import Budget, Budgets
from fairlead.policy.caller import Caller
from fairlead.policy.prices import Price, Prices
from fairlead.ports.provider import Turn
from fairlead.stores.memory_counters import MemoryCounters
from fairlead.testing.clock import Clock

acts = st.lists(
    st.tuples(
        st.sampled_from(
            ["begin", "ask", "token", "token", "token", "usage", "close", "crash", "wait"]
        ),
        st.integers(0, 3),
        st.integers(1, 40),
    ),
    max_size=50,
)


#: Of the largest limit here, and the largest piece that comes at once.
_LIMIT, _PIECE = 600, 40
_STEP = _LIMIT // 64 + _PIECE


class Running:
    """One answer. ``shown``: tokens of it that a reader may have seen."""

    def __init__(self, meter: Meter, prompt: int) -> None:
        self.meter = meter
        self.prompt = prompt
        self.asked = False
        self.shown = 0
        self.seen = 0
        self.stated: tuple[int, int] | None = None

    @property
    def used(self) -> int:
        """What it has used by now."""
        if self.stated is not None:
            prompt, output = self.stated
            return prompt + output + self.shown - self.seen
        return (self.prompt if self.asked else 0) + self.shown


class Model:
    """All answers of one budget of ``limit`` tokens."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.clock = Clock()
        self.counters = MemoryCounters(self.clock)
        # The same limit in money: a token of either kind is a millionth.
        price = Price(model="m", currency="USD", input=10**6, output=10**6, cached=10**6)
        money = Budget(name="money", limit=limit, unit="money", currency="USD", keyed_by=())
        tokens = Budget(name="tokens", limit=limit, keyed_by=())
        budgets = Budgets([tokens, money], Prices([price]))
        self.metering = Metering(
            Accounts(budgets=budgets, counters=self.counters, clock=self.clock)
        )
        self.running: dict[int, Running] = {}
        self.charged = 0
        self.lost = 0
        self.crashes = 0

    async def act(self, act: str, which: int, size: int) -> None:
        answer = self.running.get(which)
        if act == "begin" and answer is None:
            try:
                turns = [Turn("user", "q" * 4 * size)]
                meter = await self.metering.begin(Caller("ann"), "m", turns)
            except (BudgetExhausted, TooLarge):
                return
            self.running[which] = Running(meter, size)
        elif act == "wait":
            await self.counters.meter(
                [used for each in self.running.values() for used in each.meter.used()], LEASE
            )
            self.clock.advance(size / 2)
        elif answer is None:
            return
        elif act == "ask":
            await answer.meter.asked(())
            answer.asked = True
        elif act == "token" and answer.asked:
            # Large pieces are several tokens; small ones come by the dozen.
            large = size >= 30
            for _ in range(1 if large else size):
                if not await self.token(answer, size if large else 1):
                    await self.close(which)
                    return
        elif act == "usage" and answer.asked and answer.stated is None:
            stated = (answer.prompt, max(1, answer.shown * size // 40))
            if answer.shown:
                await answer.meter.settle(Usage(0, *stated))
                answer.stated, answer.seen = stated, answer.shown
        elif act == "close":
            await self.close(which)
        elif act == "crash":
            self.crashes += 1
            del self.running[which]
            # The prompt was charged before it was sent: nobody can say whether it was.
            self.lost += answer.used if answer.asked else answer.prompt
            task = answer.meter._fetching
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def token(self, answer: Running, tokens: int) -> bool:
        """Whether a piece of so many could be shown."""
        piece = "x" if tokens == 1 else "y" * 4 * tokens
        if waiting := answer.meter.add(Token(0, piece)):
            try:
                await answer.meter.room(waiting)
            except BudgetExhausted:
                return False
        answer.shown += tokens
        return True

    async def close(self, which: int) -> None:
        answer = self.running.pop(which)
        await answer.meter.close()
        self.charged += answer.used

    async def check(self) -> None:
        shown = sum(answer.used for answer in self.running.values())
        # What a crashed one used after its last word was not known.
        bound = self.limit + self.crashes * 3 * _STEP
        assert self.charged + shown + self.lost <= bound
        money, tokens = [each for _, each in await self.metering.standings(Caller("ann"), ["m"])]
        assert money.taken == tokens.taken
        if not self.crashes:
            assert self.charged + shown <= tokens.taken


async def play(limit: int, script: list[Any]) -> None:
    model = Model(limit)
    for act in script:
        await model.act(*act)
        await model.check()
    for which in tuple(model.running):
        await model.close(which)
    model.clock.advance(LEASE)
    (_, standing), _ = await model.metering.standings(Caller("ann"), ["m"])
    # Nothing is held any more: what was used is charged, and nothing else.
    assert model.charged <= standing.taken <= model.charged + model.lost


@settings(max_examples=400, deadline=None)
@given(st.integers(10, _LIMIT), acts)
@example(
    # After a usage that says less than was counted.
    10,
    [("begin", 2, 1), ("ask", 2, 1), ("token", 2, 2), ("usage", 2, 1), ("token", 2, 1),
     ("crash", 2, 1)],
)  # fmt: skip
def test_what_is_shown_and_charged_stays_within_the_budget(limit: int, script: list[Any]) -> None:
    asyncio.run(play(limit, script))
