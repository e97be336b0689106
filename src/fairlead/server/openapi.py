"""The OpenAPI document: what FastAPI makes of the routes, and what it cannot know: our errors, our
credentials, and an example of each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI

from fairlead.transports.callers import OPENAI

STREAM = "7b1zq4mhc8xk2v9d5w3nt6r0js"
POSITION = "11k3f9az-13"
KEY = "3v1m0c8x2k"
CONVERSATION = "my-first-talk"
ATTACHMENT = "2c8n4x6vq1m7zt5k3j9wd0hbrs"
PASSAGE = "resume-a-stream-1"
DOCUMENT = "leave.md"
_DAYS = {"since": "2026-11-01", "until": "2026-11-30"}


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One request: what stands in its path and query, and its body, as JSON or as ``text`` of a
    content type."""

    path: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Any = None
    text: tuple[str, str] | None = None


#: An example for each operation of the native API and of ``/admin``, by method and path. Ids stand
#: for those that the server gives.
EXAMPLES: dict[tuple[str, str], Example] = {
    ("POST", "/chat/stream"): Example(
        body={"message": "What is a position?", "conversation_id": CONVERSATION}
    ),
    ("GET", "/chat/stream"): Example(query={"message": "What is a position?"}),
    ("GET", "/streams"): Example(query={"limit": "10"}),
    ("POST", "/streams"): Example(body={"message": "What did the program find?"}),
    ("GET", "/streams/{stream}"): Example(path={"stream": STREAM}, query={"wait": "0"}),
    ("DELETE", "/streams/{stream}"): Example(path={"stream": STREAM}),
    ("POST", "/streams/{stream}/stop"): Example(path={"stream": STREAM}),
    ("POST", "/streams/{stream}/interrupt"): Example(
        path={"stream": STREAM}, body={"message": "Shorter, please.", "shown": POSITION}
    ),
    ("POST", "/streams/{stream}/credential"): Example(
        path={"stream": STREAM}, query={"reader": "tab-1"}
    ),
    ("POST", "/streams/{stream}/events"): Example(
        path={"stream": STREAM},
        query={"writer": "0", "at": "0"},
        text=("application/x-ndjson", '{"type":"token","data":{"token":"Seven."}}\n'),
    ),
    ("GET", "/conversations"): Example(query={"limit": "10"}),
    ("GET", "/conversations/{id}"): Example(path={"id": CONVERSATION}),
    ("PATCH", "/conversations/{id}"): Example(
        path={"id": CONVERSATION}, body={"title": "Positions"}
    ),
    ("DELETE", "/conversations/{id}"): Example(path={"id": CONVERSATION}),
    ("GET", "/conversations/{id}/attachments/{attachment}"): Example(
        path={"id": CONVERSATION, "attachment": ATTACHMENT}
    ),
    ("GET", "/documents"): Example(),
    ("PUT", "/documents/{name}"): Example(
        path={"name": DOCUMENT},
        text=("text/markdown", "# Leave\n\nEverybody has 30 days of leave.\n"),
    ),
    ("DELETE", "/documents/{name}"): Example(path={"name": DOCUMENT}),
    ("GET", "/info"): Example(),
    ("GET", "/models"): Example(),
    ("GET", "/store"): Example(),
    ("GET", "/passages/{id}"): Example(path={"id": PASSAGE}),
    ("GET", "/health/live"): Example(),
    ("GET", "/health/ready"): Example(),
    ("GET", "/budgets"): Example(),
    ("GET", "/usage"): Example(query=_DAYS),
    ("POST", "/logout"): Example(),
    ("GET", "/me"): Example(),
    ("POST", "/tickets"): Example(),
    ("POST", "/credential"): Example(query={"reader": "tab-1"}),
    ("GET", "/metrics"): Example(),
    ("GET", "/admin/consumers"): Example(query=_DAYS),
    ("GET", "/admin/keys"): Example(query={"consumer": "alice", "limit": "10"}),
    ("POST", "/admin/keys"): Example(
        body={
            "consumer": "alice",
            "name": "the page",
            "scopes": ["ask", "read"],
            "expires_in": 7776000,
        }
    ),
    ("POST", "/admin/keys/{id}/rotate"): Example(path={"id": KEY}, body={"overlap": 3600}),
    ("DELETE", "/admin/keys/{id}"): Example(path={"id": KEY}),
    ("GET", "/admin/budgets"): Example(query={"limit": "10"}),
    ("GET", "/admin/usage"): Example(query={**_DAYS, "by": "consumer", "format": "csv"}),
    ("GET", "/admin/upstreams"): Example(),
    ("GET", "/admin/streams"): Example(),
    ("GET", "/admin/overview"): Example(query={"search": "alice", "sort": "rate", "limit": "10"}),
    ("GET", "/admin/queue"): Example(),
    ("POST", "/admin/streams/{stream}/stop"): Example(path={"stream": STREAM}),
    ("POST", "/admin/sockets/{socket}/stop"): Example(path={"socket": STREAM}),
    ("GET", "/admin/audit"): Example(query={"action": "key", "limit": "10"}),
    ("POST", "/admin/reload"): Example(),
}

