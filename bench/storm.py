"""*storm*: every reader loses its connection at once and resumes where it stood."""

from __future__ import annotations

from bench import transports
from bench.load.plan import Storm, StormResult
from bench.options import Options
from bench.paced import server
from bench.processes import Failed, load
from bench.table import Check, Row, Table
from bench.transports import SSE

#: Tokens a second of each stream: what a quick model writes.
_RATE = 20.0
_SERVERS = ("fairlead memory", "fairlead process")


def run(options: Options) -> Table:
    """Measure at each durability. No rival resumes."""
    connections = options.readers(1000, 200)
    seconds = min(options.seconds, 3.0)
    results: dict[str, StormResult] = {}
    missing: list[str] = []
    for name in _SERVERS:
        try:
            with server(name, connections, _RATE) as running:
                plan = Storm(
                    request=transports.ask(SSE, running.port, window=60),
                    connections=connections,
                    warmup=options.warmup,
                    seconds=seconds,
                )
                results[name] = load(plan, StormResult, options.warmup + seconds)
        except Failed as failure:
            missing.append(f"{name}: {failure}")
    return Table(
        "storm",
        f"{connections} readers of as many streams at {_RATE:g} events/s, cut and resumed at once",
        ["readers", "half current, ms", "all current, ms", "tokens checked", "wrong texts"],
        [_row(name, result) for name, result in results.items()],
        "ms until every reader is current again",
        [check for name, result in results.items() for check in _checks(name, result)],
        missing,
    )


def _row(name: str, result: StormResult) -> Row:
    cells = [
        f"{result.readers:,}",
        f"{result.half:.0f}",
        f"{result.all:.0f}",
        f"{result.tokens:,}",
        f"{result.wrong}",
    ]
    return Row(name, cells, result.all)


def _checks(name: str, result: StormResult) -> list[Check]:
    durability = name.split()[1]
    return [
        Check(
            f"at durability {durability}: all are current within 1 s",
            f"{result.all:.0f} ms",
            result.all <= 1000,
        ),
        Check(
            f"at durability {durability}: nothing lost, nothing repeated",
            result.trouble or f"{result.tokens:,} tokens of {result.readers:,} texts are right",
            not result.wrong,
        ),
    ]
