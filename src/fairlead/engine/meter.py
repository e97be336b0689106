"""The meter of one answer: what it reserves, uses, and is charged.

Before anything is started the prompt is estimated and reserved, with a first step of the answer.
While tokens flow they are counted; the next step is fetched in the background before the last one
is used up, so that the counters are asked once for many tokens and no token waits for them. At the
limit the answer is cut, or waits for the next window; near it the model itself is told where to
stop (see :mod:`fairlead.policy.allowance`). In the end it is settled by what the model's server
says it used, or else by what was counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from fairlead.engine.accounts import Accounts, counter_of
from fairlead.errors import BudgetExhausted, FairleadError, TooLarge
from fairlead.events.model import (
    BudgetLeft,
    Event,
    Reasoning,
    Relayed,
    Thinking,
    Token,
    Tool,
    Usage,
)
from fairlead.policy.allowance import PLENTY, Rest
from fairlead.policy.budgets import Budget, Line, Standing
from fairlead.policy.caller import Caller
from fairlead.policy.prices import MICRO
from fairlead.policy.tokens import estimate_event, estimate_piece
from fairlead.ports.counters import Claim, Counter, Final, Used
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import Turn
from fairlead.ports.usage import Usage as Entry

_log = structlog.get_logger("fairlead.engine")

#: What an answer holds in advance comes back this long after its process was last heard of, in
#: seconds.
LEASE = 30.0
#: Tokens fetched at once: a share of the smallest limit, so that answers side by side do not keep
#: each other from what none of them uses, within these bounds.
MIN_STEP, MAX_STEP = 16, 256
_SHARE = 64
_NO_LIMIT = 1 << 62

#: Errors by which a model's server says that it has not begun: it charges nothing for those.
_SPARED = frozenset(
    {
        "upstream_unavailable",
        "upstream_rate_limited",
        "upstream_refused_key",
        "upstream_rejected",
    }
)


class _Held:
    """What a meter has been granted of one counter."""

    __slots__ = ("amount", "counter")

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.amount = 0


class Meter:
    """Counts one answer. ``input``: the tokens of its prompt; ``output``: those written so far.
    ``before``: how many another process has written of it, which has charged them and the prompt;
    None: it begins here."""

    __slots__ = (
        "_accounts",
        "_allowed",
        "_already",
        "_answers",
        "_asked",
        "_budgets",
        "_caller",
        "_charged",
        "_ended",
        "_fetching",
        "_granted",
        "_held",
        "_holder",
        "_lines",
        "_mark",
        "_model",
        "_stated",
        "_stated_at",
        "_step",
        "_told",
        "input",
        "output",
        "standings",
    )

    def __init__(
        self,
        accounts: Accounts,
        holder: str,
        caller: Caller,
        model: str,
        prompt: int,
        ended: Callable[[Meter], None],
        before: int | None = None,
    ) -> None:
        self.input = prompt
        self._already = before
        self.output = 0
        #: How the budgets stood when they were last asked.
        self.standings: tuple[Standing, ...] = ()
        self._accounts = accounts
        self._ended = ended
        self._holder = holder
        self._caller = caller
        self._model = model
        #: Another one than was asked for, where that did not answer: its prices hold.
        self._answers = model
        self._asked = False
        #: Those of the budgets' keys under which this answer counts as one that is written.
        self._told: tuple[str, ...] = ()
        #: What the model was told, and by which budget; see :meth:`spent`.
        self._allowed: tuple[int, Budget, int] | None = None
        self._stated: Usage | None = None
        self._stated_at = 0
        self._granted = 0
        self._mark = _NO_LIMIT
        self._step = MAX_STEP
        self._held: dict[str, list[_Held]] = {}
        self._charged: dict[str, int] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._look()

    # -- while it runs

    async def begin(self) -> None:
        """Reserve the prompt and a first step. Raises as :meth:`Metering.begin`."""
        self._check_fits()
        await self._reach(self._step, 1, starting=True)

    async def reworded(self, before: Sequence[Turn], after: Sequence[Turn]) -> None:
        """The model is to be asked something else. Raises as :meth:`asked`."""
        prompt = self._accounts.prompt
        self.input = max(0, self.input + prompt(after, None, b"") - prompt(before, None, b""))
        self._check_fits()
        await self._reach(self._step, 1, starting=True)

    async def asked(
        self, passages: Sequence[Passage], longest: int | None = None, among: int = 1
    ) -> int:
        """The model is about to be asked, with these passages: from now on the prompt is charged.

        ``longest``: it can be told how many tokens it may write, and has been told so many (0: as
        many as it likes). Then how many it is to be told instead, because of a budget; 0: no other
        number. It is shared ``among`` so many alternatives.

        Raises :class:`~fairlead.errors.BudgetExhausted` if they do not fit.
        """
        if passages:
            self.input += self._accounts.passages(passages)
            self._check_fits()
            await self._reach(self._step, 1, starting=True)
        told = 0
        if longest is not None and self._lines:
            told = await self._allow(longest, among)
        self._asked = True
        return told

    async def _allow(self, longest: int, among: int) -> int:
        self._told = tuple(line.key for line in self._lines)
        self._accounts.writes(self._told)
        rests = self._rests()
        if all(rest.room >= PLENTY and not rest.crowded for _, rest in rests):
            return 0
        # How it stands now: there may have been a wait since.
        await self._reach(self._granted or self._step, 1, starting=True)
        rests = self._rests()
        if not rests:
            return 0
        standing, rest = min(rests, key=lambda each: each[1].room)
        most = rest.room
        if crowd := [each for each in rests if each[1].crowded]:
            standing, rest = min(crowd, key=lambda each: each[1].share)
            most = max(min(most, self._step), rest.share)
            most = await self._reach(min(most, longest or most), 1, starting=True)
        elif most >= PLENTY:
            return 0
        most = max(1, most)
        # Less than a token for each cannot be told: such an answer is cut.
        if most < among or (longest and longest <= most):
            return 0
        self._allowed = most, standing.budget, standing.refills
        return most

    def recall(self, most: int) -> bool:
        """Another process has told the model how many tokens it may write. Whether there is a
        budget that may have been the reason."""
        rests = self._rests()
        if rests:
            standing, _ = min(rests, key=lambda each: each[1].room)
            self._allowed = most, standing.budget, standing.refills
        return bool(rests)

    async def spent(self) -> BudgetExhausted:
        """The error of an answer that its model has ended where it was told to."""
        assert self._allowed is not None
        most, budget, refills = self._allowed
        try:
            await self._reach(self.output + 1, self.output + 1, starting=True)
        except BudgetExhausted as error:
            return error
        now = self._accounts.clock()
        return BudgetExhausted(
            f"the budget {budget.name!r} ({budget.stated()}) had no more than {most} tokens for "
            f"this answer; it refills at {_when(refills)}",
            retry_after=max(1, math.ceil(refills - now)),
            budget=budget.name,
        )

    def add(self, event: Event) -> int:
        """Count an event. How many tokens of it :meth:`room` must be waited for with, before it is
        shown; 0: none."""
        kind = type(event)
        if kind is Token or kind is Reasoning or kind is Tool:
            text: str = event.text  # type: ignore[union-attr]  # all three have one
            tokens = 1 if len(text) <= 4 else estimate_piece(text)
            self.output += tokens
            return tokens if self.output > self._mark else 0
        if kind is Relayed:
            return self.count(estimate_event(event.data))  # type: ignore[union-attr]  # it has them
        if kind is Thinking and event.model:  # type: ignore[union-attr]  # it has one
            self._answers = event.model  # type: ignore[union-attr]
            self._look()
        return 0

    def count(self, tokens: int) -> int:
        """Count so many tokens, as :meth:`add` does."""
        self.output += tokens
        return tokens if self.output > self._mark else 0

    async def room(self, tokens: int) -> None:
        """Wait until what was counted is granted. Raises :class:`~fairlead.errors.BudgetExhausted`
        when a budget that cuts has no more; then, and when the wait is cancelled, the last
        ``tokens`` count no more: nobody is shown them."""
        try:
            await self._room()
        except BaseException:
            self.output -= tokens
            raise

    async def _room(self) -> None:
        if self._budgets is not self._accounts.budgets:
            self._look()
        if self.output <= self._granted:
            # Most of the step is used: the next one is fetched meanwhile.
            self._mark = self._granted
            # No more comes of a model that was told of no more.
            told = self._allowed is not None and self._granted >= self._allowed[0]
            if self._fetching is None and self._lines and not told:
                self._fetching = asyncio.create_task(self._ahead(), name="budget")
            return
        if self._fetching is not None:
            await self._fetching
        while self.output > self._granted:
            await self._reach(self.output + self._step, self.output)

    async def settle(self, usage: Usage) -> Usage:
        """Settle by what the provider says; its event with what is left of the budgets."""
        self._stated, self._stated_at = self._rest(usage), self.output
        if not self._lines:
            return usage
        try:
            await self._settle()
        except FairleadError as error:
            # The answer is whole all the same, and there is another try at its end.
            _log.warning("budget_not_settled", code=error.code, error=error.message)
            return usage
        return msgspec.structs.replace(usage, budgets=tuple(map(_left, self.standings)))

    def _rest(self, usage: Usage) -> Usage:
        """What of it is charged here: the prompt and what was written before, those who began the
        answer have charged."""
        if self._already is None:
            return usage
        written = max(0, usage.output_tokens - self._already)
        return msgspec.structs.replace(
            usage, input_tokens=0, cached_tokens=0, output_tokens=written
        )

    async def close(self, code: str = "") -> None:
        """Settle for good, and enter it into the ledger. ``code``: of the error that ended it."""
        if self._stated is None and not self.output and code in _SPARED:
            self._asked = False
        try:
            await self._settle()
        except FairleadError as error:
            # What is held lapses, charged for what was metered last.
            _log.warning("budget_not_settled", code=error.code, error=error.message)
        self._leave()
        if self._accounts.ledger is not None:
            self._accounts.ledger.add(self._entry())

    async def cancel(self) -> None:
        """Nothing was started: everything is given back."""
        self._leave()
        now = self._accounts.clock()
        # Also what was asked for and never heard of.
        held = {counter_of(line, now) for line in self._lines}
        held |= {each.counter for line in self._held.values() for each in line}
        self._held.clear()
        if held and self._accounts.counters is not None:
            await self._accounts.counters.settle(
                self._holder, [Final(counter, 0) for counter in held]
            )
            for counter in held:
                self._accounts.freed(counter)

    def _leave(self) -> None:
        self._ended(self)
        told, self._told = self._told, ()
        self._accounts.wrote(told)

    def look_again(self) -> None:
        """There are other budgets: :meth:`room` is to be waited for at the next token."""
        self._mark = -1

    def total(self) -> tuple[int, int, int]:
        """Tokens of the prompt and of the answer, and those of the prompt that were cached, by what
        is known now."""
        if not self._asked:
            return 0, 0, 0
        stated = self._stated
        if stated is None:
            return self.input, self.output, 0
        prompt, output = stated.input_tokens, stated.output_tokens
        # Some servers state nothing but zeros.
        prompt = prompt or self.input
        if stated.estimated or not output:
            output = max(output, self._stated_at)
            if self._allowed is not None:
                # A model that was told where to stop has not written more.
                output = max(min(output, self._allowed[0]), self._stated_at)
        return prompt, output + self.output - self._stated_at, min(stated.cached_tokens, prompt)

    @property
    def estimated(self) -> bool:
        """Whether they were counted here: the model's server has stated none."""
        return self._asked and (self._stated is None or self._stated.estimated)

    def used(self) -> Iterator[Used]:
        """What is used by now of each counter."""
        for line in self._lines:
            for held, amount in self._spread(line):
                yield Used(self._holder, held.counter, amount)

    # -- the counters

    def _look(self) -> None:
        """Take in the budgets as they are now."""
        self._budgets = self._accounts.budgets
        self._lines = self._accounts.lines(self._caller, self._model, self._answers)
        if self._already is not None:
            self._lines = tuple(line for line in self._lines if line.budget.unit != "requests")
        if not self._lines:
            self._granted = self._mark = _NO_LIMIT
            return
        limits = [line.reach(0, line.budget.limit) for line in self._lines]
        self._step = max(MIN_STEP, min(MAX_STEP, min(limits) // _SHARE))
        if self._granted == _NO_LIMIT:
            # There were none before: what has been written counts from now on.
            self._granted = self._mark = 0

    async def _ahead(self) -> None:
        """Fetch a step before it is needed. What cannot be had now may be there when it is."""
        try:
            with contextlib.suppress(FairleadError):
                await self._reach(self._granted + self._step, self._granted + 1)
        finally:
            self._fetching = None

    def _rests(self) -> list[tuple[Standing, Rest]]:
        """What the budgets that can cut the answer have for it, as they were last asked."""
        now, found = self._accounts.clock(), []
        for line, standing in zip(self._lines, self.standings, strict=False):
            budget = line.budget
            if standing.budget is budget and budget.on_exhausted == "cut":
                left = budget.limit - standing.taken
                rest = Rest(
                    room=line.reach(self.input, self._before(line) + left),
                    limit=line.reach(0, budget.limit),
                    seconds=standing.refills - now,
                    others=self._accounts.writing(line.key) - 1,
                )
                if rest.bounds:
                    found.append((standing, rest))
        return found

    def _check_fits(self) -> None:
        for line in self._lines:
            if line.reach(self.input, line.budget.limit) < 1:
                raise TooLarge(
                    f"the prompt is about {self.input} tokens, for which the budget "
                    f"{line.budget.name!r} ({line.budget.stated()}) has no room at any time",
                    budget=line.budget.name,
                )

    def _check_room(self, least: int) -> None:
        """Refuse what was refused to another a moment ago."""
        now, short = self._accounts.clock(), []
        for line in self._lines:
            if line.budget.on_exhausted == "cut":
                counter = counter_of(line, now)
                amount = line.amount(self.input, least) - self._before(line)
                if self._accounts.lacks(counter, line.budget.limit, amount):
                    short.append((line.budget, counter.ends))
        if short:
            raise _exhausted(short, now)

    async def _reach(self, want: int, least: int, *, starting: bool = False) -> int:
        """Have ``want`` tokens of the answer granted, or as many as there are, if that is at least
        ``least``; how many are. Budgets that slow down are waited for, and asked for nothing when
        ``starting``: the first token waits for them."""
        counters = self._accounts.counters
        goal = want
        if starting:
            self._check_room(least)
        while self._lines:
            assert counters is not None
            claims = self._claims(want, starting)
            reserved = await counters.reserve(self._holder, claims, LEASE)
            self._stand(claims, reserved.taken)
            if reserved.granted:
                for line, claim in zip(self._lines, claims, strict=True):
                    self._hold(line, claim.counter).amount += claim.amount
                if starting and any(line.budget.on_exhausted == "slow" for line in self._lines):
                    self._granted = self._mark = 0
                    return want
                self._granted = want
                self._mark = max(want - self._step // 2, min(self.output, want))
                if want >= least:
                    return want
                want = goal
                continue
            reaches = [
                line.reach(self.input, self._before(line) + claim.limit - taken)
                if claim.amount
                else _NO_LIMIT
                for line, claim, taken in zip(self._lines, claims, reserved.taken, strict=True)
            ]
            short = [
                (line.budget, claim.counter.ends)
                for line, claim, reach in zip(self._lines, claims, reaches, strict=True)
                if reach < least
            ]
            cuts = any(budget.on_exhausted == "cut" for budget, _ in short)
            if not short or (not cuts and min(reaches) > self._granted):
                # Not all that was wanted: all there is.
                want = min(*reaches, want - 1)
                continue
            now = self._accounts.clock()
            if cuts:
                for line, claim, reach in zip(self._lines, claims, reaches, strict=True):
                    if reach < least:
                        amount = line.amount(self.input, least) - self._before(line)
                        self._accounts.refused(claim.counter, claim.limit, amount)
                raise _exhausted(short, now)
            await self._accounts.sleep(max(end for _, end in short) - now)
            want = goal
            if self._budgets is not self._accounts.budgets:
                self._look()
        return want

    def _claims(self, want: int, starting: bool) -> list[Claim]:
        now = self._accounts.clock()
        claims = []
        for line in self._lines:
            counter = counter_of(line, now)
            amount = max(0, line.amount(self.input, want) - self._before(line))
            if starting and line.budget.on_exhausted == "slow":
                amount = 0
            held = self._held.get(line.key, ())
            here = sum(each.amount for each in held if each.counter == counter)
            earlier = sum(each.amount for each in held if each.counter != counter)
            # The prompt counts from the start: it may be on its way when this process dies.
            total = (self.input, self.output, 0) if self._stated is None else self.total()
            used = line.amount(*total) - self._charged.get(line.key, 0) - earlier
            claims.append(
                Claim(counter, line.budget.limit, amount, max(0, min(used, here + amount)))
            )
        return claims

    def _before(self, line: Line) -> int:
        """What is charged and held for the answer already."""
        held = sum(each.amount for each in self._held.get(line.key, ()))
        return held + self._charged.get(line.key, 0)

    def _hold(self, line: Line, counter: Counter) -> _Held:
        held = self._held.setdefault(line.key, [])
        if not held or held[-1].counter != counter:
            held.append(_Held(counter))
        return held[-1]

    def _spread(self, line: Line) -> Iterator[tuple[_Held, int]]:
        """What is used of each counter held: the oldest first, and the last one has the rest."""
        rest = max(0, self._total(line) - self._charged.get(line.key, 0))
        held = self._held.get(line.key, [])
        for each in held[:-1]:
            part = min(each.amount, rest)
            rest -= part
            yield each, part
        if held:
            yield held[-1], rest

    def _total(self, line: Line) -> int:
        """What the answer takes of a budget, by what is known now."""
        return line.amount(*self.total())

    def _stand(self, claims: Sequence[Claim], taken: Sequence[int]) -> None:
        self.standings = tuple(
            [
                Standing(line.budget, amount, claim.counter.ends)
                for line, claim, amount in zip(self._lines, claims, taken, strict=True)
            ]
        )

    async def _settle(self) -> None:
        fetching = self._fetching
        if fetching is not None:
            fetching.cancel()
            await asyncio.wait([fetching])
            # One that was cancelled before its first step has not said so.
            self._fetching = None
        counters = self._accounts.counters
        if not self._held or counters is None:
            return
        now = self._accounts.clock()
        finals: list[Final] = []
        current: list[tuple[Budget, int, Counter]] = []
        for line in self._lines:
            spread = [Final(held.counter, amount) for held, amount in self._spread(line)]
            counter = counter_of(line, now)
            if not spread or spread[-1].counter != counter:
                # Nothing of it is held, so this only asks how it stands.
                spread.append(Final(counter, 0))
            finals += spread
            current.append((line.budget, len(finals) - 1, counter))
        known = {line.key for line in self._lines}
        for key, held in self._held.items():
            if key not in known:  # of a budget that is no more
                finals += [Final(each.counter, each.amount) for each in held]
        taken = await counters.settle(self._holder, finals)
        for final in finals:
            self._accounts.freed(final.counter)
        for line in self._lines:
            self._charged[line.key] = max(self._charged.get(line.key, 0), self._total(line))
        self._held.clear()
        self._granted = self._mark = self.output
        self.standings = tuple(
            Standing(budget, taken[place], counter.ends) for budget, place, counter in current
        )

    def _entry(self) -> Entry:
        input_tokens, output_tokens, cached = self.total()
        price = self._accounts.budgets.prices.first(self._answers)
        return Entry(
            day=datetime.fromtimestamp(self._accounts.clock(), UTC).date().isoformat(),
            consumer=self._caller.consumer,
            model=self._answers,
            currency=price.currency if price else "",
            requests=int(self._already is None),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached,
            money=price.cost(input_tokens, output_tokens, cached) if price else 0,
            estimated=int(self.estimated),
        )


def _left(standing: Standing) -> BudgetLeft:
    budget, remaining = standing.budget, standing.remaining
    if budget.unit == "money":
        return BudgetLeft(budget.name, remaining / MICRO, budget.currency, standing.refills)
    return BudgetLeft(budget.name, remaining, budget.unit, standing.refills)


def _exhausted(short: Sequence[tuple[Budget, int]], now: float) -> BudgetExhausted:
    """The error that names the budget whose refill is farthest away."""
    budget, end = max(short, key=lambda each: each[1])
    return BudgetExhausted(
        f"the budget {budget.name!r} ({budget.stated()}) is used up; it refills at {_when(end)}",
        retry_after=max(1, math.ceil(end - now)),
        budget=budget.name,
    )


def _when(end: int) -> str:
    return datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
