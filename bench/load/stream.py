"""Many readers for a while: how much came, how late, and what it cost the server."""

from __future__ import annotations

import asyncio
import os
import time

from bench import proc
from bench.load.figures import percentile
from bench.load.plan import Stream, StreamResult
from bench.load.publish import publish
from bench.load.reader import Tally, connect


async def stream(plan: Stream) -> StreamResult:
    """Carry out the plan."""
    tally = Tally(plan.mark.encode())
    requests = [plan.request] * plan.connections
    readers = await connect(requests, tally, begin=plan.begin, timing=plan.timing)
    publisher = asyncio.create_task(publish(plan.publish)) if plan.publish else None
    await asyncio.sleep(plan.warmup)

    me = [os.getpid()]
    tally.latencies.clear()
    tokens, size, sent, began = tally.tokens, tally.bytes, tally.sent, time.monotonic()
    cpu, my_cpu = proc.cpu_seconds(plan.pids), proc.cpu_seconds(me)
    await asyncio.sleep(plan.seconds)
    passed = time.monotonic() - began
    cpu = proc.cpu_seconds(plan.pids) - cpu
    my_cpu = proc.cpu_seconds(me) - my_cpu
    tokens, size, sent = tally.tokens - tokens, tally.bytes - size, tally.sent - sent
    latencies = tally.latencies.copy()

    result = StreamResult(
        tokens=tokens / passed,
        cpu=cpu / passed,
        load_cpu=my_cpu / passed,
        rss=proc.rss(plan.pids),
        pss=proc.pss(plan.pids),
        lost=tally.lost,
        bytes_per_token=size / max(tokens, 1),
        sent_per_token=sent / max(tokens, 1),
        p50=percentile(latencies, 0.5) / 1000 if latencies else None,
        p99=percentile(latencies, 0.99) / 1000 if latencies else None,
    )
    if publisher is not None:
        if publisher.done():
            publisher.result()
        publisher.cancel()
    for reader in readers:
        reader.close()
    return result
