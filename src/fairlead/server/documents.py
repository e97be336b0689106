"""``/documents``: what the answers draw on, and taking in more while the server runs."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.errors import BadRequest, NotFound
from fairlead.knowledge.builtin import step_aside
from fairlead.knowledge.merged import documents_of
from fairlead.knowledge.reading import FORMATS, MAX_BYTES, Unsuitable, taken
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.policy.caller import ADMIN, Caller
from fairlead.server import http

router = APIRouter(prefix="/documents", tags=["documents"])

#: The source that holds what was sent here. No folder is called so.
ROOT = "upload:"
NAME = "uploads"
_MAX_NAME = 255


@router.get("", summary="List the documents (needs the scope admin where there are keys)")
async def list_documents(request: Request) -> Response:
    """``limit`` (1 to 100) and ``cursor`` page through them, by address."""
    knowledge = _knowledge(request, await http.caller(request))
    limit = http.integer(request, "limit", 50, 1, 100)
    found = await knowledge.documents(request.query_params.get("cursor", ""), limit + 1)
    return http.json_response(
        {
            "documents": [
                {
                    "document_id": d.id,
                    "address": d.address,
                    "title": d.title,
                    "passages": d.passages,
                }
                for d in found[:limit]
            ],
            "cursor": found[limit - 1].address if len(found) > limit else None,
        }
    )


@router.put(
    "/{name}",
    summary="Take in a document (needs the scope admin where there are keys)",
    responses={200: {"description": "It was there."}, 201: {"description": "It is new."}},
)
async def put_document(request: Request, name: str) -> Response:
    """The body is the file; its name says what it is. The answer comes when it can be cited."""
    http.same_site(request)
    knowledge = _knowledge(request, await http.caller(request))
    if not 0 < len(name.encode()) <= _MAX_NAME or not name.isprintable():
        raise BadRequest(f"the document's name must be printable, of at most {_MAX_NAME} bytes")
    data = await http.bounded_body(request, MAX_BYTES)
    try:
        made = await taken(data, name)
    except Unsuitable as error:
        raise BadRequest(
            f"{name[:100]!r} is no document: {error.reason}; "
            f"the types that are read are {', '.join(FORMATS)}"
        ) from None
    source = await knowledge.source(ROOT, NAME)
    known = (await knowledge.digests(source)).get(name)
    outcome = "updated" if known else "added"
    if known == made.digest:
        outcome = "unchanged"
    else:
        await knowledge.put(source, made)
        await step_aside(knowledge)
    return http.json_response(
        {
            "address": f"{source.name}/{name}",
            "outcome": outcome,
            "passages": len(made.chunked.chunks),
        },
        201 if outcome == "added" else 200,
    )


@router.delete("/{name}", status_code=204, summary="Remove a document that was sent here")
async def delete_document(request: Request, name: str) -> Response:
    """None is fine: it is gone either way."""
    http.same_site(request)
    knowledge = _knowledge(request, await http.caller(request))
    await knowledge.remove(await knowledge.source(ROOT, NAME), name)
    return Response(status_code=204)


def takes_documents(request: Request, caller: Caller) -> bool:
    """Whether the caller may send documents: they are everybody's, so it takes the operator."""
    knowledge = documents_of(http.system(request).engine.knowledge)
    return ADMIN in caller.scopes and isinstance(knowledge, SqliteKnowledge)


def _knowledge(request: Request, caller: Caller) -> SqliteKnowledge:
    knowledge = documents_of(http.system(request).engine.knowledge)
    if not isinstance(knowledge, SqliteKnowledge):
        raise NotFound("this server has no knowledge base")
    if ADMIN not in caller.scopes:
        raise NotFound(f"there is nothing at {request.url.path[:200]}")
    return knowledge
