"""A server that answers exactly the bytes it is told, and keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

STREAM = "0123456789abcdefghjkmnpqrs"


class Asked(NamedTuple):
    """One request: its line, headers (names in lower case) and body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """What goes back: raw bytes, in pieces; then the connection ends, is reset, or hangs."""

    pieces: Sequence[bytes]
    then: str = "end"


class Wire:
    """Serves one reply per connection, in order; whoever asks once too often gets a 502."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._replies = list(replies)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Wire, None]:
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ")
            pairs = (line.split(": ", 1) for line in lines[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append(Asked(method, path, headers, body))
            reply = self._replies.pop(0) if self._replies else Reply([head("502 Bad Gateway")])
            for piece in reply.pieces:
                writer.write(piece)
                await writer.drain()
            if reply.then == "hang":
                await reader.read()  # until the client leaves
            elif reply.then == "reset":
                writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left: that is what some tests are about
        finally:
            writer.close()


def head(status: str = "200 OK", content_type: str = "text/event-stream", **more: str) -> bytes:
    """A response's head; the body lasts until the connection ends."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunked_head(**more: str) -> bytes:
    """As :func:`head`, of a body in chunks: an end without the last chunk is a break."""
    return head(transfer_encoding="chunked", **more)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def block(n: int, name: str, data: dict[str, Any], retry: int | None = None) -> bytes:
    """An event's block, with the position ``n``."""
    first = f"retry: {retry}\n".encode() if retry is not None else b""
    return b"%bid: %b.%d\nevent: %b\ndata: %b\n\n" % (
        first,
        STREAM.encode(),
        n,
        name.encode(),
        msgspec.json.encode(data),
    )


def token(n: int, text: str) -> bytes:
    return block(n, "token", {"token": text})


def thinking(n: int = 1, retry: int | None = 0) -> bytes:
    data = {"status": "writing", "message": "…", "stream": STREAM, "conversation_id": "c1"}
    return block(n, "thinking", data, retry)


def done(n: int) -> bytes:
    return block(n, "done", {"status": "completed"})


def problem(status: str, code: str, retryable: bool, **more: str) -> Reply:
    body = msgspec.json.encode({"error": f"it is {code}", "code": code, "retryable": retryable})
    return Reply([head(status, "application/json", **more) + body])
