"""*compare*: what is said of the transports, measured on each of Fairlead's, one by one."""

from __future__ import annotations

import msgspec

from bench import transports
from bench.load.plan import Idle, IdleResult, Probe, ProbeResult, StreamResult
from bench.options import Options
from bench.paced import measure, server
from bench.processes import Failed, load
from bench.table import Check, Row, Table, optional, ratio
from bench.transports import SSE

#: Few enough that no transport is at its limit, each stream as fast as a model writes.
CONNECTIONS, RATE = 100, 20.0
_DURABILITY = "fairlead process"
#: Readers that are there before any is weighed.
_BEFORE = 200
#: What Chromium says of itself and of the page with each request.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36",
    "Accept-Encoding": "identity",
    "Accept-Language": "en-GB,en;q=0.9",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
    "sec-ch-ua": '"Chromium";v="156", "Not;A=Brand";v="24"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
}


class Found(msgspec.Struct, frozen=True):
    """What was measured of one transport."""

    stream: StreamResult
    idle: IdleResult
    probe: ProbeResult


def run(options: Options) -> Table:
    """Measure each transport, one after the other."""
    readers = options.readers(2000, 500)
    results: dict[str, Found] = {}
    missing: list[str] = []
    for transport in transports.ALL:
        try:
            results[transport] = Found(
                measure(_DURABILITY, CONNECTIONS, RATE, options, transport),
                _idle(transport, readers),
                _probe(transport, 50 if options.quick else 200),
            )
        except Failed as failure:
            missing.append(f"{transport}: {failure}")
    base = results.get(SSE)
    return Table(
        "compare",
        f"{CONNECTIONS} streams × {RATE:g} events/s; {readers} idle readers; "
        "then one connection at a time",
        ["µs/event", "× SSE", "p50 ms", "p99 ms", "KB/reader", "B/event", "B sent", "gzip saves",
         "open ms", "round trips", "head B", "resume ms"],
        [_row(name, found, base) for name, found in results.items()],
        "µs of processor time per event",
        [
            Check(
                f"{name}: what follows a position comes, and nothing else",
                f"{found.probe.wrong} wrong",
                not found.probe.wrong,
            )
            for name, found in results.items()
        ],
        missing,
        ["p50 ms", "KB/reader", "B/event", "open ms", "resume ms"],
    )  # fmt: skip


def _idle(transport: str, readers: int) -> IdleResult:
    with server(_DURABILITY, 1, 0) as running:
        plan = Idle(
            request=transports.ask(transport, running.port, window=3600, key="idle"),
            connections=readers,
            before=_BEFORE,
            begin=transports.BEGIN[transport],
            pids=running.pids,
            seconds=1.0,
        )
        return load(plan, IdleResult, 60)


def _probe(transport: str, rounds: int) -> ProbeResult:
    with server(_DURABILITY, 1, 100) as running:
        page = f"http://127.0.0.1:{running.port}"
        headers = {"Origin": page, "Referer": f"{page}/", **BROWSER}
        plan = Probe(transport=transport, port=running.port, headers=headers, rounds=rounds)
        return load(plan, ProbeResult, 60)


def _row(name: str, found: Found, base: Found | None) -> Row:
    stream, idle, probe = found.stream, found.idle, found.probe
    each = _each(found)
    cells = [
        f"{each:.0f}",
        ratio(each, _each(base) if base else None),
        optional(stream.p50, 2),
        optional(stream.p99, 1),
        f"{idle.rss_per_reader / 1000:.1f}",
        f"{stream.bytes_per_token:.0f}",
        f"{stream.sent_per_token:.0f}",
        f"{1 - probe.gzipped / probe.plain:.0%}",
        f"{probe.opened[0]:.2f}",
        f"{probe.turns}",
        f"{probe.request_head + probe.response_head}",
        f"{probe.resumed[0]:.2f}",
    ]
    return Row(name, cells, each)


def _each(found: Found) -> float:
    return found.stream.cpu / max(found.stream.tokens, 1) * 1e6
