"""Readers with nothing to read: what each of them costs in memory."""

from __future__ import annotations

import asyncio

from bench import proc
from bench.load.plan import Idle, IdleResult
from bench.load.reader import Tally, connect
from bench.ticker import MARK


async def idle(plan: Idle) -> IdleResult:
    """Carry out the plan."""
    tally = Tally(MARK)
    readers = await connect([plan.request] * plan.before, tally, begin=plan.begin)
    await asyncio.sleep(plan.seconds)
    rss, pss = proc.rss(plan.pids), proc.pss(plan.pids)
    readers += await connect([plan.request] * plan.connections, tally, begin=plan.begin)
    await asyncio.sleep(plan.seconds)
    total = proc.rss(plan.pids)
    result = IdleResult(
        rss_per_reader=(total - rss) / plan.connections,
        pss_per_reader=(proc.pss(plan.pids) - pss) / plan.connections,
        rss=total,
    )
    for reader in readers:
        reader.close()
    return result
