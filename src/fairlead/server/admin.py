"""``/admin``: what whoever has the scope ``admin`` sees and changes. To others there is nothing."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any, cast

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.engine.overview import SORTS, LiveStream, Load, Sort, chosen
from fairlead.errors import BadRequest, Misconfigured, NotFound, Unauthenticated
from fairlead.policy.caller import Caller
from fairlead.policy.prices import MICRO
from fairlead.ports.audit import MAX_TEXT
from fairlead.ports.keys import StoredKey
from fairlead.ports.usage import BY, By, Usage, grouped
from fairlead.server import http
from fairlead.server.budgets import amount, days, used
from fairlead.server.changes import KeyChanges
from fairlead.server.exports import as_csv
from fairlead.server.streams import document

router = APIRouter(prefix="/admin", tags=["admin"])

#: Seconds that a rotated key stays good, unless the request says otherwise.
_OVERLAP = 86_400.0
#: How many keys of one budget are shown at most.
_MOST_KEYS = 1000
#: How many streams one look shows at most, and the longest text that they are searched for.
_MOST_STREAMS = 1000
_MAX_SEARCH = 200
#: What a stream may be doing; empty: any of it.
_STATES = ("", "queued", "writing", "elsewhere", "read")

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /admin/keys``."""

    consumer: Text
    name: Text = ""
    scopes: tuple[Text, ...] = ("ask", "read")
    quotas: tuple[Text, ...] = ()
    expires_in: float | None = None


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /admin/keys/{id}/rotate``."""

    overlap: float = _OVERLAP


_DAYS = [
    {"name": name, "in": "query", "schema": {"type": "string", "format": "date"}}
    for name in ("since", "until")
]
_PAGE = [
    {"name": "cursor", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 500}},
]


def _text(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def _body(type: type[msgspec.Struct]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([type])
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": components[type.__name__]}},
        }
    }


@router.get(
    "/consumers",
    summary="Consumers: what they hold now, and have used",
    openapi_extra={"parameters": _DAYS},
)
async def consumers(request: Request) -> Response:
    """Whoever has a key, holds something on this node now, or has used something in the days from
    ``since`` until ``until`` (the last 31 unless given)."""
    caller = await _overseer(request)
    overview = http.system(request).engine.overview
    since, until = days(request)
    loads = overview.loads(caller)
    rows = await overview.usage(caller, None, since, until)
    now = time.time()
    keys: dict[str, int] = {}
    for key in await _every_key(request):
        keys[key.consumer] = keys.get(key.consumer, 0) + key.alive(now)
    used_by: dict[str, list[Usage]] = {name: [] for name in {*loads, *keys}}
    for row in rows:
        used_by.setdefault(row.consumer, []).append(row)
    found = [
        {
            "consumer": name,
            "keys": keys.get(name, 0),
            **msgspec.to_builtins(loads.get(name, Load())),
            "last_day": max((row.day for row in theirs), default=None),
            **_summed(theirs),
        }
        for name, theirs in sorted(used_by.items())
    ]
    return http.json_response({"since": since, "until": until, "consumers": found})


@router.get(
    "/keys",
    summary="API keys, newest first; never their texts",
    openapi_extra={"parameters": [*_text("consumer"), *_PAGE]},
)
async def keys(request: Request) -> Response:
    """Of one ``consumer``, or of all."""
    await _overseer(request)
    page = await http.system(request).doors.keys.page(
        request.query_params.get("consumer"),
        request.query_params.get("cursor"),
        http.integer(request, "limit", 50, 1, 500),
    )
    now = time.time()
    return http.json_response(
        {"keys": [_key(key, now) for key in page.items], "cursor": page.cursor}
    )


@router.post(
    "/keys",
    status_code=201,
    summary="Make an API key; its text is shown this once",
    openapi_extra=_body(NewKey),
)
async def create_key(request: Request) -> Response:
    """``expires_in`` is in seconds; without it the key does not end by itself."""
    changes = await _changes(request)
    body = await http.json_body(request, NewKey)
    key, text = await changes.create(
        body.consumer,
        name=body.name,
        scopes=frozenset(body.scopes),
        quotas=body.quotas,
        life=body.expires_in,
    )
    return http.json_response({"key": text, **_key(key, time.time())}, 201)


@router.post(
    "/keys/{id}/rotate",
    status_code=201,
    summary="Put a new API key into the place of one; its text is shown this once",
    openapi_extra=_body(Rotation),
)
async def rotate_key(request: Request, id: str) -> Response:
    """The old one is good for ``overlap`` more seconds (a day unless given)."""
    changes = await _changes(request)
    body = await http.json_body(request, Rotation) if http.has_body(request) else Rotation()
    key, text = await changes.rotate(id, body.overlap)
    return http.json_response({"key": text, **_key(key, time.time())}, 201)


@router.delete("/keys/{id}", summary="Revoke an API key, for good")
async def revoke_key(request: Request, id: str) -> Response:
    """What is open under it ends within 5 seconds. The key stays in the list."""
    changes = await _changes(request)
    return http.json_response(_key(await changes.revoke(id), time.time()))


@router.get(
    "/budgets",
    summary="Budgets, and who has used most of each in this window",
    openapi_extra={
        "parameters": [
            {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": _MOST_KEYS}}
        ]
    },
)
async def budgets(request: Request) -> Response:
    """``key`` is what the budget is counted by, such as the consumer; headers, cookies and query
    values are shown as hashes. What running answers hold in advance is used."""
    caller = await _overseer(request)
    limit = http.integer(request, "limit", 50, 1, _MOST_KEYS)
    found = []
    for budget, refills, taken in await http.system(request).engine.overview.budgets(caller, limit):
        scale = MICRO if budget.unit == "money" else 1
        found.append(
            {
                "name": budget.name,
                "unit": budget.currency if budget.unit == "money" else budget.unit,
                "limit": amount(budget.limit, scale),
                "per": budget.per,
                "keyed_by": budget.keyed_by,
                "refills_at": refills,
                "keys": [
                    {
                        "key": each.whose,
                        "used": amount(each.taken, scale),
                        "remaining": amount(max(0, budget.limit - each.taken), scale),
                    }
                    for each in taken
                ],
            }
        )
    return http.json_response({"budgets": found})


@router.get(
    "/usage",
    summary="Usage by day, consumer and model, as JSON or CSV",
    responses={200: {"content": {"application/json": {}, "text/csv": {}}}},
    openapi_extra={
        "parameters": [
            *_DAYS,
            *_text("consumer"),
            {"name": "by", "in": "query", "schema": {"enum": ["row", *BY]}},
            {"name": "format", "in": "query", "schema": {"enum": ["json", "csv"]}},
        ]
    },
)
async def usage(request: Request) -> Response:
    """``by`` adds up what is of one ``day``, ``consumer`` or ``model``. Days are UTC, both
    included; the last 31 unless given."""
    caller = await _overseer(request)
    since, until = days(request)
    by = http.choice(request, "by", ("row", *BY))
    format = http.choice(request, "format", ("json", "csv"))
    rows = await http.system(request).engine.overview.usage(
        caller, request.query_params.get("consumer"), since, until
    )
    if by != "row":
        rows = grouped(rows, cast("By", by))
    if format == "csv":
        name = f"usage-{since}-{until}.csv"
        return Response(
            as_csv(rows),
            headers={
                "content-type": "text/csv; charset=utf-8",
                "content-disposition": f'attachment; filename="{name}"',
                "cache-control": "no-store",
            },
        )
    found = [{"consumer": row.consumer, **used(row)} for row in rows]
    return http.json_response({"since": since, "until": until, "usage": found})


@router.get("/upstreams", summary="How the upstreams stand")
async def upstreams(request: Request) -> Response:
    """Whether each is asked, what its breaker and health check say, and its counts since the
    start."""
    await _overseer(request)
    found = http.system(request).offer.upstreams.snapshot()
    return http.json_response({"upstreams": msgspec.to_builtins(found)})


@router.get("/streams", summary="What is written, waits and is read on this node")
async def streams(request: Request) -> Response:
    """The queue by place, then what is written, the oldest first, then what is only read. And the
    ``sockets`` that are passed on to applications and upstreams, the oldest first."""
    caller = await _overseer(request)
    engine = http.system(request).engine
    found = engine.overview.streams(caller)
    census = engine.overview.census()
    return http.json_response(
        {
            "node": engine.node,
            "draining": engine.draining,
            **msgspec.to_builtins(census),
            "streams": [_live(each) for each in found],
            "sockets": msgspec.to_builtins(engine.sockets.all()),
        }
    )


@router.get(
    "/overview",
    summary="How this node does, and what all nodes write, in one look",
    openapi_extra={
        "parameters": [
            *_text("search"),
            {"name": "state", "in": "query", "schema": {"enum": list(_STATES)}},
            {"name": "sort", "in": "query", "schema": {"enum": list(SORTS)}},
            {"name": "backwards", "in": "query", "schema": {"enum": ["false", "true"]}},
            {
                "name": "limit",
                "in": "query",
                "schema": {"type": "integer", "maximum": _MOST_STREAMS},
            },
        ]
    },
)
async def overview(request: Request) -> Response:
    """The counts of ``GET /admin/streams`` and the tokens a second of all its answers (``rate``),
    the upstreams of ``GET /admin/upstreams``, the living ``nodes`` of the store, and the first
    ``limit`` of the streams that have ``search`` in their names and are of a ``state``, with the
    number of all that do (``matching``). What other nodes write is there, too (``elsewhere``).
    ``sockets``: the ``limit`` oldest of those that this node passes on.
    Numbers are sorted the largest first, words by the alphabet."""
    caller = await _overseer(request)
    system = http.system(request)
    engine = system.engine
    search = request.query_params.get("search", "")
    if len(search) > _MAX_SEARCH:
        raise BadRequest(f"'search' must be at most {_MAX_SEARCH} characters")
    everything, nodes = await engine.overview.everywhere(caller)
    found = chosen(
        everything,
        search=search,
        state=http.choice(request, "state", _STATES),
        sort=cast("Sort", http.choice(request, "sort", SORTS)),
        backwards=http.choice(request, "backwards", ("false", "true")) == "true",
    )
    limit = http.integer(request, "limit", 100, 1, _MOST_STREAMS)
    return http.json_response(
        {
            "at": time.time(),
            "node": engine.node,
            "draining": engine.draining,
            **msgspec.to_builtins(engine.overview.census()),
            "rate": round(math.fsum(each.rate for each in everything), 1),
            "nodes": nodes,
            "matching": len(found),
            "streams": [_live(each) for each in found[:limit]],
            "sockets": msgspec.to_builtins(engine.sockets.all()[:limit]),
            "upstreams": msgspec.to_builtins(system.offer.upstreams.snapshot()),
        }
    )


@router.get("/queue", summary="The questions that wait, by place")
async def queue(request: Request) -> Response:
    """On this node."""
    caller = await _overseer(request)
    found = http.system(request).engine.overview.streams(caller)
    waiting = [_live(each) for each in found if each.state == "queued"]
    return http.json_response({"waiting": len(waiting), "queue": waiting})


@router.post("/streams/{stream}/stop", summary="Stop anybody's answer")
async def stop_stream(request: Request, stream: str) -> Response:
    """On whatever node it is written; what was written stays. The answer as it then stands."""
    caller = await _overseer(request)
    http.same_site(request)
    return http.json_response(document(await http.system(request).engine.stop(caller, stream)))


@router.post("/sockets/{socket}/stop", summary="Close anybody's socket", status_code=204)
async def stop_socket(request: Request, socket: str) -> Response:
    """One of this node's that is passed on to an application or an upstream: both sides are told
    1008, ``stopped``."""
    caller = await _overseer(request)
    http.same_site(request)
    await http.system(request).engine.stop_socket(caller, socket)
    return Response(status_code=204)


@router.get(
    "/audit",
    summary="Who changed what, newest first",
    openapi_extra={"parameters": [*_text("action", "target"), *_PAGE]},
)
async def audit(request: Request) -> Response:
    """Of an ``action`` such as ``key.revoked``, or of all that begin so (``key``); of a
    ``target``."""
    await _overseer(request)
    page = await http.system(request).audit.page(
        request.query_params.get("cursor"),
        http.integer(request, "limit", 50, 1, 500),
        action=request.query_params.get("action", ""),
        target=request.query_params.get("target", ""),
    )
    return http.json_response({"entries": msgspec.to_builtins(page.items), "cursor": page.cursor})


@router.post("/reload", summary="Read the configuration anew and apply it")
async def reload(request: Request) -> Response:
    """As a whole, or, if anything in it is wrong, not at all. What was ``changed``, and what waits
    for a ``restart``."""
    caller = await _overseer(request)
    http.same_site(request)
    system = http.system(request)
    if system.reload is None:
        raise BadRequest("this server's configuration comes from a program, not from a file")
    try:
        outcome = await system.reload(caller, "POST /admin/reload")
    except Misconfigured as wrong:
        raise BadRequest(wrong.message, **wrong.details) from None
    return http.json_response(msgspec.to_builtins(outcome))


async def _overseer(request: Request) -> Caller:
    """Who asks, who may oversee. To others there is nothing here, whoever they are."""
    try:
        caller = await http.caller(request)
        http.system(request).engine.overview.allow(caller)
    except (Unauthenticated, NotFound):
        raise NotFound(f"there is nothing at {request.url.path[:200]}") from None
    return caller


async def _changes(request: Request) -> KeyChanges:
    caller = await _overseer(request)
    http.same_site(request)
    system = http.system(request)
    return KeyChanges(system.doors.keys, system.audit, caller)


async def _every_key(request: Request) -> list[StoredKey]:
    found: list[StoredKey] = []
    cursor: str | None = None
    while True:
        page = await http.system(request).doors.keys.page(None, cursor, 500)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def _key(key: StoredKey, now: float) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(key)
    made["scopes"] = sorted(key.scopes)
    made["alive"] = key.alive(now)
    return made


def _live(stream: LiveStream) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(stream)
    made["rate"] = round(stream.rate, 1)
    if stream.age is not None:
        made["age"] = round(stream.age, 1)
    return made


def _summed(rows: list[Usage]) -> dict[str, int]:
    return {
        name: sum(getattr(row, name) for row in rows)
        for name in ("requests", "input_tokens", "output_tokens")
    }
