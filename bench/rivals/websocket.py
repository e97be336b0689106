"""*paced* over WebSocket by others: ``uvicorn`` (raw ASGI, its default implementation) and
``picows``, a WebSocket server in Cython. A task per connection; the messages are Fairlead's.

They keep no journal: what they send is gone when it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
from collections.abc import Callable

import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.rivals.paced import POSITION, STREAM
from bench.ticker import Ticker, Voice, token_text

try:
    import picows
except ImportError:
    picows = None  # type: ignore[assignment]

FIRST = '{"type":"thinking","data":{"status":"writing"}}'


def message(text: str, number: int) -> str:
    """The message of a token."""
    return (
        f'{{"type":"token","stream":"{STREAM}","position":"{POSITION}{number:05d}",'
        f'"data":{{"token":"{text}"}}}}'
    )


def raw(ticker: Ticker) -> ASGIApp:
    """The shortest application there can be: ``send`` for each event."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": FIRST})
        voice = ticker.join()
        number = 0
        with contextlib.suppress(OSError):
            while True:
                stamp = voice.stamp()
                if stamp is None:
                    await voice.wait()
                    continue
                number += 1
                text = message(token_text(stamp, number), number)
                await send({"type": "websocket.send", "text": text})

    return app


async def serve_uvicorn(ticker: Ticker) -> None:
    """Serve until SIGTERM."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=8192)
    sock.setblocking(False)
    config = uvicorn.Config(
        raw(ticker),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        access_log=False,
        log_config=None,
        backlog=8192,
        timeout_graceful_shutdown=1,
    )
    print(sock.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[sock])


async def serve_picows(ticker: Ticker) -> None:
    """Serve until SIGTERM."""
    speaking: set[asyncio.Task[None]] = set()

    async def speak(voice: Voice, send: Callable[[int, bytes], None]) -> None:
        number = 0
        while True:
            stamp = voice.stamp()
            if stamp is None:
                await voice.wait()
                continue
            number += 1
            send(picows.WSMsgType.TEXT, message(token_text(stamp, number), number).encode())

    class Listener(picows.WSListener):  # type: ignore[misc]
        task: asyncio.Task[None] | None = None

        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            transport.send(picows.WSMsgType.TEXT, FIRST.encode())
            self.task = asyncio.create_task(speak(ticker.join(), transport.send))
            speaking.add(self.task)

        def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
            if self.task is not None:
                self.task.cancel()
                speaking.discard(self.task)

    server = await picows.ws_create_server(
        lambda _: Listener(), "127.0.0.1", 0, backlog=8192, websocket_handshake_timeout=60
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve; the first line on stdout is the port."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals.websocket", description=__doc__)
    parser.add_argument("kind", choices=["uvicorn", "picows"])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0)
    options = parser.parse_args()

    async def serve() -> None:
        ticker = Ticker(options.streams, options.rate)
        await (serve_uvicorn if options.kind == "uvicorn" else serve_picows)(ticker)

    uvloop.run(serve())


if __name__ == "__main__":
    main()
