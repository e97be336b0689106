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
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts
from fairlead.server import socket
from fairlead.server.entrance import Entrance, Judge, Policy, refused
from fairlead.server.http import error_response
from fairlead.server.turnstile import Turnstile
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
        self._turnstile = Turnstile()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            if (waiting := self._turnstile.enter()) is not None:
                await waiting
            policy = self._entrance.policy
            if policy.trusted and policy.header != "proxy-protocol":
                _see_through(scope, policy)
            judged = policy.rules or policy.judges
            if judged and (error := await self._refused(scope, policy)):
                if scope["type"] == "websocket":
                    await socket.refuse(WebSocket(scope, receive, send), error)
                else:
                    await error_response(error, Request(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refused(self, scope: Scope, policy: Policy) -> FairleadError | None:
        found = facts(scope, self._callers.keep)
        caller = None
        # Whether the process lives is nothing that a plugin's failure may answer.
        judges = () if found.path.startswith("/health/") else policy.judges
        if policy.rules.knows_callers or judges:
            try:
                caller = await self._callers.of(scope)
            except FairleadError:
                pass  # the route tells why, if it asks who it is; to the rules it is nobody
            else:
                # A one-use ticket is used up: the route must not ask again.
                scope[KNOWN] = caller
        consumer = "" if caller is None else caller.consumer
        refusal = policy.rules.refusal(found, consumer, self._clock())
        error = None if refusal is None else refused(refusal)
        for judge in judges:
            if error is None:
                error = await _judged(judge, found, caller)
        if error is not None:
            rule = error.details.get("rule", error.details.get("plugin"))
            _log.info("request_refused", rule=rule, address=found.address, path=found.path[:200])
        return error


async def _judged(judge: Judge, found: Facts, caller: Caller | None) -> FairleadError | None:
    try:
        return await judge(found, caller)
    except FairleadError as error:
        # Who cannot be judged does not come in.
        return error


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
