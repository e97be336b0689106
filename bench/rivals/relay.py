"""*relay* by hand: a bare ASGI application that passes on an upstream's chunks with aiohttp.

It does the least that a gateway must do to know what passes through it: it takes the events apart,
decodes their JSON and encodes it again. It keeps nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import socket

import aiohttp
import msgspec
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Relay:
    """An ASGI application in front of ``upstream``, a base URL."""

    def __init__(self, upstream: str) -> None:
        self._url = f"{upstream}/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            )
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        question = msgspec.json.decode(body)
        with contextlib.suppress(OSError):
            async with self._session.post(self._url, json=question) as answer:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                rest = b""
                async for data in answer.content.iter_any():
                    *blocks, rest = (rest + data).split(b"\n\n")
                    out = b"".join([_again(block) for block in blocks])
                    await send({"type": "http.response.body", "body": out, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _again(block: bytes) -> bytes:
    data = block.removeprefix(b"data: ")
    if data == b"[DONE]":
        return block + b"\n\n"
    return b"data: %b\n\n" % msgspec.json.encode(msgspec.json.decode(data))


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=8192)
    sock.setblocking(False)
    config = uvicorn.Config(
        Relay(options.upstream),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    print(sock.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[sock])


def main() -> None:
    """Serve; the first line on stdout is the port."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals.relay", description=__doc__)
    parser.add_argument("--upstream", required=True)
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
