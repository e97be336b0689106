"""A line between a client and a server that can be cut: a TCP relay under the test's control.

What passes is recorded, so that a test can wait for a byte to have come by instead of for time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable

#: Not at a line's start: it may follow a body that ends without one.
_HEAD = re.compile(rb"(GET|POST|OPTIONS|PATCH|DELETE) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")


class Link:
    """One connection through the line: ``sent`` by the client, ``received`` from the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.sent = bytearray()
        self.received = bytearray()
        self._client = client
        self._server = server

    def cut(self) -> None:
        """Reset both sides (RST): what a train in a tunnel looks like."""
        for writer in (self._client, self._server):
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Line:
    """Relays connections from a free port to ``port`` on loopback. An async context manager.

    ``links`` are all connections so far, the oldest first. While ``swallow`` is set nothing of what
    the server says reaches the client.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.links: list[Link] = []
        self.swallow = False
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[tuple[str, str, dict[str, str]]]:
        """Every request head that came by: method, target, headers (names in lower case)."""
        return [
            (method.decode(), target.decode(), _headers(head))
            for link in self.links
            for method, target, head in _HEAD.findall(bytes(link.sent))
        ]

    def cut(self) -> None:
        """Reset every connection that is open."""
        for link in self.links:
            link.cut()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until ``true()`` is, looking again whenever something came by."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(true)

    async def until_received(self, data: bytes, times: int = 1) -> None:
        """Wait until the server has sent ``data`` so many times, over all connections."""
        await self.until(lambda: sum(link.received.count(data) for link in self.links) >= times)

    async def __aenter__(self) -> Line:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        link = Link(writer, server)
        self.links.append(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, server, link.sent, from_server=False))
                group.create_task(self._pass(there, writer, link.received, from_server=True))
        except* OSError:
            pass  # cut, by the test or by one of the two
        finally:
            for end in (writer, server):
                end.close()
            self._tasks.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        record: bytearray,
        *,
        from_server: bool,
    ) -> None:
        while data := await reader.read(1 << 16):
            if not (from_server and self.swallow):
                writer.write(data)
            record += data
            async with self._news:
                self._news.notify_all()
            await writer.drain()
        writer.close()


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n") if line)
    return {name.decode().lower(): value.strip().decode() for name, _, value in pairs}
