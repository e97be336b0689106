"""*paced*: many connections, each with its own stream, each token in its own event."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench import transports
from bench.load.plan import Stream, StreamResult
from bench.options import Options
from bench.processes import Failed, Server, folder, load, module
from bench.table import Check, Row, Table, optional, ratio
from bench.ticker import MARK
from bench.transports import SSE, WEBSOCKET

RATE = 100.0
#: The rivals' modules and their first argument.
_RIVALS = {
    "uvicorn raw ASGI": ("bench.rivals.paced", "uvicorn"),
    "sse-starlette": ("bench.rivals.paced", "sse-starlette"),
    "uvicorn websockets": ("bench.rivals.websocket", "uvicorn"),
    "picows": ("bench.rivals.websocket", "picows"),
}
_BASE = "uvicorn raw ASGI"
_RUNS = (
    ("fairlead memory", SSE),
    ("fairlead memory", WEBSOCKET),
    *(("fairlead process", transport) for transport in transports.ALL),
    ("uvicorn raw ASGI", SSE),
    ("sse-starlette", SSE),
    ("uvicorn websockets", WEBSOCKET),
    ("picows", WEBSOCKET),
)
#: On these each token goes into an event of its own, and the server is to keep up so.
_EVENT_BY_EVENT = (SSE, WEBSOCKET)
#: Events that must arrive, as a share of those that are due.
KEEPS_UP = 0.98
#: Readers among which one measures latency.
_TIMING = 20


@contextlib.contextmanager
def server(name: str, streams: int, rate: float, tokens: int = 0) -> Iterator[Server]:
    """One of the servers that speak at a pace; Fairlead's answers have ``tokens`` (0: no end)."""
    pace = ["--streams", str(streams), "--rate", str(rate)]
    if name in _RIVALS:
        with module(*_RIVALS[name], *pace) as running:
            yield running
        return
    with folder() as data:
        arguments = ["--durability", name.split()[1], "--data-dir", str(data), *pace]
        with module("bench.paced_server", *arguments, "--tokens", str(tokens)) as running:
            yield running


def measure(
    name: str,
    connections: int,
    rate: float,
    options: Options,
    transport: str = SSE,
    *,
    shared: bool = False,
) -> StreamResult:
    """One server under the load; ``shared``: all read the same stream."""
    with server(name, 1 if shared else connections, rate) as running:
        key = "shared" if shared else ""
        plan = Stream(
            request=transports.ask(transport, running.port, key=key),
            connections=connections,
            mark=MARK.decode(),
            begin=transports.BEGIN[transport],
            pids=running.pids,
            warmup=options.warmup,
            seconds=options.seconds,
            timing=timing(connections),
        )
        return load(plan, StreamResult, options.warmup + options.seconds)


def timing(connections: int) -> int:
    """Every how many-th reader measures latency."""
    return max(1, connections // 50) if connections < 1000 else _TIMING


def run(options: Options) -> Table:
    """Measure them all, one after the other."""
    connections = options.readers(1000, 200)
    due = connections * RATE
    results: dict[str, StreamResult] = {}
    missing: list[str] = []
    for name, transport in _RUNS:
        shown = f"{name}, {transport}" if name.startswith("fairlead") else name
        try:
            results[shown] = measure(name, connections, RATE, options, transport)
        except Failed as failure:
            missing.append(f"{shown}: {failure}")
    rival = results.get(_BASE)
    base = rival.cpu / rival.tokens if rival else None
    return Table(
        "paced",
        f"{connections} connections × {RATE:g} events/s, each its own stream",
        [*COLUMNS, "× uvicorn"],
        [row(name, result, due, base) for name, result in results.items()],
        "µs of processor time per event",
        [
            keeps_up(name, results[name], due)
            for name in results
            if name.startswith("fairlead") and name.endswith(_EVENT_BY_EVENT)
        ],
        missing,
    )


COLUMNS = ["events/s", "of due", "cores", "µs/event", "RSS MB", "p50 ms", "p99 ms", "B/event",
           "load cores"]  # fmt: skip


def row(name: str, result: StreamResult, due: float, base: float | None) -> Row:
    """A server's figures in :data:`COLUMNS`, and how many times the base an event costs."""
    each = result.cpu / max(result.tokens, 1)
    cells = [
        f"{result.tokens:,.0f}",
        f"{result.tokens / due:.1%}",
        f"{result.cpu:.2f}",
        f"{each * 1e6:.2f}",
        f"{result.rss / 1e6:.0f}",
        optional(result.p50, 2),
        optional(result.p99, 1),
        f"{result.bytes_per_token:.0f}",
        f"{result.load_cpu:.2f}",
        ratio(each, base),
    ]
    return Row(name, cells, each * 1e6)


def keeps_up(name: str, result: StreamResult, due: float) -> Check:
    """The bar that every event by event transport is held against."""
    return Check(
        f"{name}: keeps up on one core",
        f"{result.tokens / due:.1%} of the events with {result.cpu:.2f} cores",
        result.tokens >= KEEPS_UP * due and result.cpu <= 1.0 and not result.lost,
    )
