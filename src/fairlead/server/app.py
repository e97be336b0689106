"""The ASGI application: routes, errors in one shape, CORS, base path, the page."""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

import fairlead
from fairlead.engine.outside import Outside
from fairlead.errors import BadRequest, FairleadError, NotFound
from fairlead.server import (
    about,
    admin,
    budgets,
    calls,
    chat,
    dialogues,
    documents,
    login,
    openai_chat,
    openai_conversations,
    openai_files,
    openai_models,
    openai_requests,
    openai_responses,
    openai_responses_socket,
    realtime,
    relay,
    rpc,
    scrape,
    socket,
    streams,
    writing,
)
from fairlead.server.gate import Gate
from fairlead.server.http import error_response
from fairlead.server.openapi import document
from fairlead.server.page import page
from fairlead.server.requests import HEADER, Requests
from fairlead.server.straight import Straight, endpoints
from fairlead.server.system import System
from fairlead.transports import rate_limit
from fairlead.transports.body import Unwound

_log = structlog.get_logger("fairlead.server")


class BasePath:
    """Serves the application under a path prefix, for proxies that do not strip it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path: str = scope["path"]
            if path != self._prefix and not path.startswith(self._prefix + "/"):
                error = NotFound(f"everything here is under {self._prefix}/")
                if scope["type"] == "websocket":
                    await socket.refuse(WebSocket(scope, receive, send), error)
                    return
                response = error_response(error, Request(scope))
                await response(scope, receive, send)
                return
            scope["root_path"] = self._prefix
        await self._app(scope, receive, send)


def build_app(system: System) -> ASGIApp:
    """The application that serves ``system``."""
    app = FastAPI(
        title="Fairlead",
        version=fairlead.__version__,
        description="Durable answers: streams that outlive their connections.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.system = system
    app.state.outside = Outside(system.engine)
    app.state.calls = calls.Calls()
    system.metrics.watch(system.engine, lambda: system.offer.upstreams)
    routers = (
        admin.router,
        scrape.router,
        chat.router,
        socket.router,
        streams.router,
        writing.router,
        dialogues.router,
        openai_chat.router,
        openai_conversations.router,
        openai_files.router,
        openai_models.router,
        openai_responses.router,
        openai_responses_socket.router,
        realtime.router,
        calls.router,
        documents.router,
        about.router,
        budgets.router,
        login.router,
    )
    app.router.routes.append(streams.reading)
    for router in routers:
        app.include_router(router)
    app.router.routes.append(rpc.route(system))
    own = [route for router in routers for route in router.routes]
    system.applications.keep_off(getattr(route, "path", "") for route in own)
    app.router.routes.append(relay.Relayed(system.applications))
    app.mount("/", page(), name="page")
    app.openapi = document(app, system.config.base_path)  # type: ignore[method-assign]
    app.add_exception_handler(FairleadError, _our_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unforeseen)

    straight = endpoints(own, chat.post_chat, openai_chat.create, openai_responses.create)
    served: ASGIApp = Straight(app, straight, _unforeseen)
    served = Gate(served, system.entrance, system.callers)
    if system.config.base_path:
        served = BasePath(served, system.config.base_path)
    if system.config.cors_origins:
        # Outermost, so that errors carry the headers as well.
        served = CORSMiddleware(
            served,
            allow_origins=list(system.config.cors_origins),
            allow_credentials=True,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Last-Event-ID",
                "Idempotency-Key",
                "Cache-Control",
                *openai_requests.REQUEST_HEADERS,
                "Fairlead-Reader",
                HEADER,
                *rpc.REQUEST_HEADERS,
            ],
            expose_headers=[
                "Fairlead-Stream",
                "Fairlead-Conversation",
                "Fairlead-Protocol",
                "Location",
                "Retry-After",
                HEADER,
                *rate_limit.NAMES,
                *rpc.RESPONSE_HEADERS,
            ],
            max_age=600,
        )
    return Unwound(Requests(served, system.metrics, system.tracing))


async def _our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FairleadError)
    return error_response(error, request)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return error_response(NotFound(f"there is nothing at {request.url.path[:200]}"), request)
    response = error_response(BadRequest(f"{request.method} is not for this path"), request)
    response.status_code = error.status_code
    return response


async def _validation_error(request: Request, error: Exception) -> Response:
    return error_response(BadRequest(f"the request is not right: {error}"[:500]), request)


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("unforeseen_error", path=request.url.path, exc_info=error)
    return error_response(
        FairleadError("something went wrong here; the log of the server says what"), request
    )
