"""*idle*: readers of streams that say nothing."""

from __future__ import annotations

from bench import transports
from bench.load.plan import Idle, IdleResult
from bench.options import Options
from bench.paced import server
from bench.processes import Failed, load
from bench.table import Check, Row, Table, ratio
from bench.transports import SSE

_SERVERS = ("fairlead memory", "fairlead process", "uvicorn raw ASGI")
#: Readers that are there before any is counted.
_BEFORE = 200
_BAR = 20_000


def run(options: Options) -> Table:
    """Measure them all, one after the other: a stream for each reader, and (Fairlead only) one
    stream for all."""
    connections = options.readers(5000, 1000)
    results: dict[str, IdleResult] = {}
    missing: list[str] = []
    for name in _SERVERS:
        for shared in (True, False) if name.startswith("fairlead") else (False,):
            shown = name + (", one stream" if shared else "")
            try:
                results[shown] = _measure(name, connections, shared=shared)
            except Failed as failure:
                missing.append(f"{shown}: {failure}")
    rival = results.get("uvicorn raw ASGI")
    base = rival.rss_per_reader if rival else None
    return Table(
        "idle",
        f"{connections} readers, nothing to say; each its own stream unless it says otherwise",
        ["KB/reader (RSS)", "(PSS)", "× uvicorn", "RSS MB in all"],
        [_row(name, result, base) for name, result in results.items()],
        "KB of memory per reader",
        [
            Check(
                f"{name}: at most {_BAR // 1000} KB per reader",
                f"{result.rss_per_reader / 1000:.1f} KB",
                result.rss_per_reader <= _BAR,
            )
            for name, result in results.items()
            if name.endswith("one stream")
        ],
        missing,
    )


def _measure(name: str, connections: int, *, shared: bool) -> IdleResult:
    with server(name, connections, 0) as running:
        key = "idle" if shared else ""
        plan = Idle(
            request=transports.ask(SSE, running.port, window=3600, key=key),
            connections=connections,
            before=_BEFORE,
            pids=running.pids,
            seconds=2.0,
        )
        return load(plan, IdleResult, 60)


def _row(name: str, result: IdleResult, base: float | None) -> Row:
    cells = [
        f"{result.rss_per_reader / 1000:.1f}",
        f"{result.pss_per_reader / 1000:.1f}",
        ratio(result.rss_per_reader, base),
        f"{result.rss / 1e6:.0f}",
    ]
    return Row(name, cells, result.rss_per_reader / 1000)
