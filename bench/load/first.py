"""Time to the first token, through a server and without it, in turn."""

from __future__ import annotations

import asyncio
import time

from bench.load.figures import percentile
from bench.load.plan import First, FirstResult, Request
from bench.load.reader import Reader, Tally, connect


async def first(plan: First) -> FirstResult:
    """Carry out the plan."""
    tally = Tally(plan.mark.encode())
    background = plan.background
    readers = await connect([background] * plan.connections, tally, begin="data: ")
    times: dict[str, list[float]] = {name: [] for name in plan.requests}
    for _ in range(plan.rounds):
        for name, request in plan.requests.items():
            times[name].append(await _probe(request, tally))
            # Out of step with the streams that are running.
            await asyncio.sleep(0.0007)
    for reader in readers:
        reader.close()
    return FirstResult(
        times={
            name: (percentile(values, 0.5) * 1000, percentile(values, 0.99) * 1000)
            for name, values in times.items()
        }
    )


async def _probe(request: Request, tally: Tally) -> float:
    """Seconds from sending one request, on a connection of its own, to its first token."""
    began = time.perf_counter()
    _, reader = await asyncio.get_running_loop().create_connection(
        lambda: Reader(request, tally), "127.0.0.1", request.port
    )
    arrived = await reader.ready
    reader.close()
    return arrived - began
