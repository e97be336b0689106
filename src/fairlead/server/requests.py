"""Requests from outside: each has an id, and its outcome is counted and, where it is worth it,
logged."""

from __future__ import annotations

import os
import re
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairlead.primitives import random_id
from fairlead.server.metrics import Metrics
from fairlead.server.tracing import Tracing

_log = structlog.get_logger("fairlead.server")

HEADER = "X-Request-Id"
_NAME = HEADER.lower().encode()
#: What an id may be that comes with a request; another one is made where it is not.
_ID = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")
#: The messages with which responses begin.
_BEGINNINGS = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


class Requests:
    """The application that sees every request first, and its response last.

    The id stands in every line of the log that the request causes, those of the answer that it asks
    for among them, and in the response.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        id = request_id(scope)
        bound = structlog.contextvars.bind_contextvars(request=id.decode())
        if self._tracing is not None:
            self._tracing.enter(scope["headers"])
        await self._app(scope, receive, _Response(self._metrics, scope, id, send))
        # What streams from here on may do so for hours, thousands at once.
        structlog.contextvars.reset_contextvars(**bound)


class _Response:
    """Takes the messages of one response. Once it has begun, it keeps nothing of the request."""

    __slots__ = ("_began", "_id", "_method", "_metrics", "_path", "_send")

    def __init__(self, metrics: Metrics, scope: Scope, id: bytes, send: Send) -> None:
        self._metrics = metrics
        self._id: bytes = id
        # Taken now: what streams clears the scope once the routes are done with it.
        self._method: str = scope.get("method", "WEBSOCKET")
        self._path: str = scope["path"]
        self._began = time.monotonic()
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] in _BEGINNINGS:
            message["headers"] = [*message.get("headers", ()), (_NAME, self._id)]
            self._answered(message.get("status", 101))
            self._id, self._path = b"", ""
        await self._send(message)

    def _answered(self, status: int) -> None:
        self._metrics.answered(self._method, status)
        # Without the query: questions and tickets stand there.
        log = _log.info if status >= 400 else _log.debug
        log(
            "request_answered",
            method=self._method[:20],
            path=self._path[:200],
            status=status,
            seconds=round(time.monotonic() - self._began, 4),
        )


def request_id(scope: Scope) -> bytes:
    """The id that the request brings, or a new one."""
    for name, value in scope["headers"]:
        if name == _NAME:
            if _ID.fullmatch(value):
                return bytes(value)
            break
    return random_id(os.urandom(16)).encode()
