"""A proxy that treats connections badly, to order: what networks do to streams, in a test's hands.

:class:`ToxicProxy` relays TCP connections to a port and does to each what its *behaviour* says, by
the byte and not by the clock. What passes is recorded, so that a test can wait for a byte to have
come by instead of for time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

import msgspec

#: Not at a line's start: it may follow a body that ends without one.
_HEAD = re.compile(rb"([A-Z]{3,7}) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")
_READ = 64 * 1024
#: Seconds that a test waits for what should come at once.
_PATIENCE = 90.0


# -- behaviours: what is done to one connection ----------------------------------------------------


class Pass(msgspec.Struct, frozen=True):
    """Relay everything as it comes."""


class Reset(msgspec.Struct, frozen=True):
    """Reset the connection (RST) as soon as it is made."""


class Cut(msgspec.Struct, frozen=True):
    """End the connection after ``after`` bytes of what the server says: with a reset, or properly
    (FIN) unless ``reset``."""

    after: int
    reset: bool = True


class CutCharacter(msgspec.Struct, frozen=True):
    """End the connection inside the first UTF-8 character of several bytes that follows ``after``
    bytes of what the server says: its first byte still passes."""

    after: int = 0
    reset: bool = True


class HalfClose(msgspec.Struct, frozen=True):
    """After ``after`` bytes of what the server says tell the client that no more will come (FIN),
    but go on listening to the client: some proxies do when their server goes away."""

    after: int


class Swallow(msgspec.Struct, frozen=True):
    """After ``after`` bytes of what the server says let nothing more through, and say nothing: a
    network that is gone while both ends believe in it."""

    after: int = 0


class Buffer(msgspec.Struct, frozen=True):
    """Keep what the server says until an HTTP response is complete, or the server ends its side, or
    ``size`` bytes (None: however many) have come together: proxies that buffer."""

    size: int | None = None


class Delay(msgspec.Struct, frozen=True):
    """Let each piece of what the server says through ``seconds`` after it came."""

    seconds: float


class Split(msgspec.Struct, frozen=True):
    """Send what the server says in pieces of ``size`` bytes, so that characters, lines and events
    arrive in parts."""

    size: int = 1


Behaviour = Pass | Reset | Cut | CutCharacter | HalfClose | Swallow | Buffer | Delay | Split


# -- what a behaviour means, byte by byte (pure) ---------------------------------------------------


class Outcome(NamedTuple):
    """What becomes of some bytes: what passes now, and how the connection then ends (empty: it goes
    on): ``reset``, ``end`` or ``half``."""

    data: bytes
    then: str = ""


class Flow(Protocol):
    """A behaviour at work on what the server says over one connection."""

    def feed(self, data: bytes) -> Outcome:
        """More came."""
        ...

    def end(self) -> bytes:
        """The server ended its side; what still passes."""
        ...


def flow(behaviour: Behaviour) -> Flow:
    """``behaviour`` at its beginning."""
    match behaviour:
        case Cut(after, reset):
            return _After(after, "reset" if reset else "end")
        case HalfClose(after):
            return _After(after, "half")
        case CutCharacter(after, reset):
            return _InCharacter(after, "reset" if reset else "end")
        case Swallow(after):
            return _After(after, "")
        case Buffer(size):
            return _Keeping(size)
        case _:
            return _Passing()


class _Passing:
    def feed(self, data: bytes) -> Outcome:
        return Outcome(data)

    def end(self) -> bytes:
        return b""


class _After(_Passing):
    """Passes so many bytes; then an end of some kind, or (empty) nothing for ever."""

    def __init__(self, left: int, then: str) -> None:
        self._left = left
        self._then = then

    def feed(self, data: bytes) -> Outcome:
        passed, self._left = data[: self._left], max(0, self._left - len(data))
        return Outcome(passed, "" if self._left else self._then)


class _InCharacter(_Passing):
    def __init__(self, after: int, then: str) -> None:
        self._left = after
        self._then = then

    def feed(self, data: bytes) -> Outcome:
        for n in range(self._left, len(data)):
            if data[n] >= 0xC0:  # the first byte of a character of several (RFC 3629, section 3)
                return Outcome(data[: n + 1], self._then)
        self._left = max(0, self._left - len(data))
        return Outcome(data)


class _Keeping:
    """``_begun`` is all of the responses that are not complete yet, ``_passed`` how much of it has
    been let through."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._begun = bytearray()
        self._passed = 0

    def feed(self, data: bytes) -> Outcome:
        self._begun += data
        whole = 0
        while length := _response(self._begun, whole):
            whole += length
        passed = bytes(self._begun[self._passed : whole])
        if whole:
            del self._begun[:whole]
            self._passed = 0
        if self._size is not None and len(self._begun) - self._passed >= self._size:
            passed += self.end()
        return Outcome(passed)

    def end(self) -> bytes:
        kept = bytes(self._begun[self._passed :])
        self._passed = len(self._begun)
        return kept


_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


def _response(data: bytearray, start: int) -> int:
    """The length of the complete HTTP/1.1 response at ``start``; 0 if there is none (yet)."""
    head = _STATUS.match(data, start)
    if head is None:
        return 0
    end = head.end()
    headers = _headers(head[2])
    if head[1] == b"204" or head[1] == b"304":
        return end - start
    if headers.get("transfer-encoding") == "chunked":
        # The last chunk. What is in the others is text without such line ends.
        last = data.find(b"0\r\n\r\n", end)
        return last + 5 - start if last >= 0 else 0
    if "content-length" in headers:
        end += int(headers["content-length"])
        return end - start if len(data) >= end else 0
    return 0


