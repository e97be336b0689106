"""A Fairlead inside a process of ours: the application, protocol and lifecycle of the real one."""

from __future__ import annotations

import socket

import uvicorn

from fairlead.server.app import build_app
from fairlead.server.lifecycle import Server
from fairlead.server.system import System
from fairlead.transports.direct import DirectProtocol
from fairlead.transports.direct_websocket import DirectSocketProtocol


def listen() -> socket.socket:
    """A listening socket on any free port."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=8192)
    sock.setblocking(False)
    return sock


def server(system: System) -> Server:
    """The server of a system, to be run with ``serve(sockets=[…])`` until SIGTERM."""
    config = uvicorn.Config(
        build_app(system),
        http=DirectProtocol,
        ws=DirectSocketProtocol,
        ws_max_size=system.config.max_body_bytes,
        ws_per_message_deflate=system.config.websocket_deflate,
        # As the other transports' heartbeats, a ping would come later than any measurement ends.
        ws_ping_interval=None,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=8192,
    )
    return Server(config, system)
