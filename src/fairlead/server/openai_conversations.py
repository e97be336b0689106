"""``/v1/conversations``: OpenAI's conversations, which are Fairlead's own (``/conversations``)."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects.openai_body import decoded
from fairlead.ports.conversations import Conversation
from fairlead.primitives import random_id
from fairlead.server import http
from fairlead.server.openai_items import PREFIX, check, held, messages, remove, unknown_item
from fairlead.server.openai_requests import INCLUDE, body, page_of, query
from fairlead.server.openai_responses_request import check_metadata, items_in

router = APIRouter(prefix="/v1/conversations", tags=["openai"])

#: Items that are added by one request at most, as the vendor has it.
_MOST = 20

_METADATA = {"type": "object", "additionalProperties": {"type": "string"}}
_ITEMS = {"type": "array", "maxItems": _MOST, "items": {"type": "object"}}


class _Create(msgspec.Struct):
    metadata: dict[str, str] | None = None
    items: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=_MOST)] | None = None


class _Update(msgspec.Struct):
    metadata: dict[str, str]


class _Add(msgspec.Struct):
    items: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=_MOST)]


_create = msgspec.json.Decoder(_Create)
_update = msgspec.json.Decoder(_Update)
_add = msgspec.json.Decoder(_Add)


@router.post(
    "",
    summary="Begin a conversation as OpenAI has it",
    openapi_extra=body({"metadata": _METADATA, "items": _ITEMS}),
)
async def create(request: Request) -> Response:
    """With up to 20 items, if there are any."""
    http.same_site(request)
    caller, system = await http.caller(request), http.system(request)
    given = decoded(await http.json_bytes(request, system.config.max_body_bytes), _create)
    check_metadata(given.metadata or {})
    items = items_in(given.items or [], "items")
    check(items)
    now = time.time()
    made = await system.engine.dialogues.create(
        caller,
        Conversation(
            id=random_id(os.urandom(16)),
            owner=caller.consumer,
            title="",
            created=now,
            updated=now,
            metadata=given.metadata or {},
        ),
    )
    if items:
        await system.engine.dialogues.add(caller, made.id, messages(items, None, now))
    return http.json_response(_shown(made))


@router.get("/{conversation}", summary="Read a conversation as OpenAI has it")
async def retrieve(request: Request, conversation: str) -> Response:
    """Without its items."""
    caller = await http.caller(request)
    found = await held(http.system(request), caller, conversation)
    return http.json_response(_shown(found.conversation))


@router.post(
    "/{conversation}",
    summary="Change what is noted of a conversation",
    openapi_extra=body({"metadata": _METADATA}, "metadata"),
)
async def update(request: Request, conversation: str) -> Response:
    """``metadata`` takes the place of what there was."""
    http.same_site(request)
    caller, system = await http.caller(request), http.system(request)
    given = decoded(await http.json_bytes(request, system.config.max_body_bytes), _update)
    check_metadata(given.metadata)
    id = conversation.removeprefix(PREFIX)
    return http.json_response(
        _shown(await system.engine.dialogues.annotate(caller, id, given.metadata))
    )


@router.delete("/{conversation}", summary="Remove a conversation and its answers")
async def delete(request: Request, conversation: str) -> Response:
    """Running answers are stopped first."""
    http.same_site(request)
    caller = await http.caller(request)
    id = conversation.removeprefix(PREFIX)
    await http.system(request).engine.dialogues.delete(caller, id)
    return http.json_response(
        {"id": PREFIX + id, "object": "conversation.deleted", "deleted": True}
    )


@router.post(
    "/{conversation}/items",
    summary="Add items to a conversation",
    openapi_extra=body({"items": _ITEMS}, "items"),
)
async def add(request: Request, conversation: str) -> Response:
    """They follow the newest one, and nobody answers them."""
    http.same_site(request)
    caller, system = await http.caller(request), http.system(request)
    given = decoded(await http.json_bytes(request, system.config.max_body_bytes), _add)
    items = items_in(given.items, "items")
    check(items)
    found = await held(system, caller, conversation)
    added = messages(items, found.conversation.leaf, time.time())
    await system.engine.dialogues.add(caller, found.conversation.id, added)
    shown = [item for message in added for item in msgspec.json.decode(message.items)]
    return http.json_response(page_of(shown, "", len(shown)))


@router.get(
    "/{conversation}/items",
    summary="List the items of a conversation",
    openapi_extra={
        "parameters": [
            query("limit", "integer"),
            query("order", "string", enum=["desc", "asc"]),
            query("after", "string"),
            INCLUDE,
        ]
    },
)
async def list_items(request: Request, conversation: str) -> Response:
    """The newest first, unless ``order=asc``: those of the branch in use."""
    caller = await http.caller(request)
    limit = http.integer(request, "limit", 20, 1, 100)
    order = http.choice(request, "order", ("desc", "asc"))
    items = (await held(http.system(request), caller, conversation)).items
    if order == "desc":
        items.reverse()
    return http.json_response(page_of(items, request.query_params.get("after", ""), limit))


@router.get(
    "/{conversation}/items/{item}",
    summary="Read an item of a conversation",
    openapi_extra={"parameters": [INCLUDE]},
)
async def retrieve_item(request: Request, conversation: str, item: str) -> Response:
    """As it is listed."""
    caller = await http.caller(request)
    for each in (await held(http.system(request), caller, conversation)).items:
        if each["id"] == item:
            return http.json_response(each)
    raise unknown_item(item)


@router.delete("/{conversation}/items/{item}", summary="Remove an item from a conversation")
async def delete_item(request: Request, conversation: str, item: str) -> Response:
    """Of an answer's item its stream keeps what it has."""
    http.same_site(request)
    caller = await http.caller(request)
    return http.json_response(
        _shown(await remove(http.system(request), caller, conversation, item))
    )


def _shown(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": PREFIX + conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created),
        "metadata": conversation.metadata,
    }
