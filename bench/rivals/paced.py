"""*paced* by others: ``uvicorn`` (raw ASGI, a task per connection) and ``sse-starlette``; and
``whole``, an answer that is sent when it is complete.

They keep no journal: what they send is gone when it is sent.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.ticker import Ticker, token_text

try:
    from sse_starlette import EventSourceResponse
except ImportError:
    EventSourceResponse = None  # type: ignore[assignment,misc]

#: As long as Fairlead's: 26 characters of a stream's id, and the beginning of a position.
STREAM = "0123456789abcdefghijklmnop"
POSITION = "11k3f9az-"
_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


def event_id(number: int) -> str:
    """An event's id."""
    return f"{STREAM}.{POSITION}{number:05d}"


def raw(ticker: Ticker) -> ASGIApp:
    """The shortest application there can be: ``send`` for each event."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send(_body(b'event: thinking\ndata: {"status":"writing"}\n\n'))
        voice = ticker.join()
        number = 0
        with contextlib.suppress(OSError):
            while True:
                stamp = voice.stamp()
                if stamp is None:
                    await voice.wait()
                    continue
                number += 1
                text = token_text(stamp, number)
                block = f'id: {event_id(number)}\nevent: token\ndata: {{"token":"{text}"}}\n\n'
                await send(_body(block.encode()))

    return app


def _body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


def starlette(ticker: Ticker) -> ASGIApp:
    """Starlette with sse-starlette's response."""

    async def events() -> AsyncIterator[dict[str, str]]:
        yield {"event": "thinking", "data": '{"status":"writing"}'}
        voice = ticker.join()
        number = 0
        while True:
            stamp = voice.stamp()
            if stamp is None:
                await voice.wait()
                continue
            number += 1
            data = f'{{"token":"{token_text(stamp, number)}"}}'
            yield {"id": event_id(number), "event": "token", "data": data}

    async def answer(request: Request) -> Response:
        return EventSourceResponse(events(), ping=3600)

    return Starlette(routes=[Route("/chat/stream", answer, methods=["POST"])])


def whole(ticker: Ticker, tokens: int) -> ASGIApp:
    """Says nothing until all is said."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        voice = ticker.join()
        text = ""
        for number in range(1, tokens + 1):
            while (stamp := voice.stamp()) is None:
                await voice.wait()
            text += token_text(stamp, number)
        body = f'{{"status":"completed","text":"{text}"}}'.encode()
        length = (b"content-length", str(len(body)).encode())
        start = {"type": "http.response.start", "status": 200, "headers": [*headers, length]}
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    ticker = Ticker(options.streams, options.rate)
    match options.kind:
        case "uvicorn":
            app = raw(ticker)
        case "whole":
            app = whole(ticker, options.tokens)
        case _:
            app = starlette(ticker)
    sock = socket.create_server(("127.0.0.1", 0), backlog=8192)
    sock.setblocking(False)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        backlog=8192,
        timeout_graceful_shutdown=1,
    )
    print(sock.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[sock])


def main() -> None:
    """Serve; the first line on stdout is the port."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals.paced", description=__doc__)
    parser.add_argument("kind", choices=["uvicorn", "sse-starlette", "whole"])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--tokens", type=int, default=100, help="of a whole answer")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
