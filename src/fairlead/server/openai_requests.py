"""What requests in OpenAI's dialects have in common: their parameters, their headers, and who is
answered with what of a stream."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from fairlead.dialects.openai_error import error_of
from fairlead.engine.reader import Reader
from fairlead.errors import BadRequest
from fairlead.events.meta import GenerationMeta
from fairlead.server import http
from fairlead.server.attach import stream_headers
from fairlead.transports import rate_limit
from fairlead.transports.whole import Whole, WholeWire

#: The seconds that an answer is written on while nobody reads it.
ORPHAN_WINDOW = "Fairlead-Orphan-Window"

#: What the vendor's SDK for browsers sends, beside what every client does.
REQUEST_HEADERS = (
    ORPHAN_WINDOW,
    "OpenAI-Organization",
    "OpenAI-Project",
    *(
        f"X-Stainless-{name}"
        for name in (
            "Arch",
            "Helper-Method",
            "Lang",
            "OS",
            "Package-Version",
            "Retry-Count",
            "Runtime",
            "Runtime-Version",
            "Timeout",
        )
    ),
)


def header(name: str, type: str = "string") -> dict[str, Any]:
    """A header of a request, as the OpenAPI document has it."""
    return {"name": name, "in": "header", "schema": {"type": type}}


def query(name: str, type: str, **schema: Any) -> dict[str, Any]:
    """A parameter of a query, as the OpenAPI document has it."""
    return {"name": name, "in": "query", "schema": {"type": type, **schema}}


LAST_EVENT = header("Last-Event-ID")
#: The parameters of what starts an answer.
STARTING = [LAST_EVENT, header("Idempotency-Key"), header(ORPHAN_WINDOW, "number")]


# All that it may name stands in the answer, or there is none of it here.
INCLUDE: dict[str, Any] = {
    "name": "include",
    "in": "query",
    "schema": {"type": "array", "items": {"type": "string"}},
}


def body(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """A JSON body of these fields, as the OpenAPI document has it."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def answered(description: str) -> dict[int | str, dict[str, Any]]:
    """The responses of what gives an answer, streamed or whole."""
    return {
        200: {
            "description": description,
            "content": {"text/event-stream": {}, "application/json": {}},
            "headers": {"Fairlead-Stream": {"schema": {"type": "string"}}},
        }
    }


def orphan_window(request: HTTPConnection) -> float | None:
    """What the request says of :data:`ORPHAN_WINDOW`; None: nothing."""
    text = request.headers.get(ORPHAN_WINDOW, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise BadRequest(f"'{ORPHAN_WINDOW}' must be a number of seconds") from None


def ours(meta: GenerationMeta) -> GenerationMeta:
    """The meta of a generation. Raises for another application's stream, which has no answer."""
    if meta.relayed:
        raise BadRequest("this stream holds another application's events: read it at /streams/{id}")
    return meta


def headers_of(request: Request, stream: str) -> dict[str, str]:
    """What a response says of the budgets that an answer is charged to."""
    standings = http.system(request).engine.standings(stream)
    return rate_limit.headers(standings) | rate_limit.vendor_headers(standings)


def page_of(items: list[Any], after: str, limit: int) -> dict[str, Any]:
    """The items that follow the one of the id ``after`` (empty: from the first on), as the vendor
    pages lists."""
    if after:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise BadRequest("'after' names none of the items", param="after")
        items = items[ids.index(after) + 1 :]
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


async def whole(request: Request, reader: Reader[WholeWire]) -> Response:
    """The response that has the whole answer, when it has ended; an error is a status."""
    system, stream = http.system(request), reader.live.stream
    # At the end the budgets may be asked no more, but know better.
    headers = stream_headers(reader) | headers_of(request, stream)
    sum = await Whole(system.engine, reader, system.connections).wait(request)
    if sum.error is not None:
        raise error_of(sum.error)
    headers |= headers_of(request, stream)
    return http.json_response(msgspec.Raw(sum.object()), headers=headers)
