"""``/v1/chat/completions``: OpenAI's Chat Completions, for any model."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects.openai_chat import PREFIX, Options
from fairlead.dialects.openai_chat_whole import Completion
from fairlead.dialects.openai_error import error_of
from fairlead.engine.reader import Reader
from fairlead.engine.wire import WireFactory
from fairlead.events.meta import GenerationMeta
from fairlead.policy.caller import Caller
from fairlead.server import http
from fairlead.server.attach import after_parameter, coding_of, last_event, stream_headers
from fairlead.server.openai_chat_request import asked
from fairlead.server.openai_requests import (
    LAST_EVENT,
    STARTING,
    answered,
    headers_of,
    orphan_window,
    ours,
    query,
    whole,
)
from fairlead.transports.body import BodyWire, StreamResponse
from fairlead.transports.vendor_sse import ChatSseWire
from fairlead.transports.whole import WholeWire

router = APIRouter(prefix="/v1/chat/completions", tags=["openai"])

_BODY_SCHEMA = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "model": {"type": "string", "description": "None: the server's first model."},
        "stream": {"type": "boolean"},
    },
}
_RESPONSES = answered("A chat.completion, or chat.completion.chunk objects as they come.")


@router.post(
    "",
    summary="Ask as OpenAI is asked",
    responses=_RESPONSES,
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": _BODY_SCHEMA}}},
        "parameters": STARTING,
    },
)
async def create(request: Request) -> Response:
    """A ``Last-Event-ID`` attaches to the stream that issued it and starts nothing. An upstream's
    error before its first piece is an HTTP status, as the vendor gives it."""
    http.same_site(request)
    # Before the body, which may be large.
    caller = await http.caller(request)
    system = http.system(request)
    config = system.config
    data = await http.json_bytes(request, config.max_ask_bytes)
    question = asked(data, orphan_window=orphan_window(request))
    if len(data) - question.beside > config.max_body_bytes:
        raise http.too_large(config.max_body_bytes)
    options = Options(question.include_usage)
    known = last_event(request)
    if known is not None:
        if question.stream:
            return await _attach(request, caller, known.stream, options)
        return await _whole(request, caller, known.stream)
    key = request.headers.get("idempotency-key", "")
    engine = system.engine
    if not question.stream:
        reader = await engine.start_and_attach(caller, question.ask, key, _sum)
        return await whole(request, reader)
    shown = await engine.start_and_attach(caller, question.ask, key, _chunks(options))
    # Taken now: it may have ended when it is shown.
    left = headers_of(request, shown.live.stream)
    try:
        failed = await engine.begun(shown.live.stream, config.heartbeat)
        if failed is not None:
            raise error_of(failed)
    except BaseException:
        engine.detach(shown)
        raise
    return _streaming(request, shown, left)


@router.get(
    "/{completion}",
    summary="Read an answer again, or go on reading it",
    responses=_RESPONSES,
    openapi_extra={
        "parameters": [
            query("stream", "boolean"),
            query("include_usage", "boolean"),
            query("after", "string"),
            LAST_EVENT,
        ]
    },
)
async def retrieve(request: Request, completion: str) -> Response:
    """As a whole, once it has ended; with ``stream=true`` as chunks, from after the
    ``Last-Event-ID`` (or ``after``) on."""
    caller = await http.caller(request)
    stream = completion.removeprefix(PREFIX)
    if http.choice(request, "stream", ("false", "true")) == "false":
        return await _whole(request, caller, stream)
    usage = http.choice(request, "include_usage", ("false", "true")) == "true"
    return await _attach(request, caller, stream, Options(usage))


@router.delete("/{completion}", summary="Remove an answer")
async def delete(request: Request, completion: str) -> Response:
    """A running one is stopped first."""
    http.same_site(request)
    caller = await http.caller(request)
    await http.system(request).engine.delete(caller, completion.removeprefix(PREFIX))
    return http.json_response(
        {"object": "chat.completion.deleted", "id": completion, "deleted": True}
    )


async def _attach(request: Request, caller: Caller, stream: str, options: Options) -> Response:
    engine = http.system(request).engine
    after = after_parameter(request, stream)
    reader = await engine.attach(caller, stream, after, _chunks(options))
    if after is not None and request.method == "GET" and await reader.over():
        # An EventSource would come back for ever (HTML, section 9.2.3).
        engine.detach(reader)
        return Response(status_code=204, headers=stream_headers(reader))
    return _streaming(request, reader, headers_of(request, reader.live.stream))


def _streaming(request: Request, reader: Reader[BodyWire], left: dict[str, str]) -> Response:
    system = http.system(request)
    headers = stream_headers(reader) | left
    coding = coding_of(request, reader)
    return StreamResponse(system.engine, reader, system.connections, headers, coding=coding)


async def _whole(request: Request, caller: Caller, stream: str) -> Response:
    reader = await http.system(request).engine.attach(caller, stream, None, _sum)
    return await whole(request, reader)


def _chunks(options: Options) -> WireFactory[BodyWire]:
    def wire(stream: str, meta: GenerationMeta) -> BodyWire:
        return ChatSseWire(stream, ours(meta), options)

    return wire


def _sum(stream: str, meta: GenerationMeta) -> WholeWire:
    return WholeWire(stream, ours(meta), Completion)
