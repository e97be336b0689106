"""*fan-out*: one stream with many readers."""

from __future__ import annotations

from bench import transports
from bench.load.plan import Publish, Request, Stream, StreamResult
from bench.options import Options
from bench.paced import COLUMNS, KEEPS_UP, measure, row, timing
from bench.processes import Failed, folder, load
from bench.rivals.nchan import PUBLISH, SUBSCRIBE, nchan
from bench.rivals.paced import POSITION, STREAM
from bench.table import Check, Table
from bench.ticker import MARK
from bench.transports import SSE, WEBSOCKET

RATE = 100.0
#: nchan's processor time per event, times this, is what ours may be.
_BAR = 1.5
#: What is published there, so that its readers get about the bytes that ours do.
_BODIES = {
    SSE: '{"token":"TOKEN"}',
    WEBSOCKET: f'{{"type":"token","stream":"{STREAM}","position":"{POSITION}00000",'
    '"data":{"token":"TOKEN"}}',
}


def run(options: Options) -> Table:
    """Measure Fairlead on each transport, and nchan on those that keep a connection. (Its long
    polling answers with one message at a time: 100,000 requests a second would be measured.)"""
    connections = options.readers(1000, 200)
    due = connections * RATE
    results: dict[str, StreamResult] = {}
    missing: list[str] = []
    for transport in transports.ALL:
        name = f"fairlead process, {transport}"
        try:
            results[name] = measure(
                "fairlead process", connections, RATE, options, transport, shared=True
            )
        except Failed as failure:
            missing.append(f"{name}: {failure}")
    for transport in _BODIES:
        name = f"nchan, {transport}"
        try:
            results[name] = _nchan(transport, connections, options)
        except Failed as failure:
            missing.append(f"{name}: {failure}")
    base = results.get(f"nchan, {SSE}")
    return Table(
        "fan-out",
        f"one stream of {RATE:g} events/s, {connections} readers",
        [*COLUMNS, "× nchan"],
        [
            row(name, result, due, base.cpu / base.tokens if base else None)
            for name, result in results.items()
        ],
        "µs of processor time per event and reader",
        [check for transport in _BODIES if (check := _check(transport, results, due)) is not None],
        missing,
    )


def _nchan(transport: str, connections: int, options: Options) -> StreamResult:
    with folder() as data, nchan(data) as running:
        wire = "websocket" if transport == WEBSOCKET else "body"
        plan = Stream(
            request=Request(port=running.port, path=SUBSCRIBE, wire=wire),
            connections=connections,
            mark=MARK.decode(),
            # It says nothing before there is something to say.
            begin="HTTP/1.1 ",
            pids=running.pids,
            warmup=options.warmup,
            seconds=options.seconds,
            timing=timing(connections),
            publish=Publish(port=running.port, path=PUBLISH, body=_BODIES[transport], rate=RATE),
        )
        return load(plan, StreamResult, options.warmup + options.seconds)


def _check(transport: str, results: dict[str, StreamResult], due: float) -> Check | None:
    ours, theirs = (
        results.get(f"fairlead process, {transport}"),
        results.get(f"nchan, {transport}"),
    )
    if ours is None or theirs is None:
        return None
    times = (ours.cpu / ours.tokens) / (theirs.cpu / theirs.tokens)
    shares = [result.tokens / due for result in (ours, theirs)]
    found = f"{times:.2f} ×, at {shares[0]:.0%} and {shares[1]:.0%} of the events"
    # Fairlead joins tokens when it is behind, and is then cheap for less work; nchan joins none.
    met = times <= _BAR and shares[0] >= KEEPS_UP
    return Check(f"{transport}: keeps up, at most {_BAR:g} × nchan's cost", found, met)
