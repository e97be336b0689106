"""``/v1/responses``: OpenAI's Responses, for any model."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from fairlead.dialects.openai_error import error_of
from fairlead.dialects.openai_responses import PREFIX, Response
from fairlead.engine.reader import Reader
from fairlead.engine.wire import WireFactory
from fairlead.errors import BadRequest, NotFound
from fairlead.events.meta import GenerationMeta
from fairlead.policy.caller import Caller
from fairlead.server import http
from fairlead.server.attach import after_parameter, last_event, stream_headers
from fairlead.server.openai_chain import ask_of, found, input_of, sum_of
from fairlead.server.openai_requests import (
    INCLUDE,
    LAST_EVENT,
    STARTING,
    answered,
    headers_of,
    orphan_window,
    ours,
    page_of,
    query,
    whole,
)
from fairlead.server.openai_responses_request import asked
from fairlead.transports.body import BodyWire, StreamResponse
from fairlead.transports.vendor_sse import ResponsesSseWire
from fairlead.transports.whole import WholeWire

router = APIRouter(prefix="/v1/responses", tags=["openai"])

_BODY_SCHEMA = {
    "type": "object",
    "properties": {
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
        "model": {"type": "string", "description": "None: the server's first model."},
        "instructions": {"type": "string"},
        "previous_response_id": {"type": "string"},
        "stream": {"type": "boolean"},
        "background": {"type": "boolean"},
        "store": {"type": "boolean"},
    },
}
_RESPONSES = answered("A response, or its events as they come.")


@router.post(
    "",
    summary="Ask for a response as OpenAI is asked",
    responses=_RESPONSES,
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": _BODY_SCHEMA}}},
        "parameters": STARTING,
    },
)
async def create(request: Request) -> HttpResponse:
    """A ``Last-Event-ID`` attaches to the stream that issued it and starts nothing. An upstream's
    error before its first piece is an HTTP status, unless the response is made in the background:
    that one is answered at once."""
    http.same_site(request)
    # Before the body, which may be large.
    caller = await http.caller(request)
    system = http.system(request)
    config, engine = system.config, system.engine
    data = await http.json_bytes(request, config.max_ask_bytes)
    question = asked(data, orphan_window=orphan_window(request))
    if len(data) - question.beside > config.max_body_bytes:
        raise http.too_large(config.max_body_bytes)
    known = last_event(request)
    if known is not None:
        if question.stream:
            return await _attach(request, caller, known.stream, question.obfuscated)
        return await whole(request, await engine.attach(caller, known.stream, None, _sum))
    ask, _ = await ask_of(system, caller, question)
    key = request.headers.get("idempotency-key", "")
    if ask.background and not question.stream:
        started = await engine.start(caller, ask, key)
        return _so_far(started.stream, await sum_of(system, caller, started.stream))
    if not question.stream:
        return await whole(request, await engine.start_and_attach(caller, ask, key, _sum))
    shown = await engine.start_and_attach(caller, ask, key, _events(question.obfuscated))
    # Taken now: it may have ended when it is shown.
    left = headers_of(request, shown.live.stream)
    try:
        failed = None
        if not ask.background:
            failed = await engine.begun(shown.live.stream, config.heartbeat)
        if failed is not None:
            raise error_of(failed)
    except BaseException:
        engine.detach(shown)
        raise
    return _streaming(request, shown, left)


@router.get(
    "/{response}",
    summary="Read a response, or go on reading its events",
    responses=_RESPONSES,
    openapi_extra={
        "parameters": [
            query("stream", "boolean"),
            query("starting_after", "integer"),
            query("include_obfuscation", "boolean"),
            INCLUDE,
            LAST_EVENT,
        ]
    },
)
async def retrieve(request: Request, response: str) -> HttpResponse:
    """As it stands; with ``stream=true`` its events, from after the one that ``starting_after``
    numbers (or a ``Last-Event-ID`` names) on."""
    caller, system = await http.caller(request), http.system(request)
    stream = response.removeprefix(PREFIX)
    if http.choice(request, "stream", ("false", "true")) == "false":
        return _so_far(stream, await found(system, caller, stream))
    await found(system, caller, stream, first=True)
    obfuscated = http.choice(request, "include_obfuscation", ("false", "true")) == "true"
    return await _attach(request, caller, stream, obfuscated)


@router.post("/compact", include_in_schema=False)
async def compact(request: Request) -> HttpResponse:
    """Is not there: only an upstream could compact its own model's context."""
    raise NotFound(
        "no dialogue is compacted here: send a shorter one, or let 'truncation' leave out its "
        "beginning"
    )


