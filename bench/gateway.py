"""*gateway*: what protection costs: *relay* through a server that knows nobody, and through one
that checks a signed token, asks three rules, and charges two budgets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey

from bench.load.plan import FirstResult, Request, StreamResult
from bench.options import Options
from bench.processes import Failed, Server, folder
from bench.relay import added, chat, fairlead, first, model_server, stream
from bench.table import Check, Row, Table, ratio

_ISSUER = "https://issuer.example"
_OPEN, _GUARDED = "fairlead, open", "fairlead, guarded"
#: Runs of each, in turn: what a shared machine does to one it does to the next as well.
_ROUNDS = 3

_SETTINGS = """
[jwt]
issuer = "{issuer}"
audience = ["bench"]
jwks_file = "{jwks}"

[[rules]]
name = "no keys in URLs"
act = "deny"
query = {{ api_key = "*" }}

[[rules]]
name = "not these"
act = "deny"
addresses = ["203.0.113.0/24", "2001:db8::/32"]

[[rules]]
name = "not too often"
act = "rate"
methods = ["POST"]
rate = "1000000/s"
per = "consumer"

[[budgets]]
name = "tokens-a-minute"
limit = 1000000000
unit = "tokens"
per = "minute"

[[budgets]]
name = "questions-a-day"
limit = 1000000000
unit = "requests"
per = "day"
"""


@contextlib.contextmanager
def _guarded(upstream: int) -> Iterator[tuple[Server, str]]:
    """A server that protects itself, and a token that it takes."""
    key = RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"})
    claims = {"iss": _ISSUER, "aud": "bench", "sub": "load", "exp": int(time.time()) + 3600}
    token = jwt.encode({"alg": "RS256", "kid": "bench"}, claims, key)
    with folder() as keys:
        jwks = keys / "jwks.json"
        jwks.write_bytes(msgspec.json.encode({"keys": [key.as_dict(private=False)]}))
        settings = _SETTINGS.format(issuer=_ISSUER, jwks=jwks)
        with fairlead(upstream, "process", settings) as running:
            yield running, token


def run(options: Options) -> Table:
    """Measure both in turn, several times; the least of each is what it costs by itself."""
    connections = options.readers(100, 50)
    results: dict[str, list[StreamResult]] = {_OPEN: [], _GUARDED: []}
    firsts: dict[str, list[FirstResult]] = {_OPEN: [], _GUARDED: []}
    missing: list[str] = []

    def measure(name: str, running: Server, request: Request, upstream: int) -> None:
        results[name].append(stream(running, request, connections, options))
        firsts[name].append(first(request, upstream, connections, options))

    rounds = 1 if options.quick else _ROUNDS
    for _ in range(rounds):
        try:
            with model_server() as upstream, fairlead(upstream.port, "process") as running:
                measure(_OPEN, running, chat(running.port), upstream.port)
            with model_server() as upstream, _guarded(upstream.port) as (running, token):
                headers = {"Authorization": f"Bearer {token}"}
                asked = msgspec.structs.replace(chat(running.port), headers=headers)
                measure(_GUARDED, running, asked, upstream.port)
        except Failed as failure:
            missing.append(str(failure))
    each = {
        name: min(one.cpu / one.tokens for one in found) for name, found in results.items() if found
    }
    later = {name: min(map(added, found)) for name, found in firsts.items() if found}
    base = each.get(_OPEN)
    return Table(
        "gateway",
        f"{connections} concurrent answers through a server with a signed token to check, three "
        f"rules and two budgets, and without; the least of {rounds} runs each",
        ["µs/event", "× open", "first token +p50 ms", "+p99 ms"],
        [
            Row(
                name,
                [f"{cost * 1e6:.2f}", ratio(cost, base), *(f"{ms:.2f}" for ms in later[name])],
                cost * 1e6,
            )
            for name, cost in each.items()
        ],
        "µs of processor time per event",
        _checks(each, later) if len(each) == 2 else [],
        missing,
    )


def _checks(each: dict[str, float], later: dict[str, tuple[float, float]]) -> list[Check]:
    times = each[_GUARDED] / each[_OPEN]
    wait = later[_GUARDED][0] - later[_OPEN][0]
    return [
        Check("protection: at most 15 % more per event", f"{times:.3f} ×", times <= 1.15),
        Check("first token at most 0.3 ms later for it (p50)", f"{wait:.2f} ms", wait <= 0.3),
    ]
