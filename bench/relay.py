"""*relay*: answers of a model server, through a gateway, to those who asked."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench.load.plan import First, FirstResult, Request, Stream, StreamResult
from bench.options import Options
from bench.processes import Failed, Server, command, folder, free_port, load, module
from bench.rivals.litellm import litellm
from bench.rivals.nginx import nginx
from bench.table import Check, Row, Table, ratio

#: Milliseconds between two chunks of one stream; about 250 bytes each.
_EVERY = 10
#: More chunks than any run waits for.
_TOKENS = 30_000
MARK = "word"

Start = Callable[[int], contextlib.AbstractContextManager[Server]]


def completion(port: int) -> Request:
    """What is asked of the model server, and of those who pass it on as it is."""
    return Request(
        port=port,
        path="/v1/chat/completions",
        body='{"model": "scripted", "stream": true, '
        '"messages": [{"role": "user", "content": "go"}]}',
    )


def chat(port: int) -> Request:
    """What is asked of Fairlead, in its own words."""
    return Request(port=port, path="/chat/stream", body='{"message": "go", "orphan_window": 0.2}')


def openai(port: int) -> Request:
    """What is asked of Fairlead, in the model server's words."""
    return msgspec.structs.replace(completion(port), headers={"Fairlead-Orphan-Window": "0.2"})


def responses(port: int) -> Request:
    """What is asked of Fairlead, as a response."""
    return Request(
        port=port,
        path="/v1/responses",
        body='{"model": "scripted", "stream": true, "input": "go"}',
        headers={"Fairlead-Orphan-Window": "0.2"},
    )


def realtime(port: int) -> Request:
    """What is asked of Fairlead, in a Realtime session of its own."""
    content = [{"type": "input_text", "text": "go"}]
    message = {"type": "message", "role": "user", "content": content}
    response = {"conversation": "none", "input": [message]}
    return Request(
        port=port,
        path="/v1/realtime?model=scripted",
        body=msgspec.json.encode({"type": "response.create", "response": response}).decode(),
        headers={"Fairlead-Orphan-Window": "0.2"},
        wire="websocket",
    )


@contextlib.contextmanager
def model_server(every: float = _EVERY, tokens: int = _TOKENS) -> Iterator[Server]:
    """The upstream, which writes ``tokens`` at a pace, one ``every`` so many milliseconds."""
    arguments = ["--port", "0", "--delay-ms", str(every), "--tokens", str(tokens)]
    with module("fairlead.testing.upstream", *arguments) as running:
        yield running


@contextlib.contextmanager
def fairlead(upstream: int, durability: str, settings: str = "") -> Iterator[Server]:
    """The real server, as a user starts it; ``settings`` go into its configuration file."""
    port = free_port()
    with folder() as data:
        file = data / "fairlead.toml"
        file.write_text(settings)
        arguments = [
            str(Path(sys.executable).with_name("fairlead")), "serve",
            "--config", str(file),
            "--port", str(port),
            "--data-dir", str(data),
            "--durability", durability,
            "--upstream", f"http://127.0.0.1:{upstream}/v1",
            "--model", "scripted",
            "--no-knowledge",
            "--max-generations", "100000",
            "--max-readers", "100000",
            "--drain-grace", "0",
            "--log-level", "error",
        ]  # fmt: skip
        with command(arguments, port) as running:
            yield running


@contextlib.contextmanager
def _nginx(upstream: int) -> Iterator[Server]:
    with folder() as data, nginx(upstream, data) as running:
        yield running


@contextlib.contextmanager
def _litellm(upstream: int) -> Iterator[Server]:
    with folder() as data, litellm(upstream, data) as running:
        yield running


#: What is measured: how it is started, and what it is asked.
SERVERS: dict[str, tuple[Start, Callable[[int], Request]]] = {
    "fairlead process": (lambda upstream: fairlead(upstream, "process"), chat),
    "fairlead process, OpenAI": (lambda upstream: fairlead(upstream, "process"), openai),
    "fairlead process, Responses": (lambda upstream: fairlead(upstream, "process"), responses),
    "fairlead process, Realtime": (lambda upstream: fairlead(upstream, "process"), realtime),
    "fairlead memory": (lambda upstream: fairlead(upstream, "memory"), chat),
    "nginx proxy_pass": (_nginx, completion),
    "bare ASGI, aiohttp": (
        lambda upstream: module(
            "bench.rivals.relay", "--upstream", f"http://127.0.0.1:{upstream}/v1"
        ),
        completion,
    ),
}


#: The dialects, and how much more an event may cost in each than on the native wire.
_DIALECTS = {"OpenAI": 1.0, "Responses": 1.25, "Realtime": 1.25}

