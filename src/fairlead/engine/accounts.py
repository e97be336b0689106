"""What answers are charged to: budgets, their counters, and the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fairlead.errors import Misconfigured
from fairlead.policy.budgets import Budgets, Line, UnknownQuota, Unpriced, window
from fairlead.policy.caller import Caller
from fairlead.policy.tokens import PICTURE, estimate, estimate_attachment
from fairlead.ports.counters import Counter, Counters
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import Turn
from fairlead.ports.usage import UsageLedger

#: Seconds for which a counter that lacked the room is not asked for as much again. Of the questions
#: of a flood most are refused without the store, which has those who are writing to serve.
_FULL = 0.05
#: So many such counters are remembered.
_MOST_FULL = 1000
#: Characters of parameters that are settings alone, as ``temperature`` is, and no part of a prompt.
_SETTINGS = 200


class Accounts:
    """Shared by all answers of a node. ``budgets`` may be replaced while they run; without
    ``counters`` there are none.

    ``count``: how many tokens a text is. ``clock``: seconds since 1970. ``sleep`` waits.
    """

    def __init__(
        self,
        *,
        budgets: Budgets | None = None,
        counters: Counters | None = None,
        ledger: UsageLedger | None = None,
        count: Callable[[str], int] = estimate,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.counters = counters
        self.ledger = ledger
        self.clock = clock
        self.sleep = sleep
        self._count = count
        #: How much of a limit was lacking, and until when that is taken to be so.
        self._full: dict[Counter, tuple[int, int, float]] = {}
        #: How many answers are being written by budget's key.
        self._writing: dict[str, int] = {}
        self.replace(budgets or Budgets())

    def replace(self, budgets: Budgets) -> None:
        """Decide by other budgets from now on."""
        if budgets.all and self.counters is None:
            raise ValueError("budgets need counters")
        self.budgets = budgets

    def lines(self, caller: Caller, model: str, answers: str = "") -> tuple[Line, ...]:
        """What counts when ``caller`` asks ``model``, and ``answers`` (empty: the same one) is what
        has to be paid."""
        try:
            return self.budgets.lines(caller, model, answers or model)
        except Unpriced as error:
            raise Misconfigured(
                f"prices: {error.model!r} has no price in {error.budget.currency}, which the "
                f"budget {error.budget.name!r} needs; add one, or name the models that the budget "
                "concerns"
            ) from None
        except UnknownQuota as error:
            raise Misconfigured(
                f"budgets: the API key draws on {error.name[:80]!r}, which is no budget here; add "
                "it, or make the key anew"
            ) from None

    # -- counters that are full

    def lacks(self, counter: Counter, limit: int, amount: int) -> bool:
        """Whether so much was refused a moment ago."""
        known = self._full.get(counter)
        if known is None:
            return False
        of, refused, until = known
        # A clock that was set back must not have it last longer.
        return limit == of and amount >= refused and 0 < until - self.clock() <= _FULL

    def refused(self, counter: Counter, limit: int, amount: int) -> None:
        """The counter lacks the room for so much, until :meth:`freed` or a moment later."""
        self._full[counter] = (limit, amount, self.clock() + _FULL)
        if len(self._full) > _MOST_FULL:
            del self._full[next(iter(self._full))]

    def freed(self, counter: Counter) -> None:
        """Something may have been given back."""
        if self._full:
            self._full.pop(counter, None)

    # -- who draws on them

    def writing(self, key: str) -> int:
        """How many answers of this node are being written that draw on the budget of this key."""
        return self._writing.get(key, 0)

    def writes(self, keys: Iterable[str]) -> None:
        """An answer is being written that draws on these, until :meth:`wrote`."""
        for key in keys:
            self._writing[key] = self._writing.get(key, 0) + 1

    def wrote(self, keys: Iterable[str]) -> None:
        """It has ended."""
        for key in keys:
            count = self._writing[key] - 1
            if count:
                self._writing[key] = count
            else:
                del self._writing[key]

    # -- prompts

    def prompt(
        self, turns: Sequence[Turn], parameters: Mapping[str, Any] | None, body: bytes
    ) -> int:
        """About how many tokens a prompt is; see :meth:`Metering.begin`."""
        tokens = sum(map(self._turn, turns))
        if parameters:
            text = msgspec.json.encode(parameters).decode()
            tokens += self._count(text) if len(text) > _SETTINGS else 0
        if body:
            attached = sum(len(each.data) for turn in turns for each in turn.attachments)
            # Attachments are in base64 there.
            tokens = max(tokens, (len(body) - attached * 4 // 3) // 4)
        return tokens

    def passages(self, passages: Iterable[Passage]) -> int:
        """How many tokens passages add to a prompt."""
        return sum(self._count(passage.text) for passage in passages)

    def _turn(self, turn: Turn) -> int:
        called = sum(self._count(call.arguments) for call in turn.calls)
        # What else there is, a picture by its address say, cannot be looked at here.
        shown = sum(map(estimate_attachment, turn.attachments)) + PICTURE * len(turn.unsaid)
        return self._count(turn.text) + shown + called


def counter_of(line: Line, now: float) -> Counter:
    """The counter of a budget that counts at ``now``."""
    here = window(line.budget.per, now)
    return Counter(line.key, here.start, here.end)
