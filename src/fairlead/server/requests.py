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
        structlog.contextvars.bind_contextvars(request=id.decode())
        if self._tracing is not None:
            self._tracing.enter(scope["headers"])
        # Taken now: what streams clears the scope once the routes are done with it.
        method = scope.get("method", "WEBSOCKET")
        path: str = scope["path"]
        began = time.monotonic()

        async def told(message: Message) -> None:
            if message["type"] in (
                "http.response.start",
                "websocket.accept",
                "websocket.http.response.start",
            ):
                message["headers"] = [*message.get("headers", ()), (_NAME, id)]
                self._answered(method, path, message.get("status", 101), began)
            await send(message)

        await self._app(scope, receive, told)
        # What streams from here on may do so for hours, thousands at once.
        structlog.contextvars.unbind_contextvars("request")

    def _answered(self, method: str, path: str, status: int, began: float) -> None:
        self._metrics.answered(method, status)
        # Without the query: questions and tickets stand there.
        log = _log.info if status >= 400 else _log.debug
        log(
            "request_answered",
            method=method[:20],
            path=path[:200],
            status=status,
            seconds=round(time.monotonic() - began, 4),
        )


def request_id(scope: Scope) -> bytes:
    """The id that the request brings, or a new one."""
    for name, value in scope["headers"]:
        if name == _NAME:
            if _ID.fullmatch(value):
                return bytes(value)
            break
    return random_id(os.urandom(16)).encode()
