"""The gate: every request passes it before any route: who is there, and may they come in?"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from fairlead.errors import FairleadError
from fairlead.policy.addresses import address, behind, forwarded, forwarded_for
from fairlead.policy.rules import Rules
from fairlead.server import socket
from fairlead.server.entrance import Entrance, Policy, refused
from fairlead.server.http import error_response
from fairlead.transports.callers import KNOWN, Callers, facts

_log = structlog.get_logger("fairlead.server")


class Gate:
    """Stands before the application."""

    def __init__(
        self,
        app: ASGIApp,
        entrance: Entrance,
        callers: Callers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._entrance = entrance
        self._callers = callers
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            policy = self._entrance.policy
            if policy.trusted and policy.header != "proxy-protocol":
                _see_through(scope, policy)
            if policy.rules and (error := await self._refused(scope, policy.rules)):
                if scope["type"] == "websocket":
                    await socket.refuse(WebSocket(scope, receive, send), error)
                else:
                    await error_response(error, Request(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refused(self, scope: Scope, rules: Rules) -> FairleadError | None:
        found = facts(scope, self._callers.keep)
        consumer = ""
        if rules.knows_callers:
            try:
                caller = await self._callers.of(scope)
            except FairleadError:
                pass  # the route tells why, if it asks who it is; to the rules it is nobody
            else:
                # A one-use ticket is used up: the route must not ask again.
                scope[KNOWN] = caller
                consumer = caller.consumer
        refusal = rules.refusal(found, consumer, self._clock())
        if refusal is None:
            return None
        _log.info(
            "request_refused", rule=refusal.rule, address=found.address, path=found.path[:200]
        )
        return refused(refusal)


def _see_through(scope: Scope, policy: Policy) -> None:
    """Put the client's address in the place of the proxy's."""
    client = scope.get("client")
    if client is None or address(client[0]) not in policy.trusted:
        return
    name = policy.header.encode()
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    if not values:
        return
    hops = forwarded(values) if policy.header == "forwarded" else forwarded_for(values)
    found = behind(client[0], hops, policy.trusted)
    if found != client[0]:
        scope["client"] = (found, 0)
    scheme = next((v for k, v in scope["headers"] if k == b"x-forwarded-proto"), b"")
    if scheme in (b"http", b"https"):
        secure = scheme == b"https"
        plain = "ws" if scope["type"] == "websocket" else "http"
        scope["scheme"] = plain + "s" * secure
