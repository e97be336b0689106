"""``/conversations``: dialogues, kept and branchable."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects.native import source
from fairlead.errors import BadRequest
from fairlead.ports.conversations import Conversation, Message
from fairlead.server import http

router = APIRouter(prefix="/conversations", tags=["conversations"])


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``PATCH``: another title, or another branch in use."""

    title: str | None = None
    leaf: str | None = None


@router.get("", summary="List your conversations, most recently used first")
async def list_conversations(request: Request) -> Response:
    """``limit`` (1 to 100) and ``cursor`` page through them."""
    caller = await http.caller(request)
    limit = http.integer(request, "limit", 50, 1, 100)
    page = await http.system(request).engine.dialogues.page(
        caller, request.query_params.get("cursor"), limit
    )
    return http.json_response(
        {"conversations": [conversation(c) for c in page.items], "cursor": page.cursor}
    )


@router.get("/{id}", summary="Read a conversation with all its branches")
async def read_conversation(request: Request, id: str) -> Response:
    """Each message names its parent; siblings are edits and regenerations."""
    caller = await http.caller(request)
    found, messages = await http.system(request).engine.dialogues.read(caller, id)
    return http.json_response({**conversation(found), "messages": [message(m) for m in messages]})


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
    if m.sources:
        made["sources"] = [source(s) for s in m.sources]
    return made