@router.post("/input_tokens", include_in_schema=False)
async def input_tokens(request: Request) -> HttpResponse:
    """Is not there: only whoever answers could count as it will."""
    raise NotFound("tokens are not counted ahead here: a response's 'usage' has them")


@router.post("/{response}/cancel", summary="Stop a response")
async def cancel(request: Request, response: str) -> HttpResponse:
    """What was written stays. Idempotent."""
    http.same_site(request)
    caller, system = await http.caller(request), http.system(request)
    stream = response.removeprefix(PREFIX)
    await system.engine.stop(caller, stream)
    return _so_far(stream, await sum_of(system, caller, stream))


@router.delete("/{response}", summary="Remove a response")
async def delete(request: Request, response: str) -> HttpResponse:
    """A running one is stopped first."""
    http.same_site(request)
    caller = await http.caller(request)
    await http.system(request).engine.delete(caller, response.removeprefix(PREFIX))
    return http.json_response({"id": response, "object": "response", "deleted": True})


@router.get(
    "/{response}/input_items",
    summary="What a response was asked",
    openapi_extra={
        "parameters": [
            query("limit", "integer"),
            query("order", "string", enum=["desc", "asc"]),
            query("after", "string"),
            INCLUDE,
        ]
    },
)
async def input_items(request: Request, response: str) -> HttpResponse:
    """The newest first, unless ``order=asc``."""
    caller = await http.caller(request)
    limit = http.integer(request, "limit", 20, 1, 100)
    order = http.choice(request, "order", ("desc", "asc"))
    system, stream = http.system(request), response.removeprefix(PREFIX)
    items = input_of(await found(system, caller, stream, first=True))
    if order == "desc":
        items.reverse()
    after = request.query_params.get("after", "")
    return http.json_response(page_of(items, after, limit))


def _so_far(stream: str, sum: Response) -> HttpResponse:
    return http.json_response(msgspec.Raw(sum.object()), headers={"fairlead-stream": stream})


async def _attach(request: Request, caller: Caller, stream: str, obfuscated: bool) -> HttpResponse:
    engine = http.system(request).engine
    after = after_parameter(request, stream)
    # The first number is 0.
    last = "starting_after" in request.query_params
    shown = http.integer(request, "starting_after", 0, 0, 1 << 53) + 1 if last else 0
    if after is not None and shown:
        raise BadRequest("give either 'Last-Event-ID' or 'starting_after', not both")
    reader = await engine.attach(caller, stream, after, _events(obfuscated), shown=shown)
    if after is not None and request.method == "GET" and await reader.over():
        # An EventSource would come back for ever (HTML, section 9.2.3).
        engine.detach(reader)
        return HttpResponse(status_code=204, headers=stream_headers(reader))
    return _streaming(request, reader, headers_of(request, reader.live.stream))


def _streaming(request: Request, reader: Reader[BodyWire], left: dict[str, str]) -> HttpResponse:
    system = http.system(request)
    headers = stream_headers(reader) | left
    return StreamResponse(system.engine, reader, system.connections, headers)


def _events(obfuscated: bool) -> WireFactory[BodyWire]:
    def wire(stream: str, meta: GenerationMeta) -> BodyWire:
        return ResponsesSseWire(stream, ours(meta), obfuscated=obfuscated)

    return wire


def _sum(stream: str, meta: GenerationMeta) -> WholeWire:
    return WholeWire(stream, ours(meta), Response)
