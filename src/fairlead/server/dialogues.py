"""``/conversations``: dialogues, kept and branchable."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects.native import source
from fairlead.errors import BadRequest
from fairlead.events.attachment import Attachment, is_text
from fairlead.ports.conversations import Attached, Conversation, Message
from fairlead.server import http

router = APIRouter(prefix="/conversations", tags=["conversations"])


#: What browsers may show by themselves: types that hold no script.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp")


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``PATCH``: another title, or another branch in use."""

    title: str | None = None
    leaf: str | None = None


@router.get("", summary="List your conversations, most recently used first")
async def list_conversations(request: Request) -> Response:
    """``limit`` (1 to 100) and ``cursor`` page through them; ``search`` finds those that have it
    in their title or in a message. ``status`` is that of the newest message in use."""
    caller = await http.caller(request)
    limit = http.integer(request, "limit", 50, 1, 100)
    query = request.query_params
    page = await http.system(request).engine.dialogues.page(
        caller, query.get("cursor"), limit, query.get("search", "")
    )
    listed = [{**conversation(c), "status": c.status} for c in page.items]
    return http.json_response({"conversations": listed, "cursor": page.cursor})


@router.get("/{id}", summary="Read a conversation with all its branches")
async def read_conversation(request: Request, id: str) -> Response:
    """Each message names its parent; siblings are edits and regenerations."""
    caller = await http.caller(request)
    found, messages = await http.system(request).engine.dialogues.read(caller, id)
    return http.json_response({**conversation(found), "messages": [message(m) for m in messages]})


@router.get(
    "/{id}/attachments/{attachment}",
    summary="Fetch what came with a question",
    responses={200: {"content": {"*/*": {}}}},
)
async def read_attachment(request: Request, id: str, attachment: str) -> Response:
    """Its bytes, as a download unless it is a picture."""
    caller = await http.caller(request)
    found = await http.system(request).engine.dialogues.attachment(caller, id, attachment)
    return Response(found.data, headers=_headers(found))


@router.patch(
    "/{id}",
    summary="Rename a conversation, or take another of its branches into use",
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"title": {"type": "string"}, "leaf": {"type": "string"}},
                    }
                }
            }
        }
    },
)
async def change_conversation(request: Request, id: str) -> Response:
    """``leaf`` is the last message of the branch."""
    http.same_site(request)
    caller = await http.caller(request)
    change = await http.json_body(request, Change)
    engine = http.system(request).engine
    changed: Conversation | None = None
    if change.title is not None:
        changed = await engine.dialogues.rename(caller, id, change.title)
    if change.leaf is not None:
        changed = await engine.dialogues.select(caller, id, change.leaf)
    if changed is None:
        raise BadRequest("give a 'title', a 'leaf', or both")
    return http.json_response(conversation(changed))


@router.delete("/{id}", status_code=204, summary="Remove a conversation and its answers")
async def delete_conversation(request: Request, id: str) -> Response:
    """Running answers are stopped first."""
    http.same_site(request)
    caller = await http.caller(request)
    await http.system(request).engine.dialogues.delete(caller, id)
    return Response(status_code=204)


def conversation(c: Conversation) -> dict[str, Any]:
    """A conversation as callers see it."""
    return {
        "conversation_id": c.id,
        "title": c.title,
        "created": c.created,
        "updated": c.updated,
        "leaf": c.leaf,
    }


def message(m: Message) -> dict[str, Any]:
    """A message as callers see it; a running one's text comes from its stream."""
    made: dict[str, Any] = {
        "message_id": m.id,
        "parent": m.parent,
        "role": m.role,
        "text": m.text,
        "status": m.status,
        "created": m.created,
    }
    if m.stream:
        made["stream"] = m.stream
    if m.shown is not None:
        made["shown"] = m.shown
    if m.attachments:
        made["attachments"] = [attached(a) for a in m.attachments]
    if m.sources:
        made["sources"] = [source(s) for s in m.sources]
    return made


def attached(a: Attached) -> dict[str, Any]:
    """What is told of an attachment; its bytes are fetched apart."""
    made: dict[str, Any] = {"attachment_id": a.id, "type": a.type, "size": a.size}
    return made | {"name": a.name} if a.name else made


def _headers(attachment: Attachment) -> dict[str, str]:
    # What somebody sent must not run here as a page of ours, whatever it says it is.
    disposition = "inline" if attachment.type in _SHOWN else "attachment"
    if attachment.name:
        name = quote(attachment.name, safe="", errors="replace")
        disposition += f"; filename*=UTF-8''{name}"  # RFC 6266, section 4.3
    charset = "; charset=utf-8" if is_text(attachment.type) else ""
    return {
        "content-type": attachment.type + charset,
        "content-disposition": disposition,
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
