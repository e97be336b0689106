"""A server that says back what it hears, on the server's own WebSocket protocol:
``python -m tests.autobahn.echo PORT``."""

from __future__ import annotations

import sys

import uvicorn
from starlette.types import Receive, Scope, Send

from fairlead.transports.direct_websocket import DirectSocketProtocol


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


if __name__ == "__main__":
    uvicorn.run(
        echo,
        port=int(sys.argv[1]),
        ws=DirectSocketProtocol,
        ws_max_size=1 << 20,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
    )
