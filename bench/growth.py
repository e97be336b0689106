"""*growth*: the same work in few streams and in many; an event should cost the same."""

from __future__ import annotations

from bench.load.plan import StreamResult
from bench.options import Options
from bench.paced import measure
from bench.processes import Failed
from bench.table import Check, Row, Table, ratio

#: Events a second, in however many streams.
_TOTAL = 10_000
_STREAMS = (10, 100, 1000, 5000)
_QUICK = (10, 100, 1000)


def run(options: Options) -> Table:
    """Measure Fairlead at durability ``process`` with ever more streams."""
    results: dict[int, StreamResult] = {}
    missing: list[str] = []
    for streams in _QUICK if options.quick else _STREAMS:
        try:
            results[streams] = measure("fairlead process", streams, _TOTAL / streams, options)
        except Failed as failure:
            missing.append(f"{streams} streams: {failure}")
    costs = {streams: r.cpu / max(r.tokens, 1) * 1e6 for streams, r in results.items()}
    base = costs.get(1000)
    rows = [
        Row(
            f"{streams} streams",
            [
                f"{result.tokens:,.0f}",
                f"{result.cpu:.2f}",
                f"{costs[streams]:.2f}",
                ratio(costs[streams], base),
                f"{result.rss / 1e6:.0f}",
            ],
            costs[streams],
        )
        for streams, result in results.items()
    ]
    spread = max(costs.values()) / min(costs.values()) if costs else 0.0
    return Table(
        "growth",
        f"{_TOTAL:,} events/s in ever more streams, durability process",
        ["events/s", "cores", "µs/event", "× 1,000 streams", "RSS MB"],
        rows,
        "µs of processor time per event",
        [
            Check(
                "an event costs the same, ±15%", f"{spread:.2f} × from best to worst", spread <= 1.3
            )
        ],
        missing,
    )
