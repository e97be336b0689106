"""``POST /streams``: programs in any language write answers themselves."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects import written
from fairlead.engine.ask import Ask
from fairlead.engine.outside import Outside, Writing
from fairlead.errors import BadRequest
from fairlead.server import http
from fairlead.server.attach import NDJSON

router = APIRouter(prefix="/streams", tags=["streams"])

#: Seconds within which a writer has to be heard of, unless it says otherwise.
_LEASE = 60.0
_MOST = 1 << 53

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Lease = Annotated[float, msgspec.Meta(ge=1, le=3600)]


class StreamBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /streams``."""

    message: str
    conversation_id: str = ""
    parent: str | None = None
    name: Name = "program"
    lease: Lease = _LEASE
    orphan_window: float | None = None
    background: bool = True


_SCHEMA = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "message": {"type": "string", "description": "What is answered."},
        "conversation_id": {"type": "string", "description": "The dialogue to go on with."},
        "parent": {"type": "string", "description": "The message to follow: makes a branch."},
        "name": {"type": "string", "description": "Stands as the provider."},
        "lease": {"type": "number", "description": "Seconds until a silent writer has gone."},
        "orphan_window": {"type": "number"},
        "background": {"type": "boolean", "description": "Write on though nobody reads."},
    },
}


@router.post(
    "",
    summary="Begin an answer that you write yourself",
    responses={201: {"description": "Begun."}, 200: {"description": "Yours to go on with."}},
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": _SCHEMA}}},
        "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}],
    },
)
async def begin(request: Request) -> Response:
    """With an ``Idempotency-Key`` a program that has lost its way goes on with the same answer."""
    http.same_site(request)
    caller = await http.caller(request)
    body = await http.json_body(request, StreamBody)
    ask = Ask(
        message=body.message,
        conversation=body.conversation_id,
        parent=body.parent,
        orphan_window=body.orphan_window,
        background=body.background and body.orphan_window is None,
    )
    key = request.headers.get("idempotency-key", "")
    writing, created = await _outside(request).begin(caller, ask, key, body.name, body.lease)
    found = _standing(writing) | {
        "conversation_id": writing.output.conversation,
        "message_id": writing.output.message,
    }
    return http.json_response(found, 201 if created else 200)


@router.post(
    "/{stream}/events",
    summary="Write on, and say that you live",
    openapi_extra={
        "requestBody": {"content": {NDJSON: {}}},
        "parameters": [
            {"name": "writer", "in": "query", "required": True, "schema": {"type": "integer"}},
            {"name": "at", "in": "query", "required": True, "schema": {"type": "integer"}},
        ],
    },
)
async def append(request: Request, stream: str) -> Response:
    """A line for each event. Answered when they are stored; may be repeated as it was."""
    http.same_site(request)
    caller = await http.caller(request)
    pieces = []
    if http.has_body(request):
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent != NDJSON:
            raise BadRequest(f"the body must be lines of JSON: send 'Content-Type: {NDJSON}'")
        limit = http.system(request).config.max_body_bytes
        pieces = written.read(await http.bounded_body(request, limit))
    for name in ("writer", "at"):
        if name not in request.query_params:
            raise BadRequest(f"'{name}' is missing from the query")
    writer = http.integer(request, "writer", 0, 0, _MOST)
    at = http.integer(request, "at", 0, 0, _MOST)
    writing = await _outside(request).append(caller, stream, writer, at, pieces)
    return http.json_response(_standing(writing))


def _standing(writing: Writing) -> dict[str, Any]:
    return {
        "stream": writing.output.id,
        "writer": writing.writer,
        "next": writing.lines,
        "status": writing.output.status,
        "lease": writing.lease,
    }


def _outside(request: Request) -> Outside:
    outside: Outside = request.app.state.outside
    return outside
