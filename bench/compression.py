"""*compression*: what compressed streams cost, and what they save."""

from __future__ import annotations

import hashlib
import time

from bench import transports
from bench.load.plan import Idle, IdleResult, Request, Stream, StreamResult
from bench.options import Options
from bench.paced import server, timing
from bench.processes import Failed, load
from bench.table import Check, Row, Table, optional
from bench.ticker import MARK
from bench.transports import NDJSON, SSE
from fairlead.transports.coding import CODERS

CONNECTIONS, RATE = 100, 20.0
_SERVER = "fairlead memory"
#: Readers that are there before any is weighed.
_BEFORE = 200
#: What an idle reader may cost where nothing is compressed, in bytes.
_BAR = 20_000
_ROUNDS = 30
#: As they come, of one stream.
_EVENTS = [
    b'event: token\ndata: {"token":"%b "}\nid: 5h2m7abcdefghjkmnpqrstvwxy.11k3f9az-1%d\n\n'
    % (hashlib.md5(b"%d" % n, usedforsecurity=False).hexdigest()[: n % 9 + 2].encode(), n)
    for n in range(1000)
]
#: Transport, coding, and whether all read one stream.
_RUNS = (
    *((SSE, coding, False) for coding in ("", "gzip", "zstd")),
    *((SSE, coding, True) for coding in ("", "gzip", "zstd")),
    *((NDJSON, coding, False) for coding in ("", "gzip", "zstd")),
)


def run(options: Options) -> Table:
    """Measure each, one after the other; idle readers all read one stream."""
    readers = options.readers(2000, 500)
    results: dict[tuple[str, str, bool], tuple[StreamResult, IdleResult]] = {}
    missing: list[str] = []
    for key in _RUNS:
        try:
            results[key] = _stream(*key, options), _idle(key[0], key[1], readers)
        except Failed as failure:
            missing.append(f"{_name(*key)}: {failure}")
    return Table(
        "compression",
        f"{CONNECTIONS} readers × {RATE:g} events/s, each its own stream or all the same one; "
        f"{readers} idle readers",
        ["µs/event", "µs to compress", "B/event", "saved", "p50 ms", "p99 ms", "KB/reader"],
        [_row(key, *found, results.get((key[0], "", key[2]))) for key, found in results.items()],
        "bytes per event",
        [
            Check(
                f"{_name(*key)}: at most {_BAR // 1000} KB per idle reader",
                f"{idle.rss_per_reader / 1000:.1f} KB",
                idle.rss_per_reader <= _BAR,
            )
            for key, (_, idle) in results.items()
            if not key[1]
        ],
        missing,
        ["µs/event", "KB/reader"],
    )


def _name(transport: str, coding: str, shared: bool) -> str:
    return f"{transport}{', one stream' if shared else ''}, {coding or 'as it is'}"


def _request(port: int, transport: str, coding: str, *, window: float, key: str) -> Request:
    headers = {"Accept-Encoding": coding} if coding else {}
    return transports.ask(transport, port, window=window, key=key, headers=headers)


def _stream(transport: str, coding: str, shared: bool, options: Options) -> StreamResult:
    with server(_SERVER, 1 if shared else CONNECTIONS, RATE) as running:
        key = "shared" if shared else ""
        plan = Stream(
            request=_request(running.port, transport, coding, window=2.0, key=key),
            connections=CONNECTIONS,
            mark=MARK.decode(),
            begin=transports.BEGIN[transport],
            pids=running.pids,
            warmup=options.warmup,
            seconds=options.seconds,
            timing=timing(CONNECTIONS),
        )
        return load(plan, StreamResult, options.warmup + options.seconds)


def _idle(transport: str, coding: str, readers: int) -> IdleResult:
    with server(_SERVER, 1, 0) as running:
        plan = Idle(
            request=_request(running.port, transport, coding, window=3600, key="idle"),
            connections=readers,
            before=_BEFORE,
            begin=transports.BEGIN[transport],
            pids=running.pids,
            seconds=1.0,
        )
        return load(plan, IdleResult, 60)


def _row(
    key: tuple[str, str, bool],
    stream: StreamResult,
    idle: IdleResult,
    base: tuple[StreamResult, IdleResult] | None,
) -> Row:
    plain = base[0] if base is not None and key[1] else None
    cells = [
        f"{stream.cpu / max(stream.tokens, 1) * 1e6:.1f}",
        f"{_compressing(key[1]):.1f}" if key[1] else "–",
        f"{stream.bytes_per_token:.0f}",
        f"{1 - stream.bytes_per_token / plain.bytes_per_token:.0%}" if plain else "–",
        optional(stream.p50, 2),
        optional(stream.p99, 1),
        f"{idle.rss_per_reader / 1000:.1f}",
    ]
    return Row(_name(*key), cells, stream.bytes_per_token)


def _compressing(coding: str) -> float:
    """Microseconds for an event that has not been compressed for another reader, by itself: the
    best of many rounds, since whatever else the machine does only ever adds to it."""
    best = float("inf")
    for _ in range(_ROUNDS):
        coder = CODERS[coding]()
        began = time.process_time()
        for event in _EVENTS:
            coder.encode(event)
        best = min(best, (time.process_time() - began) / len(_EVENTS))
    return best * 1e6
