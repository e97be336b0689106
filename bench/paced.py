"""*paced*: many connections, each with its own stream, each token in its own event."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.load.plan import Request, Stream, StreamResult
from bench.options import Options
from bench.processes import Failed, Server, folder, load, module
from bench.table import Check, Row, Table, ratio
from bench.ticker import MARK

RATE = 100.0
_SERVERS = ("fairlead memory", "fairlead process", "uvicorn raw ASGI", "sse-starlette")
#: Events that must arrive, as a share of those that are due.
_KEEPS_UP = 0.98
#: Readers among which one measures latency.
_TIMING = 20


@contextlib.contextmanager
def server(name: str, streams: int, rate: float) -> Iterator[Server]:
    """One of the servers that speak at a pace."""
    pace = ["--streams", str(streams), "--rate", str(rate)]
    with folder() as data:
        if name.startswith("fairlead"):
            durability = name.split()[1]
            arguments = ["--durability", durability, "--data-dir", str(data), *pace]
            with module("bench.paced_server", *arguments) as running:
                yield running
        else:
            with module("bench.rivals.paced", name.split()[0], *pace) as running:
                yield running


def question(port: int, *, window: float = 2, headers: dict[str, str] | None = None) -> Request:
    """What every reader asks: an answer that goes on for ``window`` seconds when nobody reads."""
    body = f'{{"message": "go", "orphan_window": {window}}}'
    return Request(port=port, path="/chat/stream", body=body, headers=headers or {})


def measure(name: str, connections: int, rate: float, options: Options) -> StreamResult:
    """One server under the load."""
    with server(name, connections, rate) as running:
        plan = Stream(
            request=question(running.port),
            connections=connections,
            mark=MARK.decode(),
            pids=running.pids,
            warmup=options.warmup,
            seconds=options.seconds,
            timing=max(1, connections // 50) if connections < 1000 else _TIMING,
        )
        return load(plan, StreamResult, options.warmup + options.seconds)


def run(options: Options) -> Table:
    """Measure them all, one after the other."""
    connections = options.readers(1000, 200)
    due = connections * RATE
    results: dict[str, StreamResult] = {}
    missing: list[str] = []
    for name in _SERVERS:
        try:
            results[name] = measure(name, connections, RATE, options)
        except Failed as failure:
            missing.append(f"{name}: {failure}")
    rival = results.get("uvicorn raw ASGI")
    base = rival.cpu / rival.tokens if rival else None
    return Table(
        "paced",
        f"{connections} connections × {RATE:g} events/s, each its own stream",
        ["events/s", "of due", "cores", "µs/event", "× uvicorn", "RSS MB", "p50 ms", "p99 ms",
         "B/event", "load cores"],
        [_row(name, result, due, base) for name, result in results.items()],
        "µs of processor time per event",
        [
            _check(name.split()[1], results[name], due)
            for name in _SERVERS[:2]
            if name in results
        ],
        missing,
    )  # fmt: skip


def _row(name: str, result: StreamResult, due: float, base: float | None) -> Row:
    each = result.cpu / max(result.tokens, 1)
    cells = [
        f"{result.tokens:,.0f}",
        f"{result.tokens / due:.1%}",
        f"{result.cpu:.2f}",
        f"{each * 1e6:.2f}",
        ratio(each, base),
        f"{result.rss / 1e6:.0f}",
        f"{result.p50:.2f}" if result.p50 is not None else "–",
        f"{result.p99:.1f}" if result.p99 is not None else "–",
        f"{result.bytes_per_token:.0f}",
        f"{result.load_cpu:.2f}",
    ]
    return Row(name, cells, each * 1e6)


def _check(durability: str, result: StreamResult, due: float) -> Check:
    return Check(
        f"at durability {durability}: keeps up on one core",
        f"{result.tokens / due:.1%} of the events with {result.cpu:.2f} cores",
        result.tokens >= _KEEPS_UP * due and result.cpu <= 1.0 and not result.lost,
    )
