"""*gateway*: what protection costs: *relay* through a server that knows nobody, and through one
that checks a signed token, asks three rules, and charges two budgets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey

from bench.load.plan import First, FirstResult, Request, StreamResult
from bench.options import Options
from bench.processes import Failed, Server, folder, load
from bench.relay import MARK, chat, fairlead, model_server, stream
from bench.table import Check, Row, Table, ratio

_ISSUER = "https://issuer.example"
_OPEN, _GUARDED = "fairlead, open", "fairlead, guarded"
#: Runs of each, in turn: what a shared machine does to one it does to the next as well.
_ROUNDS = 3
#: Pairs of single requests.
_PAIRS = 1000

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
    """Measure the processor time of both in turn, several times: the least of each is what it costs
    by itself. The first token, with both side by side: one request at a time, first here, then
    there, so that whatever else the machine does is done to both."""
    connections = options.readers(100, 50)
    results: dict[str, list[StreamResult]] = {_OPEN: [], _GUARDED: []}
    firsts: FirstResult | None = None
    missing: list[str] = []
    try:
        for _ in range(1 if options.quick else _ROUNDS):
            with model_server() as upstream, fairlead(upstream.port, "process") as running:
                found = stream(running, chat(running.port), connections, options)
                results[_OPEN].append(found)
            with model_server() as upstream, _guarded(upstream.port) as (running, token):
                found = stream(running, _bearing(running.port, token), connections, options)
                results[_GUARDED].append(found)
        firsts = _firsts(100 if options.quick else _PAIRS)
    except Failed as failure:
        missing.append(str(failure))
    each = {
        name: min(one.cpu / one.tokens for one in found) for name, found in results.items() if found
    }
    base = each.get(_OPEN)
    return Table(
        "gateway",
        f"{connections} concurrent answers through a server with a signed token to check, three "
        "rules and two budgets, and without, the least of several runs each; then one answer after "
        "the other, in turn",
        ["µs/event", "× open", "first token p50 ms", "p99 ms"],
        [
            Row(name, [f"{cost * 1e6:.2f}", ratio(cost, base), *_times(firsts, name)], cost * 1e6)
            for name, cost in each.items()
        ],
        "µs of processor time per event",
        _checks(each, firsts),
        missing,
    )


def _bearing(port: int, token: str) -> Request:
    return msgspec.structs.replace(chat(port), headers={"Authorization": f"Bearer {token}"})


def _firsts(pairs: int) -> FirstResult:
    """The time to the first token of each, from a model that answers at once."""
    with (
        model_server(0, 4) as upstream,
        fairlead(upstream.port, "process") as plain,
        _guarded(upstream.port) as (guarded, token),
    ):
        asked = {_OPEN: chat(plain.port), _GUARDED: _bearing(guarded.port, token)}
        plan = First(
            requests=asked,
            background=asked[_OPEN],
            connections=0,
            mark=MARK,
            rounds=pairs,
        )
        return load(plan, FirstResult, 60)


def _times(firsts: FirstResult | None, name: str) -> list[str]:
    return [f"{ms:.2f}" for ms in firsts.times[name]] if firsts is not None else ["", ""]


def _checks(each: dict[str, float], firsts: FirstResult | None) -> list[Check]:
    checks = []
    if len(each) == 2:
        times = each[_GUARDED] / each[_OPEN]
        checks.append(
            Check("protection: at most 15 % more per event", f"{times:.3f} ×", times <= 1.15)
        )
    if firsts is not None:
        wait, low, high = firsts.later[_GUARDED]
        checks.append(
            Check(
                "first token at most 0.3 ms later for it (median of pairs)",
                f"{wait:.2f} ms ({low:.2f} to {high:.2f})",
                wait <= 0.3,
            )
        )
    return checks
