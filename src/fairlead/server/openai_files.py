"""``/v1/files``: passed to the upstream that keeps files, each caller's apart (PROTOCOL.md, section
13)."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fairlead.engine.filed import Filed
from fairlead.errors import (
    BadRequest,
    Conflict,
    Draining,
    NotFound,
    TooMany,
    UpstreamError,
    UpstreamProtocol,
)
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb
from fairlead.ports.files import File
from fairlead.providers.openai_files import UpstreamFiles
from fairlead.server import http
from fairlead.server.models import reached
from fairlead.server.openai_requests import query
from fairlead.server.passed import Passed
from fairlead.server.system import System

router = APIRouter(prefix="/v1/files", tags=["openai"])

#: Files of one consumer, and of one page of them.
_MOST = 10_000
#: Bytes of the form around a file.
_AROUND = 64 << 10
#: The largest file that an upstream has, as the vendor has it: its bytes are only handed on.
_LARGEST = 512 << 20
_FORM = "multipart/form-data"
_LONGEST_TYPE = 200

_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["purpose", "file"],
                    "properties": {
                        "purpose": {"type": "string"},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            }
        },
    }
}
_LISTING = [
    query("purpose", "string"),
    query("after", "string"),
    query("order", "string", enum=["desc", "asc"]),
    query("limit", "integer", minimum=1, maximum=_MOST),
]


@router.post("", summary="Upload a file to the upstream that keeps files", openapi_extra=_SCHEMA)
async def upload(request: Request) -> Response:
    """A form with the ``file`` and its ``purpose``, handed on as it comes. What comes back has the
    file's ``id``, which questions name."""
    http.same_site(request)
    caller = await http.caller(request)
    system = http.system(request)
    filed, upstream = _kept(system)
    if system.engine.draining:
        raise Draining("the server takes nothing new while it shuts down", retry_after=2)
    if await filed.room(caller) >= _MOST:
        raise TooMany(f"there are {_MOST} files already, which is the limit: remove some")
    form = request.headers.get("content-type", "")
    if form.partition(";")[0].strip().lower() != _FORM or len(form) > _LONGEST_TYPE:
        raise BadRequest(f"the body must be a form with the file: send 'Content-Type: {_FORM}'")
    body = http.body_chunks(request, system.config.max_attachment_bytes + _AROUND)
    async with contextlib.aclosing(body):
        told = await upstream.upload(body, form, http.stated_length(request))
    file = File(
        id=told.id,
        consumer=caller.consumer,
        upstream=upstream.name,
        purpose=told.purpose,
        created=time.time(),
        expires_at=told.expires_at,
        told=told.words,
    )
    try:
        await filed.add(file)
    except Conflict:
        raise UpstreamProtocol(
            f"the upstream {upstream.name!r} gave the file an id that another one has",
            upstream=upstream.name,
        ) from None
    except BaseException:
        # Nobody would ever find it.
        with contextlib.suppress(UpstreamError, NotFound):
            await upstream.remove(told.id)
        raise
    return http.json_response(told.words)


@router.get("", summary="The caller's files", openapi_extra={"parameters": _LISTING})
async def files(request: Request) -> Response:
    """As the upstream told of each when it was uploaded."""
    caller = await http.caller(request)
    filed, upstream = _kept(http.system(request))
    limit = http.integer(request, "limit", _MOST, 1, _MOST)
    found = await filed.page(
        caller,
        upstream.name,
        purpose=request.query_params.get("purpose", ""),
        after=(after := request.query_params.get("after", "")),
        newest_first=http.choice(request, "order", ("desc", "asc")) == "desc",
        limit=limit + 1,
    )
    if found is None:
        raise BadRequest(f"'after' names none of the files: {after[:100]!r}", param="after")
    page = found[:limit]
    return http.json_response(
        {
            "object": "list",
            "data": [file.told for file in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(found) > limit,
        }
    )


@router.get("/{id}", summary="What the upstream says of a file")
async def file(request: Request, id: str) -> Response:
    """Raises ``not_found`` for one of somebody else's."""
    caller = await http.caller(request)
    filed, upstream = _kept(http.system(request))
    await _own(filed, upstream, caller, Verb.READ, id)
    try:
        told = await upstream.retrieve(id)
    except NotFound:
        await filed.forget(id)
        raise
    return http.json_response(told.words)


@router.delete("/{id}", summary="Remove a file")
async def remove(request: Request, id: str) -> Response:
    """From the upstream, for good."""
    http.same_site(request)
    caller = await http.caller(request)
    filed, upstream = _kept(http.system(request))
    await _own(filed, upstream, caller, Verb.DELETE, id)
    try:
        await upstream.remove(id)
    except NotFound:
        await filed.forget(id)
        raise
    await filed.forget(id)
    return http.json_response({"id": id, "object": "file", "deleted": True})


@router.get("/{id}/content", summary="The bytes of a file")
async def content(request: Request, id: str) -> Response:
    """As they come from the upstream."""
    caller = await http.caller(request)
    filed, upstream = _kept(http.system(request))
    await _own(filed, upstream, caller, Verb.READ, id)
    return _Download(filed, upstream, id)


class _Download(Response):
    """A file's bytes. Whatever it is, a browser is to keep it, and neither to show nor run it."""

    def __init__(self, filed: Filed, upstream: UpstreamFiles, id: str) -> None:
        self.background = None
        self._filed = filed
        self._upstream = upstream
        self._id = id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-disposition", b"attachment"),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        try:
            async with self._upstream.content(self._id) as found:
                if found.length is not None:
                    headers.append((b"content-length", str(found.length).encode()))
                await Passed(found, headers, _LARGEST)(scope, receive, send)
        except NotFound:
            await self._filed.forget(self._id)
            raise


def _kept(system: System) -> tuple[Filed, UpstreamFiles]:
    """Whose files are, and the upstream that keeps them."""
    keeper = next((each for each in system.config.answerers if each.files), None)
    if keeper is None or system.engine.filed is None:
        raise NotFound(
            "no files are kept here. Set 'files = true' in the [[upstreams]] of one that has "
            "/files, or put the file's bytes into the question, as 'file_data' or 'image_url' with "
            "a 'data:' address in base64"
        )
    return system.engine.filed, UpstreamFiles(reached(keeper))


async def _own(filed: Filed, upstream: UpstreamFiles, caller: Caller, verb: Verb, id: str) -> None:
    """Raise :class:`~fairlead.errors.NotFound` unless the caller may do this to the file, and the
    upstream keeps it."""
    file = await filed.find(caller, verb, id)
    if file.upstream != upstream.name:
        raise NotFound(f"the file is kept by the upstream {file.upstream!r}, which is gone")
