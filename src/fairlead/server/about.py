"""What the server says about itself, its passages, and its health."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

import fairlead
from fairlead.knowledge.reading import FORMATS, MAX_BYTES
from fairlead.server import http
from fairlead.server.attach import PROTOCOL
from fairlead.server.documents import takes_documents
from fairlead.server.rpc import AVAILABLE

router = APIRouter(tags=["server"])

_AROUND = 20_000
#: Where the packages for it are installed.
_CONNECT = ["connect"] if AVAILABLE else []


@router.get("/info", summary="What this server is and offers")
async def info(request: Request) -> Response:
    """Version, protocol, the models that can be asked, and what may come with a question."""
    system = http.system(request)
    caller = await http.caller(request)
    config = system.config
    models = [
        {"name": model.name, "provider": model.provider.name} for model in system.engine.models.all
    ]
    return http.json_response(
        {
            "name": "fairlead",
            "version": fairlead.__version__,
            "protocol": PROTOCOL,
            "models": models,
            "knowledge": system.engine.knowledge is not None,
            "notice": system.notice,
            "transports": ["sse", "websocket", "poll", "ndjson", *_CONNECT],
            "page_background": config.page_background,
            "attachments": {
                "types": config.attachment_types,
                "number": config.max_attachments,
                "bytes": config.max_attachment_bytes,
                "total": config.max_attached_bytes,
            },
            "documents": (
                {"types": list(FORMATS), "bytes": MAX_BYTES}
                if takes_documents(request, caller)
                else None
            ),
        }
    )


@router.get("/models", summary="The models that can be asked")
async def models(request: Request) -> Response:
    """Their names, who answers, other names for them, and which one answers when none is named."""
    await http.caller(request)
    offered = http.system(request).engine.models
    return http.json_response(
        {
            "models": [
                {"name": model.name, "provider": model.provider.name} for model in offered.all
            ],
            "aliases": [{"name": name, "model": model} for name, model in offered.aliases.items()],
            "default": offered.all[0].name,
        }
    )


@router.get("/store", summary="How much is stored (needs the scope admin where there are keys)")
async def store(request: Request) -> Response:
    """Streams, their records, the records' bytes, and bytes on disk."""
    caller = await http.caller(request)
    size = await http.system(request).engine.size(caller)
    return http.json_response(msgspec.to_builtins(size))


@router.get(
    "/passages/{id}",
    summary="Read a passage that an answer cites",
    openapi_extra={
        "parameters": [{"name": "around", "in": "query", "schema": {"type": "integer"}}],
    },
)
async def passage(request: Request, id: str) -> Response:
    """The whole passage and its place in its document; with ``around``, up to so many characters
    ``before`` and ``after`` it (at most 20,000)."""
    caller = await http.caller(request)
    around = http.integer(request, "around", 0, 0, _AROUND)
    found = await http.system(request).engine.passage(caller, id, around)
    return http.json_response(msgspec.to_builtins(found))


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Response:
    """200 while it answers at all."""
    return http.json_response({"status": "ok"})


@router.get("/health/ready", summary="Should a balancer send new requests here?")
async def ready(request: Request) -> Response:
    """503 while draining. Readers that exist are served all the same."""
    engine = http.system(request).engine
    status = "draining" if engine.draining else "ok"
    return http.json_response(
        {"status": status, "generations": engine.running, "readers": engine.readers},
        503 if engine.draining else 200,
    )
