"""*whole*: answers that stream, and answers that are sent when they are complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench import transports
from bench.load.plan import Answers, AnswersResult, Request
from bench.options import Options
from bench.paced import server
from bench.processes import Failed, Server, folder, load, module
from bench.rivals.nginx import nginx
from bench.table import Check, Row, Table, ratio
from bench.ticker import MARK
from bench.transports import SSE

#: A model's answer: so many tokens, so many a second; in a rough look it is shorter.
TOKENS, QUICK, RATE = 100, 25, 50.0
#: Askers that share a connection over HTTP/2.
_SHARED = 100
_END = '"status":"completed"'

_WHOLE1, _WHOLE2 = "whole answer, HTTP/1.1", "whole answer, HTTP/2"
_STREAM1, _STREAM2 = "fairlead process, SSE", "fairlead process, SSE, HTTP/2"


def run(options: Options) -> Table:
    """Measure them all, one after the other. HTTP/2 is nginx's, whose cost is counted with its
    upstream's."""
    askers = options.readers(200, 50)
    tokens = QUICK if options.quick else TOKENS
    results: dict[str, AnswersResult] = {}
    missing: list[str] = []
    for name in (_WHOLE1, _WHOLE2, _STREAM1, _STREAM2):
        try:
            results[name] = _measure(name, askers, tokens, options)
        except Failed as failure:
            missing.append(f"{name}: {failure}")
    base = results.get(_WHOLE1)
    return Table(
        "whole",
        f"{askers} askers, each again and again: {tokens} tokens in {tokens / RATE:g} s",
        ["answers/s", "first word ms", "p99", "last word ms", "p99", "CPU ms/answer",
         "× whole", "B/answer", "B/question"],
        [_row(name, result, base) for name, result in results.items()],
        "ms until the first word",
        _checks(results),
        missing,
    )  # fmt: skip


def _measure(name: str, askers: int, tokens: int, options: Options) -> AnswersResult:
    h2 = name.endswith("HTTP/2")
    with _server(name, tokens, h2=h2) as (port, pids):
        request = transports.ask(SSE, port)
        if name.startswith("whole"):
            request = Request(port=port, path="/", body=request.body)
        plan = Answers(
            request=request,
            askers=askers,
            mark=MARK.decode(),
            end=_END,
            pids=pids,
            spread=tokens / RATE,
            warmup=2 * tokens / RATE + options.warmup / 2,
            # Whole rounds of everybody.
            seconds=max(options.seconds, 2 * tokens / RATE),
            h2=_SHARED if h2 else 0,
        )
        return load(plan, AnswersResult, plan.warmup + plan.seconds)


@contextlib.contextmanager
def _server(name: str, tokens: int, *, h2: bool) -> Iterator[tuple[int, list[int]]]:
    """The port to ask, and all processes that take part."""
    with _speaker(name, tokens) as speaker:
        if not h2:
            yield speaker.port, speaker.pids
            return
        with folder() as data, nginx(speaker.port, data, http2=True) as front:
            yield front.port, [*front.pids, *speaker.pids]


@contextlib.contextmanager
def _speaker(name: str, tokens: int) -> Iterator[Server]:
    # One stream begins the ticking: answers come and go, and nobody waits for the others.
    if name.startswith("fairlead"):
        with server("fairlead process", 1, RATE, tokens) as running:
            yield running
    else:
        pace = ["--streams", "1", "--rate", str(RATE), "--tokens", str(tokens)]
        with module("bench.rivals.paced", "whole", *pace) as running:
            yield running


def _row(name: str, result: AnswersResult, base: AnswersResult | None) -> Row:
    each = result.cpu / result.answers
    cells = [
        f"{result.answers:.1f}",
        f"{result.first[0]:,.0f}",
        f"{result.first[1]:,.0f}",
        f"{result.last[0]:,.0f}",
        f"{result.last[1]:,.0f}",
        f"{each * 1000:.2f}",
        ratio(each, base.cpu / base.answers if base else None),
        f"{result.received:,.0f}",
        f"{result.sent:,.0f}",
    ]
    return Row(name, cells, result.first[0])


def _checks(results: dict[str, AnswersResult]) -> list[Check]:
    whole, streamed = results.get(_WHOLE1), results.get(_STREAM1)
    if whole is None or streamed is None:
        return []
    later = streamed.last[0] / whole.last[0]
    return [
        Check(
            "streaming costs the last word nothing: at most 5% later",
            f"{later - 1:+.1%}",
            later <= 1.05,
        )
    ]
