"""``/chat/stream``: ask a question and stream its answer; ``/streams/{id}/interrupt``: stop another
one for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.engine.ask import Ask, Started
from fairlead.engine.reader import Reader
from fairlead.errors import BadRequest, Busy
from fairlead.events.attachment import Attachment
from fairlead.journal.position import parse_position
from fairlead.policy.caller import Caller
from fairlead.server import http
from fairlead.server.attach import attach, last_event, presentation, respond
from fairlead.server.streams import document
from fairlead.transports import rate_limit
from fairlead.transports.body import BodyWire

router = APIRouter(tags=["answers"])


class ChatBody(msgspec.Struct):
    """The body of ``POST /chat/stream``. ``question`` means the same as ``message``."""

    message: str = ""
    question: str = ""
    conversation_id: str | None = None
    parent: str | None = None
    regenerate: str = ""
    model: str = ""
    system: str = ""
    parameters: dict[str, Any] = {}
    orphan_window: float | None = None
    background: bool = False
    attachments: list[Attachment] = []


class InterruptBody(ChatBody):
    """The body of ``POST /streams/{id}/interrupt``: the question, and the position up to which the
    answer was shown."""

    shown: str = ""


_BODY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "The question."},
        "question": {"type": "string", "description": "The same as message."},
        "conversation_id": {
            "type": "string",
            "description": "The dialogue to go on with; an unknown one is created.",
        },
        "parent": {
            "type": "string",
            "description": "The message to follow instead of the newest one: makes a branch.",
        },
        "regenerate": {
            "type": "string",
            "description": "A question, or the answer to it, to be answered once more.",
        },
        "model": {"type": "string"},
        "system": {"type": "string", "description": "Instructions to the model."},
        "parameters": {"type": "object", "description": "Passed on to the model."},
        "orphan_window": {
            "type": "number",
            "description": "Seconds that the answer is written on while nobody reads it.",
        },
        "background": {"type": "boolean", "description": "Write on, whoever reads."},
        "attachments": {
            "type": "array",
            "description": "Pictures and texts that go along with the question.",
            "items": {
                "type": "object",
                "required": ["type", "data"],
                "properties": {
                    "type": {"type": "string", "description": "Its media type."},
                    "name": {"type": "string", "description": "Its file's name."},
                    "data": {"type": "string", "format": "byte", "description": "In base64."},
                },
            },
        },
    },
}
_SHOWN = {
    "type": "string",
    "description": "The position up to which the answer was shown; none: nothing of it was.",
}
_OF_THE_ANSWER = ("conversation_id", "parent", "regenerate")
_INTERRUPT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"shown": _SHOWN}
    | {name: s for name, s in _BODY_SCHEMA["properties"].items() if name not in _OF_THE_ANSWER},
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events thinking, sources, token, done or error, as they happen.",
        "content": {"text/event-stream": {}, "application/json": {}},
        "headers": {"Fairlead-Stream": {"schema": {"type": "string"}}},
    }
}
_PARAMETERS = [
    {"name": "events", "in": "query", "schema": {"enum": ["named", "message"]}},
    {"name": "batch", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    {"name": "batch_ms", "in": "query", "schema": {"type": "integer", "maximum": 10000}},
    {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
]
_IDEMPOTENCY = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
_QUERY = [
    {"name": name, "in": "query", "schema": {"type": "string"}}
    for name in ("message", "question", "conversation_id", "model", "key")
]


@router.post(
    "/chat/stream",
    summary="Ask a question; stream the answer",
    responses=_STREAM,
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": _BODY_SCHEMA}}},
        "parameters": [*_PARAMETERS, _IDEMPOTENCY, *_QUERY[:2]],
    },
)
async def post_chat(request: Request) -> Response:
    """A ``Last-Event-ID`` attaches to the stream that issued it and starts nothing. The question
    may also stand in the query, where FastAPI's plain parameters do. ``Accept: application/json``
    is answered at once with the answer so far, to be read by long polling."""
    http.same_site(request)
    # Before the body, which may be large.
    caller = await http.caller(request)
    asked = _query(request)
    limit = http.system(request).config.max_ask_bytes
    body = asked
    if http.has_body(request):
        body = await http.json_body(request, ChatBody, limit, _attached)
    if not (body.message or body.question or body.regenerate):
        body.message, body.question = asked.message, asked.question
    return await _asked(request, caller, _ask(body), request.headers.get("idempotency-key", ""))


@router.get(
    "/chat/stream",
    summary="Ask a question; stream the answer (for EventSource)",
    responses=_STREAM,
    openapi_extra={"parameters": [*_PARAMETERS, *_QUERY]},
)
async def get_chat(request: Request) -> Response:
    """As ``POST``, with the question in the query. ``key`` is an idempotency key."""
    http.same_site(request)
    key = request.headers.get("idempotency-key") or request.query_params.get("key", "")
    return await _asked(request, await http.caller(request), _ask(_query(request)), key)


@router.post(
    "/streams/{stream}/interrupt",
    summary="Stop an answer and ask on, in one act; stream the next answer",
    responses=_STREAM,
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": _INTERRUPT_SCHEMA}}},
        "parameters": [*_PARAMETERS, _IDEMPOTENCY],
    },
)
async def interrupt_stream(request: Request, stream: str) -> Response:
    """The next prompt contains the answer's text only up to ``shown``. Sent twice, with the same
    ``Idempotency-Key`` or both times with none, it does nothing the second time but find the answer
    that the first one began."""
    http.same_site(request)
    caller = await http.caller(request)
    system = http.system(request)
    engine = system.engine
    body = await http.json_body(request, InterruptBody, system.config.max_ask_bytes, _attached)
    ask, key = _ask(body), request.headers.get("idempotency-key", "")
    shown = parse_position(body.shown.removeprefix(f"{stream}.")) if body.shown else None

    async def start() -> Started:
        return await engine.interrupt(caller, stream, shown, ask, key)

    async def begin(wire: Callable[..., BodyWire]) -> Reader[BodyWire]:
        # Asked before, so that no answer is begun that could not be read.
        if engine.readers >= (most := engine.limits.readers):
            raise Busy(f"{most} connections are open, which is the cap", retry_after=5)
        return await engine.attach(caller, (await start()).stream, None, wire)

    return await _answer(request, caller, start, begin)


def _attached(body: ChatBody) -> int:
    """How many of the body's bytes are those of its attachments, in base64."""
    return sum(-(-len(attachment.data) // 3) * 4 for attachment in body.attachments)


def _query(request: Request) -> ChatBody:
    query = request.query_params
    try:
        window = float(query["orphan_window"]) if "orphan_window" in query else None
    except ValueError:
        raise BadRequest("'orphan_window' must be a number of seconds") from None
    return ChatBody(
        message=query.get("message", ""),
        question=query.get("question", ""),
        conversation_id=query.get("conversation_id"),
        parent=query.get("parent"),
        regenerate=query.get("regenerate", ""),
        model=query.get("model", ""),
        orphan_window=window,
        background=http.choice(request, "background", ("false", "true")) == "true",
    )


def _ask(body: ChatBody) -> Ask:
    if body.message and body.question and body.message != body.question:
        raise BadRequest("'message' and 'question' mean the same; give one of them")
    return Ask(
        message=body.message or body.question,
        conversation=body.conversation_id or "",
        parent=body.parent,
        regenerate=body.regenerate,
        model=body.model,
        system=body.system,
        parameters=body.parameters,
        orphan_window=body.orphan_window,
        background=body.background,
        attachments=tuple(body.attachments),
    )


async def _asked(request: Request, caller: Caller, ask: Ask, key: str) -> Response:
    engine = http.system(request).engine

    async def start() -> Started:
        return await engine.start(caller, ask, key)

    async def begin(wire: Callable[..., BodyWire]) -> Reader[BodyWire]:
        return await engine.start_and_attach(caller, ask, key, wire)

    return await _answer(request, caller, start, begin)


async def _answer(
    request: Request,
    caller: Caller,
    start: Callable[[], Awaitable[Started]],
    begin: Callable[[Callable[..., BodyWire]], Awaitable[Reader[BodyWire]]],
) -> Response:
    """The answer as the request wants it: as a document, for which ``start`` will do, or as
    events, which ``begin`` also reads."""
    known = last_event(request)
    if request.headers.get("accept", "") == "application/json":
        # For those who cannot have a body that streams, because something on the way holds it back.
        engine = http.system(request).engine
        stream = known.stream if known else (await start()).stream
        so_far = document(await engine.read(caller, stream))
        limits = rate_limit.headers(engine.standings(stream))
        return http.json_response(so_far, headers={"fairlead-stream": stream, **limits})
    shown = presentation(request)
    if known is not None:
        return await attach(request, caller, known.stream, known.after, shown)
    return respond(request, await begin(shown.wire), shown)