#: What stands in an environment of its own, and has to be installed first. It has fewer answers to
#: pass on than the others: with as many it would not get round to all of them.
_APART: dict[str, tuple[Start, Callable[[int], Request]]] = {
    "LiteLLM proxy, 10 answers": (_litellm, completion),
}
_FEW = 10


def run(options: Options) -> Table:
    """Measure them all, one after the other."""
    connections = options.readers(100, 50)
    results: dict[str, StreamResult] = {}
    firsts: dict[str, FirstResult] = {}
    missing: list[str] = []
    for name, (start, ask) in (SERVERS | _APART).items():
        at_once = min(connections, _FEW) if name in _APART else connections
        try:
            with model_server() as upstream, start(upstream.port) as running:
                results[name] = stream(running, ask(running.port), at_once, options)
                firsts[name] = first(ask(running.port), upstream.port, at_once, options)
        except Failed as failure:
            missing.append(f"{name}: {failure}")
    rival = results.get("nginx proxy_pass")
    base = rival.cpu / rival.tokens if rival else None
    return Table(
        "relay",
        f"{connections} concurrent answers, a chunk of the upstream every {_EVERY} ms each",
        ["events/s", "cores", "µs/event", "× nginx", "RSS MB", "first token +p50 ms",
         "+p99 ms", "load cores"],
        [_row(name, result, firsts.get(name), base) for name, result in results.items()],
        "µs of processor time per event",
        _checks(results, firsts, base),
        missing,
    )  # fmt: skip


def stream(server: Server, request: Request, connections: int, options: Options) -> StreamResult:
    """Many answers at once: what each event costs the server."""
    plan = Stream(
        request=request,
        connections=connections,
        mark=MARK,
        pids=server.pids,
        warmup=options.warmup,
        seconds=options.seconds,
        begin=MARK,
    )
    return load(plan, StreamResult, options.warmup + options.seconds)


def first(request: Request, upstream: int, connections: int, options: Options) -> FirstResult:
    """The time to the first token, through the server and without it."""
    plan = First(
        requests={"direct": completion(upstream), "through": request},
        background=request,
        connections=connections,
        mark=MARK,
        rounds=100 if options.quick else 400,
    )
    return load(plan, FirstResult, 60)


def added(result: FirstResult) -> tuple[float, float]:
    """Milliseconds that the way through the server takes longer: (p50, p99)."""
    direct, through = result.times["direct"], result.times["through"]
    return through[0] - direct[0], through[1] - direct[1]


def _row(name: str, result: StreamResult, first: FirstResult | None, base: float | None) -> Row:
    """``first`` None: it has no time for further questions beside all those answers."""
    each = result.cpu / max(result.tokens, 1)
    later = ["–", "–"] if first is None else [f"{time:.2f}" for time in added(first)]
    cells = [
        f"{result.tokens:,.0f}",
        f"{result.cpu:.2f}",
        f"{each * 1e6:.2f}",
        ratio(each, base),
        f"{result.rss / 1e6:.0f}",
        *later,
        f"{result.load_cpu:.2f}",
    ]
    return Row(name, cells, each * 1e6)


def _checks(
    results: dict[str, StreamResult], firsts: dict[str, FirstResult], base: float | None
) -> list[Check]:
    checks: list[Check] = []
    ours = results.get("fairlead process")
    if ours is not None and base is not None:
        times = ours.cpu / ours.tokens / base
        checks.append(
            Check("at durability process: at most 2 × nginx", f"{times:.2f} ×", times <= 2)
        )
    checks += dialects({name: each.cpu / each.tokens for name, each in results.items()})
    theirs, vendors = (
        results.get("LiteLLM proxy, 10 answers"),
        results.get("fairlead process, OpenAI"),
    )
    if theirs is not None and vendors is not None:
        times = (theirs.cpu / theirs.tokens) / (vendors.cpu / vendors.tokens)
        said = "OpenAI: LiteLLM takes at least 20 × as much processor time"
        checks.append(Check(said, f"{times:.1f} ×", times >= 20))
    if "fairlead process" in firsts:
        median, _ = added(firsts["fairlead process"])
        checks.append(
            Check("first token at most 1 ms later (p50)", f"{median:.2f} ms", median <= 1.0)
        )
    return checks


def dialects(costs: dict[str, float]) -> list[Check]:
    """What an event costs in each dialect, beside the native wire; ``costs`` by server."""
    native = costs.get("fairlead process")
    checks: list[Check] = []
    for name, most in _DIALECTS.items():
        cost = costs.get(f"fairlead process, {name}")
        if native is not None and cost is not None:
            said = f"{name}: at most {most:g} × the native wire"
            checks.append(Check(said, f"{cost / native:.2f} ×", cost / native <= most))
    return checks
