"""``/v1/models`` and ``/v1/embeddings``: what OpenAI's API has beside conversations."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects.openai_body import FIELDS, decoded
from fairlead.engine.models import Model, Models
from fairlead.errors import BadRequest, UnknownModel
from fairlead.server import http

router = APIRouter(prefix="/v1", tags=["openai"])

#: Texts that are embedded by one request at most, as the vendor has it.
_MAX_INPUTS = 2048


class _Embeddings(msgspec.Struct):
    input: str | list[str | int | list[int]]
    model: str = ""


_embeddings = msgspec.json.Decoder(_Embeddings)


@router.get("/models", summary="The models that can be asked, as OpenAI lists them")
async def models(request: Request) -> Response:
    """The default one first; other names for them are listed, too."""
    await http.caller(request)
    offered = http.system(request).engine.models
    data = [_model(name, model) for name, model in _named(offered).items()]
    return http.json_response({"object": "list", "data": data})


@router.get("/models/{name:path}", summary="One model")
async def model(request: Request, name: str) -> Response:
    """Raises ``model_not_found`` for one that there is not."""
    await http.caller(request)
    found = _named(http.system(request).engine.models).get(name)
    if found is None:
        raise UnknownModel(f"there is no model {name[:100]!r} here")
    return http.json_response(_model(name, found))


@router.post(
    "/embeddings",
    summary="Embed texts with an upstream's model",
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["input"],
                        "properties": {
                            "input": {"anyOf": [{"type": "string"}, {"type": "array"}]},
                            "model": {"type": "string"},
                        },
                    }
                }
            }
        }
    },
)
async def embeddings(request: Request) -> Response:
    """Passed to the upstream that has the model, with all its fields; another upstream of the same
    model is asked if that one fails."""
    http.same_site(request)
    caller = await http.caller(request)
    system = http.system(request)
    data = await http.json_bytes(request, system.config.max_body_bytes)
    asked, fields = decoded(data, _embeddings), decoded(data, FIELDS)
    given = asked.input
    if not given or (not isinstance(given, str) and len(given) > _MAX_INPUTS):
        raise BadRequest(f"'input' must hold from 1 to {_MAX_INPUTS} texts", param="input")
    passed = await system.engine.pass_on(caller, asked.model, "/embeddings", fields, _said(given))
    return http.json_response(msgspec.Raw(passed.body))


def _said(given: str | list[str | int | list[int]]) -> str:
    """The text, by which its tokens are estimated; a token's number stands for about a word."""
    if isinstance(given, str):
        return given
    return "\n".join(each if isinstance(each, str) else "word" * _count(each) for each in given)


def _count(each: int | list[int]) -> int:
    return 1 if isinstance(each, int) else len(each)


def _named(offered: Models) -> dict[str, Model]:
    """The models by all their names."""
    named = {model.name: model for model in offered.all}
    return named | {alias: named[name] for alias, name in offered.aliases.items() if name in named}


def _model(name: str, model: Model) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": model.provider.name}