# -- the proxy -------------------------------------------------------------------------------------


class Request(NamedTuple):
    """The head of a request that came by. Names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]


class Link:
    """One connection through the proxy: ``behaviour`` is what is done to it, ``sent`` what the
    client has sent, ``received`` what the server has said (whether or not it passed), ``passed``
    how many bytes of it reached the client."""

    def __init__(
        self, behaviour: Behaviour, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self.behaviour = behaviour
        self.sent = bytearray()
        self.received = bytearray()
        self.passed = 0
        self.closed = False
        self._client = client
        self._server = server

    def cut(self) -> None:
        """Reset both sides (RST): what a train in a tunnel looks like."""
        for writer in (self._client, self._server):
            _reset(writer)


class ToxicProxy:
    """Relays connections from a free port on loopback to ``port`` at ``host``. An asynchronous
    context manager.

    ``behaviours`` are done to the connections in their order, the last one to all that follow;
    without any, everything passes. :meth:`behave` gives others from the next connection on.
    ``links`` are all connections so far, the oldest first. While ``swallow`` is set, nothing of
    what the server says reaches any client.

    ::

        async with ToxicProxy(server.port, Cut(500), CutCharacter(), Pass()) as proxy:
            ...                          # ask at proxy.url
            await proxy.wait_connections(3)
    """

    def __init__(self, port: int, *behaviours: Behaviour, host: str = "127.0.0.1") -> None:
        self.port = 0
        self.links: list[Link] = []
        self.swallow = False
        self._target = (host, port)
        self._behaviours: list[Behaviour] = list(behaviours) or [Pass()]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return len(self.links)

    @property
    def requests(self) -> list[Request]:
        """The head of every HTTP/1.1 request that came by."""
        return [
            Request(method.decode(), target.decode(), _headers(head))
            for link in self.links
            for method, target, head in _HEAD.findall(bytes(link.sent))
        ]

    def behave(self, *behaviours: Behaviour) -> None:
        """What is done to the connections from the next one on, instead of what was left."""
        if not behaviours:
            raise ValueError("give at least one behaviour; Pass() relays everything")
        self._behaviours = list(behaviours)

    def cut(self) -> None:
        """Reset every connection that is open."""
        for link in self.links:
            if not link.closed:
                link.cut()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until ``true()`` is, looking again whenever something came by."""
        async with asyncio.timeout(_PATIENCE), self._news:
            await self._news.wait_for(true)

    async def until_received(self, data: bytes, times: int = 1) -> None:
        """Wait until the server has said ``data`` so many times, over all connections."""
        await self.until(lambda: sum(link.received.count(data) for link in self.links) >= times)

    async def wait_connections(self, count: int) -> Link:
        """Wait until so many connections were made; the last of them."""
        await self.until(lambda: len(self.links) >= count)
        return self.links[count - 1]

    async def wait_closed(self, count: int) -> None:
        """Wait until so many connections have ended."""
        await self.until(lambda: sum(link.closed for link in self.links) >= count)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour = self._behaviours[0]
        if len(self._behaviours) > 1:
            self._behaviours.pop(0)
        task = asyncio.get_running_loop().create_task(self._relay(behaviour, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(
        self, behaviour: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            there, server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(behaviour, writer, server)
        self.links.append(link)
        try:
            await self._tell()
            if isinstance(behaviour, Reset):
                link.cut()
                return
            async with asyncio.TaskGroup() as group:
                up = group.create_task(self._up(link, reader, server))
                await self._down(link, there, writer)
                if not isinstance(behaviour, HalfClose):
                    up.cancel()
        except* OSError:
            pass  # cut, by the test or by one of the two
        finally:
            link.closed = True
            for end in (writer, server):
                end.close()
            await self._tell()

    async def _up(
        self, link: Link, reader: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        """From the client to the server."""
        while data := await reader.read(_READ):
            server.write(data)
            link.sent += data
            await self._tell()
            await server.drain()
        server.close()  # an HTTP client that ends its side has gone

    async def _down(
        self, link: Link, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        """From the server to the client, as the behaviour will have it."""
        working = flow(link.behaviour)
        while data := await reader.read(_READ):
            link.received += data
            passed, then = working.feed(data)
            await self._say(link, client, passed)
            await self._tell()
            if then:
                await self._end(link, client, then)
            if then in ("reset", "end"):
                return
        await self._say(link, client, working.end())

    async def _say(self, link: Link, client: asyncio.StreamWriter, data: bytes) -> None:
        if not data or self.swallow:
            return
        if isinstance(link.behaviour, Delay):
            await asyncio.sleep(link.behaviour.seconds)
        size = link.behaviour.size if isinstance(link.behaviour, Split) else len(data)
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            client.write(piece)
            link.passed += len(piece)
            await client.drain()

    async def _end(self, link: Link, client: asyncio.StreamWriter, then: str) -> None:
        if then == "half":
            client.write_eof()
        elif then == "reset":
            # What was let through is to arrive: a reset takes with it what is still on its way
            # inside this process.
            client.transport.set_write_buffer_limits(high=0)
            await client.drain()
            link.cut()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: Any = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n") if line)
    return {name.decode().lower(): value.strip().decode() for name, _, value in pairs}