_PROBLEM = {
    "type": "object",
    "required": ["error", "code", "retryable"],
    "properties": {
        "error": {"type": "string", "description": "What was wrong, and what would be right."},
        "code": {"type": "string", "description": "What programs may rely on."},
        "retryable": {"type": "boolean", "description": "Whether the same may succeed later."},
        "retry_after": {"type": "integer", "description": "In how many seconds."},
    },
}
_ERROR = {
    "description": "What went wrong (PROTOCOL.md, section 7).",
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": {
                "error": "'message' is missing or empty: it is the question to answer",
                "code": "bad_request",
                "retryable": False,
            },
        }
    },
}
_VENDOR_PROBLEM = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {
                    "type": "string",
                    "description": "What was wrong, and what would be right.",
                },
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The field that was wrong."},
                "code": {"type": "string", "description": "What programs may rely on."},
            },
        }
    },
}
_VENDOR_ERROR = {
    "description": "What went wrong, as OpenAI says it (PROTOCOL.md, section 13).",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIProblem"}}},
}
_SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key or a token."},
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "A one-use ticket (POST /tickets), for streams that are read.",
    },
}


def document(app: FastAPI, base_path: str) -> Callable[[], dict[str, Any]]:
    """The function that makes the document of ``app``, once."""
    plain = app.openapi
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(_complete(plain(), base_path))
        return made

    return openapi


def _complete(found: dict[str, Any], base_path: str) -> dict[str, Any]:
    found["servers"] = [{"url": base_path or "/"}]
    components = found.setdefault("components", {})
    # Ours stand in for those of the framework, which no request is answered with.
    components["schemas"] = {"Problem": _PROBLEM, "OpenAIProblem": _VENDOR_PROBLEM}
    components["securitySchemes"] = _SECURITY
    found["security"] = [{"key": []}, {"ticket": []}, {}]
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            vendors = path.startswith(OPENAI)
            operation["responses"]["default"] = _VENDOR_ERROR if vendors else _ERROR
            example = EXAMPLES.get((method.upper(), path))
            if example is not None:
                _show(operation, example)
    return found


def _show(operation: dict[str, Any], example: Example) -> None:
    parameters = operation.setdefault("parameters", [])
    for place, values in (("path", example.path), ("query", example.query)):
        for name, value in values.items():
            known = [p for p in parameters if (p["name"], p["in"]) == (name, place)]
            if not known:
                known = [{"name": name, "in": place, "schema": {"type": "string"}}]
                parameters += known
            whole = known[0]["schema"].get("type") in ("integer", "number")
            known[0]["example"] = int(value) if whole else value
    if not parameters:
        del operation["parameters"]
    kind, body = ("application/json", example.body) if example.text is None else example.text
    if body is not None:
        content = operation.setdefault("requestBody", {}).setdefault("content", {})
        content.setdefault(kind, {})["example"] = body
