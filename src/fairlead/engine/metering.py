"""The metering of a node: its answers' meters, that they are heard of, and how budgets stand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from fairlead.engine.accounts import Accounts, counter_of
from fairlead.engine.meter import LEASE, Meter
from fairlead.errors import FairleadError
from fairlead.policy.budgets import Budget, Budgets, Standing, window
from fairlead.policy.caller import Caller
from fairlead.ports.counters import Counter, Taken
from fairlead.ports.provider import Turn
from fairlead.ports.usage import Usage as Entry

_log = structlog.get_logger("fairlead.engine")

#: A node is heard of so often while a lease lasts, and sweeps the counters after so many leases.
_SIGNS, _SWEEP_EVERY = 3, 6


class Metering:
    """The meters of this node's answers, over one set of ``accounts``."""

    def __init__(self, accounts: Accounts | None = None) -> None:
        self.accounts = accounts or Accounts()
        self._node = ""
        self._numbers = itertools.count(1)
        self._meters: set[Meter] = set()
        self._upkeep: asyncio.Task[None] | None = None

    # -- life

    def open(self, node: str) -> None:
        """Begin to be heard of, as ``node``. The counters must be open."""
        self._node = node
        if self.accounts.counters is not None and self._upkeep is None:
            self._upkeep = asyncio.create_task(self._keep_up(), name="metering")

    async def close(self) -> None:
        """Be heard of no more. Idempotent."""
        upkeep, self._upkeep = self._upkeep, None
        if upkeep is not None:
            upkeep.cancel()
            await asyncio.wait([upkeep])

    async def _keep_up(self) -> None:
        assert self.accounts.counters is not None
        for round in itertools.count():
            try:
                await self.accounts.counters.meter(
                    [used for meter in tuple(self._meters) for used in meter.used()], LEASE
                )
                if round % (_SIGNS * _SWEEP_EVERY) == 0:
                    await self.accounts.counters.sweep()
            except FairleadError as error:
                # The next round tries again; what is held lives on for two more.
                _log.warning("metering_failed", code=error.code, error=error.message)
            await asyncio.sleep(LEASE / _SIGNS)

    @property
    def budgets(self) -> Budgets:
        """The budgets that are decided by."""
        return self.accounts.budgets

    def replace(self, budgets: Budgets) -> None:
        """Decide by other budgets from now on; answers under way do so with their next token."""
        self.accounts.replace(budgets)
        for meter in self._meters:
            meter.look_again()

    # -- answers

    async def begin(
        self,
        caller: Caller,
        model: str,
        turns: Sequence[Turn],
        parameters: Mapping[str, Any] | None = None,
        body: bytes = b"",
        *,
        before: int | None = None,
    ) -> Meter:
        """Reserve what a question takes at least; :meth:`Meter.close` or :meth:`Meter.cancel` must
        follow. ``parameters`` are part of the prompt as far as they are long: descriptions of
        tools, schemas. ``body``: the request that may be sent on as it is, with whatever it holds.
        ``before``: see :class:`~fairlead.engine.meter.Meter`.

        Raises :class:`~fairlead.errors.BudgetExhausted`, :class:`~fairlead.errors.TooLarge` for a
        prompt that a budget could never hold, and :class:`~fairlead.errors.Misconfigured` for a
        model without a price where it needs one.
        """
        prompt = self.accounts.prompt(turns, parameters, body)
        holder = f"{self._node}.{next(self._numbers)}"
        meter = Meter(self.accounts, holder, caller, model, prompt, self._meters.discard, before)
        try:
            await meter.begin()
        except asyncio.CancelledError:
            # What was asked for may be granted all the same.
            await meter.cancel()
            raise
        self._meters.add(meter)
        return meter

    # -- looking on

    async def standings(self, caller: Caller, models: Sequence[str]) -> list[tuple[str, Standing]]:
        """How each budget stands for the caller, with the model that it is counted for (empty: all
        that it concerns)."""
        now = self.accounts.clock()
        found: dict[str, tuple[str, Budget, Counter]] = {}
        for model in models:
            for line in self.accounts.lines(caller, model):
                counter = counter_of(line, now)
                shown = model if "model" in line.budget.keyed_by else ""
                found.setdefault(line.key, (shown, line.budget, counter))
        if self.accounts.counters is None or not found:
            return []
        taken = await self.accounts.counters.taken([counter for _, _, counter in found.values()])
        return [
            (model, Standing(budget, amount, counter.ends))
            for (model, budget, counter), amount in zip(found.values(), taken, strict=True)
        ]

    async def usage(self, consumer: str | None, since: str, until: str) -> list[Entry]:
        """The ledger's rows, those of just now among them."""
        if self.accounts.ledger is None:
            return []
        await self.accounts.ledger.flush()
        return await self.accounts.ledger.read(consumer, since, until)

    async def everybody(self, limit: int) -> list[tuple[Budget, int, list[Taken]]]:
        """Each budget, when it refills (seconds since 1970, UTC), and what is taken of it in this
        window, by those who took most, ``limit`` at most."""
        if self.accounts.counters is None:
            return []
        found = []
        for budget in self.budgets.all:
            now = window(budget.per, self.accounts.clock())
            taken = await self.accounts.counters.largest(budget.name, now.start, limit)
            found.append((budget, now.end, taken))
        return found
