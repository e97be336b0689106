"""``/chat/stream``: ask a question and stream its answer."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.engine.ask import Ask
from fairlead.errors import BadRequest
from fairlead.events.attachment import Attachment
from fairlead.policy.caller import Caller
from fairlead.server import http
from fairlead.server.attach import attach, last_event, presentation, respond
from fairlead.server.streams import document
from fairlead.transports import rate_limit

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


_BODY_SCHEMA = {
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
    return await _answer(request, caller, _ask(body), request.headers.get("idempotency-key", ""))


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
    return await _answer(request, await http.caller(request), _ask(_query(request)), key)


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


async def _answer(request: Request, caller: Caller, ask: Ask, key: str) -> Response:
    known = last_event(request)
    if request.headers.get("accept", "") == "application/json":
        # For those who cannot have a body that streams, because something on the way holds it back.
        engine = http.system(request).engine
        stream = known.stream if known else (await engine.start(caller, ask, key)).stream
        so_far = document(await engine.read(caller, stream))
        limits = rate_limit.headers(engine.standings(stream))
        return http.json_response(so_far, headers={"fairlead-stream": stream, **limits})
    shown = presentation(request)
    if known is not None:
        return await attach(request, caller, known.stream, known.after, shown)
    reader = await http.system(request).engine.start_and_attach(caller, ask, key, shown.wire)
    return respond(request, reader, shown)
