"""Time to the first token, through a server and without it, in turn."""

from __future__ import annotations

import asyncio
import math
import time

from bench.load.figures import percentile
from bench.load.plan import First, FirstResult, Request
from bench.load.reader import Reader, Tally, connect


async def first(plan: First) -> FirstResult:
    """Carry out the plan."""
    tally = Tally(plan.mark.encode())
    background = plan.background
    readers = await connect([background] * plan.connections, tally, begin=plan.mark)
    times: dict[str, list[float]] = {name: [] for name in plan.requests}
    for _ in range(plan.rounds):
        for name, request in plan.requests.items():
            times[name].append(await _probe(request, tally))
            # Out of step with the streams that are running.
            await asyncio.sleep(0.0007)
    for reader in readers:
        reader.close()
    first, *others = times
    return FirstResult(
        times={
            name: (percentile(values, 0.5) * 1000, percentile(values, 0.99) * 1000)
            for name, values in times.items()
        },
        later={
            name: median([b - a for a, b in zip(times[first], times[name], strict=True)])
            for name in others
        },
    )


def median(seconds: list[float]) -> tuple[float, float, float]:
    """The median in milliseconds, and the bounds between which that of all there could be lies, 19
    times in 20, whatever their distribution."""
    ordered = sorted(seconds)
    count = len(ordered)
    # The binomial distribution's, as the normal one has it.
    aside = 0.98 * math.sqrt(count)
    low = max(0, math.floor(count / 2 - aside))
    high = min(count - 1, math.ceil(count / 2 + aside))
    return percentile(seconds, 0.5) * 1000, ordered[low] * 1000, ordered[high] * 1000


async def _probe(request: Request, tally: Tally) -> float:
    """Seconds from sending one request, on a connection of its own, to its first token."""
    began = time.perf_counter()
    _, reader = await asyncio.get_running_loop().create_connection(
        lambda: Reader(request, tally), "127.0.0.1", request.port
    )
    arrived = await reader.ready
    reader.close()
    return arrived - began
