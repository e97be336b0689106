"""The life of the server process: listen, serve, drain, exit 0.

uvicorn by itself closes its listener at SIGTERM, tells the application nothing and exits 143. A
deploy that loses nothing needs the opposite order, so this server owns the signals:

1. *Draining*: new starts get 503, everything else is served, readers stay.
2. When the generations have ended, or the grace is over: what still runs is closed as interrupted,
   or left to another process that can go on with it; readers are told when to come back, their
   bodies are ended.
3. The listener closes and the process exits with 0.

A second signal ends the grace at once; a third ends the process without more ado.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn

from fairlead.errors import Misconfigured
from fairlead.policy.addresses import Networks
from fairlead.server import alarm
from fairlead.server.app import build_app
from fairlead.server.collector import calm_collector
from fairlead.server.composition import compose
from fairlead.server.config import Config
from fairlead.server.reload import Reload, watching
from fairlead.server.rpc import check_available, grpc_listener
from fairlead.server.sources import Sources
from fairlead.server.system import System
from fairlead.server.telemetry import configure_logs
from fairlead.transports import zstd
from fairlead.transports.direct import BoundedProtocol, DirectProtocol
from fairlead.transports.direct_websocket import BoundedSocketProtocol, DirectSocketProtocol
from fairlead.transports.intake import Intake

if sys.platform != "win32":
    import uvloop

_log = structlog.get_logger("fairlead.server")

#: Seconds that readers have to take their last events before they are cut.
_LAST_WORDS = 5.0
#: Seconds that an idle connection is kept. Longer than proxies keep theirs (nginx and many others
#: 60): else the server closes one just as a request comes over it, which the proxy answers 502.
_KEEP_ALIVE = 75


class Server(uvicorn.Server):
    """uvicorn's server, with the three phases in place of its own shutdown."""

    def __init__(self, config: uvicorn.Config, system: System) -> None:
        super().__init__(config)
        self._system = system
        self._signals = 0
        self._hurry = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn once it owns the signals."""
        await super().startup(sockets)
        for sock in sockets or ():
            host, port = sock.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            path = self._system.config.base_path
            _log.info("listening", url=f"http://{shown}:{port}{path}/")
        calm_collector()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by a signal: only counts, the loop's next tick acts."""
        self._signals += 1
        if self._signals > 2:
            self.force_exit = self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if self._signals and self._drain is None:
            self._drain = asyncio.create_task(self._phases(), name="drain")
        if self._signals > 1:
            self._hurry.set()
        return await super().on_tick(counter)

    async def _phases(self) -> None:
        engine, connections = self._system.engine, self._system.connections
        grace = self._system.config.drain_grace
        engine.draining = True
        _log.info("draining", generations=engine.running, readers=len(connections), grace=grace)
        idle = asyncio.create_task(engine.wait_idle())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([idle, hurry], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for task in (idle, hurry):
            task.cancel()
        await engine.interrupt_all()
        await connections.drain(_LAST_WORDS)
        _log.info("drained")
        self.should_exit = True


async def serve(
    config: Config,
    sources: Sources,
    sock: socket.socket,
    grpc_sock: socket.socket | None = None,
) -> None:
    """Serve on a bound socket, and gRPC on another, until a signal has drained the server."""
    if config.compression == "on" and not zstd.AVAILABLE:
        _log.info("zstd_absent", notice=f"streams are compressed by gzip alone; {zstd.INSTALL}")
    async with contextlib.AsyncExitStack() as stack:
        system = await stack.enter_async_context(compose(config))
        intake = _intake(config)
        if grpc_sock is not None:
            await stack.enter_async_context(grpc_listener(system, grpc_sock, intake))
        reload = system.reload = Reload(system, sources.load)
        await stack.enter_async_context(watching(reload, sources.watched))
        _on_hangup(reload)
        http, ws = _protocols(config, intake)
        server = Server(
            uvicorn.Config(
                build_app(system),
                http=http,
                ws=ws,
                ws_max_size=config.max_message_bytes,
                ws_ping_interval=config.heartbeat,
                ws_ping_timeout=config.heartbeat,
                ws_per_message_deflate=config.websocket_deflate,
                # Whom to believe is the gate's to know; uvicorn would believe all of this machine.
                proxy_headers=False,
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                backlog=4096,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=10,
            ),
            system,
        )
        await server.serve(sockets=[sock])


def _on_hangup(reload: Reload) -> None:
    """Apply the configuration anew on SIGHUP, as is usual."""
    running: set[asyncio.Task[None]] = set()

    def hangup() -> None:
        task = asyncio.create_task(reload.try_it("SIGHUP"))
        running.add(task)
        task.add_done_callback(running.discard)

    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup)


def _intake(config: Config) -> Intake:
    return Intake(
        most=config.max_connections,
        most_each=config.max_connections_each,
        most_idle_each=config.max_idle_each,
        head_timeout=config.head_timeout,
        trusted=Networks(config.trusted_proxies),
        introduced=config.proxy_header == "proxy-protocol",
    )


def _protocols(
    config: Config, intake: Intake
) -> tuple[type[BoundedProtocol], type[BoundedSocketProtocol]]:
    """uvicorn's protocol classes for this server, which share its intake: uvicorn makes them with
    arguments of its own only."""
    http = DirectProtocol if config.direct else BoundedProtocol
    ws = DirectSocketProtocol if config.direct else BoundedSocketProtocol
    return (
        type(http.__name__, (http,), {"intake": intake}),
        type(ws.__name__, (ws,), {"intake": intake}),
    )


def bind(host: str, port: int, setting: str = "port") -> socket.socket:
    """A listening socket for a configured address, before anything else is touched."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise Misconfigured(
            f"cannot listen on {host}:{port}: {error.strerror}. "
            f"Choose another address with --host or --{setting}."
        ) from None
    sock.setblocking(False)
    return sock


def run(config: Config, sources: Sources) -> int:
    """Serve until told to stop; the process's exit status. ``sources``: to be read anew on SIGHUP,
    and when the file has changed."""
    configure_logs(config.log_format, config.log_level)
    alarm.install()
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(contextlib.closing(bind(config.host, config.port)))
        grpc_sock = None
        if config.grpc_port:
            check_available()
            grpc_sock = stack.enter_context(
                contextlib.closing(bind(config.host, config.grpc_port, "grpc-port"))
            )
        factory = None if sys.platform == "win32" else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve(config, sources, sock, grpc_sock))
    return 0
