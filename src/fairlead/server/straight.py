"""The short way to the routes that are asked for most: past the framework, whose layers and search
for the route cost more than what such a route does itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from fairlead.errors import FairleadError
from fairlead.server.http import error_response

Endpoint = Callable[[Request], Awaitable[Response]]
#: Says what there is to say of an error that nobody foresaw.
Unforeseen = Callable[[Request, Exception], Awaitable[Response]]


class Straight:
    """Leads requests for ``endpoints``, by method and path, straight there; all others, and those
    of other protocols, to ``app``, which has the same routes.

    The endpoints take nothing but the request, and raise :class:`~fairlead.errors.FairleadError`.
    """

    def __init__(
        self,
        app: Starlette,
        endpoints: Mapping[tuple[str, str], Endpoint],
        unforeseen: Unforeseen,
    ) -> None:
        self._app: ASGIApp = app
        self._owner = app
        self._endpoints = endpoints
        self._unforeseen = unforeseen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._find(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._owner
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
        except FairleadError as error:
            response = error_response(error, request)
        except Exception as error:
            await (await self._unforeseen(request, error))(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> Endpoint | None:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root:
            path = path.removeprefix(root)
        return self._endpoints.get((scope["method"], path))


def endpoints(routes: Iterable[BaseRoute], *functions: Endpoint) -> dict[tuple[str, str], Endpoint]:
    """Those of ``functions``, as the routes have them. They must take the request alone."""
    found: dict[tuple[str, str], Endpoint] = {}
    for route in routes:
        if isinstance(route, APIRoute) and route.endpoint in functions:
            found |= {(method, route.path): route.endpoint for method in route.methods or ()}
    return found
