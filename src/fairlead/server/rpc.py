"""Connect and gRPC-Web on the main port, gRPC on a port of its own, where the extra ``rpc`` is
installed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from importlib.util import find_spec

import structlog
import uvicorn
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fairlead.errors import Misconfigured, NotFound
from fairlead.server import http
from fairlead.server.gate import Gate
from fairlead.server.requests import Requests
from fairlead.server.system import System
from fairlead.transports.coding import coding_send
from fairlead.transports.intake import Intake

if find_spec("connectrpc") is not None and find_spec("zttp") is not None:
    from fairlead.transports.h2 import WindowProtocol
    from fairlead.transports.rpc import RpcApplication

    AVAILABLE = True
else:
    AVAILABLE = False

_log = structlog.get_logger("fairlead.server")

_INSTALL = "pip install 'fairlead[rpc]'"

#: What web pages need of Connect and gRPC-Web (CORS).
REQUEST_HEADERS = (
    "Connect-Protocol-Version",
    "Connect-Timeout-Ms",
    "Grpc-Timeout",
    "X-Grpc-Web",
    "X-User-Agent",
)
RESPONSE_HEADERS = ("Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin")


def route(system: System) -> Route:
    """The service on the main port."""
    return Route("/fairlead.v1.Answers/{method}", MainPort(system))


class MainPort:
    """The service for callers among which are browsers."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._app = _application(system) if AVAILABLE else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            raise NotFound(f"this server lacks what Connect needs; install it with: {_INSTALL}")
        http.same_site(Request(scope))
        if self._system.config.compression == "on":
            send = coding_send(scope, send)
        await self._app(scope, receive, send)


@contextlib.asynccontextmanager
async def grpc_listener(
    system: System, sock: socket.socket, intake: Intake
) -> AsyncGenerator[None, None]:
    """Serve gRPC (HTTP/2, cleartext) on a bound socket as well, whose connections count with all
    others. It drains with the main server, and ends after it."""
    listener = Listener(
        uvicorn.Config(
            Requests(
                Gate(_application(system), system.entrance, system.callers),
                system.metrics,
                system.tracing,
            ),
            http=type(WindowProtocol.__name__, (WindowProtocol,), {"intake": intake}),
            ws="none",
            proxy_headers=False,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    host, port = sock.getsockname()[:2]
    serving = asyncio.create_task(listener.serve(sockets=[sock]), name="grpc")
    await listener.listening.wait()
    _log.info("listening_grpc", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    try:
        yield
    finally:
        listener.should_exit = True
        await serving


class Listener(uvicorn.Server):
    """A server beside the one that owns the signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def check_available() -> None:
    """Raise :class:`~fairlead.errors.Misconfigured` if gRPC cannot be served."""
    if not AVAILABLE:
        raise Misconfigured(
            f"grpc_port: gRPC needs more packages; install them with: {_INSTALL}",
            setting="grpc_port",
        )


def _application(system: System) -> RpcApplication:
    return RpcApplication(
        system.engine,
        system.callers,
        system.connections,
        system.config.max_body_bytes,
        system.config.max_ask_bytes,
    )
