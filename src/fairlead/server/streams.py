"""``/streams``: attach to an answer, look at it, stop it, remove it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fairlead.dialects import native
from fairlead.dialects.native import source
from fairlead.engine.answers import Snapshot
from fairlead.errors import BadRequest, NotFound
from fairlead.ports.store import StreamInfo
from fairlead.server import http
from fairlead.server.attach import NDJSON, after_parameter, attach, poll, presentation

router = APIRouter(prefix="/streams", tags=["streams"])


@router.get("", summary="List your streams, newest first")
async def list_streams(request: Request) -> Response:
    """``limit`` (1 to 100) and ``cursor`` page through them."""
    caller = await http.caller(request)
    limit = http.integer(request, "limit", 50, 1, 100)
    page = await http.system(request).engine.streams(
        caller, request.query_params.get("cursor"), limit
    )
    return http.json_response(
        {"streams": [_brief(info) for info in page.items], "cursor": page.cursor}
    )


@router.get(
    "/{stream}",
    summary="Read an answer: as events from any position, or as one document",
    responses={200: {"content": {"text/event-stream": {}, "application/json": {}}}},
    openapi_extra={
        "parameters": [
            {"name": "after", "in": "query", "schema": {"type": "string"}},
            {"name": "wait", "in": "query", "schema": {"type": "integer", "maximum": 60}},
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
        ]
    },
)
async def read_stream(request: Request, stream: str) -> Response:
    """``Accept: text/event-stream`` (or anything) streams, ``application/x-ndjson`` does so with a
    message a line; ``application/json`` gives the answer so far. ``wait`` (seconds) polls."""
    caller = await http.caller(request)
    if "wait" in request.query_params:
        wait = http.integer(request, "wait", 0, 0, 60)
        return await poll(request, caller, stream, after_parameter(request, stream), wait)
    accept = request.headers.get("accept", "*/*")
    plain = "application/json" in accept or "html" in accept
    if plain and "text/event-stream" not in accept and NDJSON not in accept:
        return http.json_response(document(await http.system(request).engine.read(caller, stream)))
    after = after_parameter(request, stream)
    return await attach(request, caller, stream, after, presentation(request))


async def _read(request: Request) -> Response:
    return await read_stream(request, request.path_params["stream"])


#: :func:`read_stream` without FastAPI's looking for parameters in each request; to be put before
#: the router, which keeps it in the OpenAPI document. A long poll is a request for every event.
reading = Route("/streams/{stream}", _read)
reading.methods = {"GET"}


@router.post("/{stream}/stop", summary="Stop an answer; what was written stays")
async def stop_stream(request: Request, stream: str) -> Response:
    """From any client, at once, as often as you like. The answer as it then stands."""
    http.same_site(request)
    caller = await http.caller(request)
    return http.json_response(document(await http.system(request).engine.stop(caller, stream)))


@router.post(
    "/{stream}/credential",
    summary="Let an open reader go on under a fresh credential",
    openapi_extra={
        "parameters": [{"name": "reader", "in": "query", "schema": {"type": "string"}}],
    },
)
async def renew_reader(request: Request, stream: str) -> Response:
    """The request carries the fresh credential, of the same consumer; ``reader`` (or the header
    ``Fairlead-Reader``) is the name with which the reader attached."""
    http.same_site(request)
    caller = await http.caller(request)
    name = caller.facts.reader
    if not name:
        raise BadRequest("'reader' is missing: the name with which the reader attached")
    renewed = await http.system(request).engine.renew(caller, stream, name)
    if not renewed:
        raise NotFound("no reader of this name reads the stream here: attach again")
    return http.json_response(
        {"consumer": caller.consumer, "expires_at": caller.expires_at, "readers": renewed}
    )


@router.delete("/{stream}", status_code=204, summary="Remove an answer")
async def delete_stream(request: Request, stream: str) -> Response:
    """A running one is stopped first. Its id is never used again."""
    http.same_site(request)
    caller = await http.caller(request)
    await http.system(request).engine.delete(caller, stream)
    return Response(status_code=204)


def document(snapshot: Snapshot) -> dict[str, Any]:
    """An answer as one JSON document."""
    answer, meta = snapshot.answer, snapshot.meta
    made: dict[str, Any] = {
        "stream": snapshot.info.spec.id,
        "status": answer.status,
        "text": answer.text,
        "sources": [source(s) for s in answer.sources],
        "position": str(snapshot.position) if snapshot.position else None,
        "conversation_id": meta.conversation,
        "message_id": meta.message,
        "provider": answer.provider or meta.provider,
        "model": answer.model or meta.model,
        "created": snapshot.info.created,
    }
    if answer.reasoning:
        made["reasoning"] = answer.reasoning
    if answer.usage is not None:
        made["usage"] = native.usage(answer.usage)
    if answer.done is not None and answer.done.reason:
        made["reason"] = answer.done.reason
    if answer.error is not None:
        made["error"] = answer.error.error
        made["code"] = answer.error.code
        made["retryable"] = answer.error.retryable
    if meta.notice:
        made["notice"] = meta.notice
    return made


def _brief(info: StreamInfo) -> dict[str, Any]:
    return {
        "stream": info.spec.id,
        "created": info.created,
        "closed": info.head.closed,
        "events": info.head.tail,
    }
