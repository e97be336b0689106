"""*budget*: what limits cost an answer: the decision, each token, each step, and the end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bench.options import Options
from bench.table import Check, Row, Table
from fairlead.engine.accounts import Accounts, counter_of
from fairlead.engine.meter import LEASE, Meter
from fairlead.engine.metering import Metering
from fairlead.events.model import Token
from fairlead.policy.budgets import Budget, Budgets
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts
from fairlead.ports.counters import Claim, Counters
from fairlead.ports.provider import Turn
from fairlead.stores.memory_counters import MemoryCounters
from fairlead.stores.sqlite_counters import SqliteCounters
from fairlead.stores.sqlite_gateway import SqliteGateway

_CALLER = Caller("ann", facts=Facts(address="192.0.2.7", headers={"x-tenant": "acme"}))
#: Two budgets of tokens, as the gateway's bar has it: one of the consumer's, one of a tenant's
#: addresses.
_BUDGETS = Budgets(
    [
        Budget(name="day", limit=1 << 40),
        Budget(name="minute", limit=1 << 40, per="minute", keyed_by=("header:x-tenant", "address")),
    ]
)
_TURNS = (Turn("user", "Why did the crew haul the line through the fairlead? " * 4),)
_TOKEN = Token(0, " fairlead")

#: Microseconds that a decision may take.
_BAR = 5.0
_BATCH = 200


def run(options: Options) -> Table:
    """Measure in one process, by its processor time: the best of many batches, since whatever else
    the machine does only ever adds to it."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Table:
    async with AsyncExitStack() as stack:
        gateway = SqliteGateway(
            Path(stack.enter_context(tempfile.TemporaryDirectory())) / "gateway.db"
        )
        await gateway.open()
        stack.push_async_callback(gateway.close)
        sqlite = SqliteCounters(gateway)
        await sqlite.open()
        memory = Metering(Accounts(budgets=_BUDGETS, counters=MemoryCounters()))
        shared = Metering(Accounts(budgets=_BUDGETS, counters=sqlite))
        none = Metering()
        seconds = options.seconds / 10
        decision = await _best(lambda: _decide(memory.accounts.counters), seconds)
        rows = [
            Row("decide on two budgets, in memory", [f"{decision:.2f}"], decision),
            _row(
                "the same, in SQLite", await _best(lambda: _decide(sqlite), seconds, time.monotonic)
            ),
            _row(
                "a whole answer but for its tokens, in memory",
                await _best(lambda: _answer(memory), seconds),
            ),
            _row(
                "the same, in SQLite", await _best(lambda: _answer(shared), seconds, time.monotonic)
            ),
            _row("the same, without budgets", await _best(lambda: _answer(none), seconds)),
            _row("a token, with two budgets", await _token(memory, seconds)),
            _row("a token, without budgets", await _token(none, seconds)),
        ]
    return Table(
        "budget",
        "what two budgets cost, in one process (SQLite: with the wait for its thread)",
        ["µs"],
        rows,
        "µs",
        [Check(f"a decision takes at most {_BAR:g} µs", f"{decision:.2f} µs", decision <= _BAR)],
    )


def _row(name: str, cost: float) -> Row:
    return Row(name, [f"{cost:.2f}"], cost)


async def _decide(counters: Counters | None) -> None:
    """From a caller to what is reserved: keys, windows, claims, the counters."""
    assert counters is not None
    now = time.time()
    claims = [
        Claim(counter_of(line, now), line.budget.limit, 300, 44)
        for line in _BUDGETS.lines(_CALLER, "model")
    ]
    await counters.reserve("holder", claims, LEASE)


async def _answer(metering: Metering) -> None:
    """What an answer's metering does beside its tokens: estimate, reserve, settle."""
    meter = await metering.begin(_CALLER, "model", _TURNS)
    await meter.asked(())
    await meter.close()


async def _best(
    act: Callable[[], Awaitable[None]],
    seconds: float,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Microseconds that ``act`` takes in the best of the batches that ``seconds`` hold."""
    best = float("inf")
    until = time.monotonic() + seconds
    while time.monotonic() < until or best == float("inf"):
        begin = clock()
        for _ in range(_BATCH):
            await act()
        best = min(best, (clock() - begin) / _BATCH)
    return best * 1e6


async def _token(metering: Metering, seconds: float) -> float:
    """Microseconds for a token, the steps that it needs now and then among them."""
    meter = await metering.begin(_CALLER, "model", _TURNS)
    await meter.asked(())
    try:
        return await _best(lambda: _tokens(meter), seconds) / 1000
    finally:
        await meter.close()


async def _tokens(meter: Meter) -> None:
    add = meter.add
    for _ in range(1000):
        if tokens := add(_TOKEN):
            await meter.room(tokens)
            # As anywhere else: the step is fetched while the provider is waited for.
            await asyncio.sleep(0)
