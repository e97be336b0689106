"""One connection after the other: how long each takes to open, and to go on after a cut."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from typing import cast

from bench import transports
from bench.load.figures import percentile
from bench.load.plan import Probe, ProbeResult, Request
from bench.load.reader import BadAnswer
from bench.load.wires import Wire, wire_of
from bench.ticker import MARK, STAMP_DIGITS

#: Tokens that a reader is shown before it is cut, and in the last round: enough to compress.
_TOKENS, _LAST = 3, 200
_PATIENCE = 30.0
#: Of compression.
_LEVEL = 6


class Connection(asyncio.Protocol):
    """Keeps everything that came, and in what pieces."""

    def __init__(self, wire: Wire) -> None:
        self.seen = bytearray()
        self.pieces: list[bytes] = []
        self.sent = 0
        self._wire = wire
        self._marks = (b"", 0)
        self._found: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # The next poll is to be sent at once, also behind another on the same connection.
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send(self._wire.begin())

    def data_received(self, data: bytes) -> None:
        self.seen += data
        self.pieces.append(data)
        if self._wire.listening and (answer := self._wire.answer(data)):
            self._send(answer)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._found is not None and not self._found.done():
            self._found.set_exception(BadAnswer(f"closed unasked after {bytes(self.seen[:300])!r}"))

    async def until(self, mark: bytes, times: int = 1) -> None:
        """Wait until something has come so many times."""
        self._marks = (mark, times)
        self._found = asyncio.get_running_loop().create_future()
        self._look()
        async with asyncio.timeout(_PATIENCE):
            await self._found

    def _look(self) -> None:
        mark, times = self._marks
        if self._found is not None and not self._found.done() and self.seen.count(mark) >= times:
            self._found.set_result(None)

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        self.sent += len(data)
        self._transport.write(data)

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        assert self._transport is not None
        connected = self._transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


async def probe(plan: Probe) -> ProbeResult:
    """Carry out the plan."""
    opened: list[float] = []
    resumed: list[float] = []
    wrong = 0
    for number in range(plan.rounds):
        question = transports.ask(plan.transport, plan.port, window=1, headers=plan.headers)
        began = time.perf_counter()
        wire, first = await _open(question)
        await first.until(transports.FIRST_EVENT.encode())
        opened.append(time.perf_counter() - began)
        turns, request_head, response_head = wire.turns, first.sent, _heads(bytes(first.seen))
        await first.until(MARK, _LAST if number == plan.rounds - 1 else _TOKENS)
        where = transports.place(plan.transport, bytes(first.seen))
        if where is None:
            raise BadAnswer(f"no position in {bytes(first.seen[:300])!r}")
        again = transports.resume(plan.transport, plan.port, *where, plan.headers)
        cut = time.perf_counter()
        first.reset()
        _, second = await _open(again)
        await second.until(MARK)
        resumed.append(time.perf_counter() - cut)
        wrong += not _follows(second)
        second.reset()
    plain, gzipped = _sizes(first, compressed_anew=question.wire == "poll")
    return ProbeResult(
        opened=(percentile(opened, 0.5) * 1000, percentile(opened, 0.99) * 1000),
        resumed=(percentile(resumed, 0.5) * 1000, percentile(resumed, 0.99) * 1000),
        # One more: TCP's own handshake.
        turns=1 + turns,
        request_head=request_head - len(question.body),
        response_head=response_head,
        plain=plain,
        gzipped=gzipped,
        wrong=wrong,
    )


async def _open(request: Request) -> tuple[Wire, Connection]:
    wire = wire_of(request)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(wire), "127.0.0.1", request.port
    )
    return wire, connection


def _heads(seen: bytes) -> int:
    """Bytes of the headers of all responses in what came."""
    heads = [b"HTTP/1.1 " + one.partition(b"\r\n\r\n")[0] for one in seen.split(b"HTTP/1.1 ")[1:]]
    return sum(len(head) + 4 for head in heads)


def _follows(connection: Connection) -> bool:
    """Whether the first token that came is the first after the position: number 1."""
    at = connection.seen.index(MARK) + len(MARK) + STAMP_DIGITS + 1
    number = connection.seen[at : at + 8]
    return b"00000001".startswith(number)


def _sizes(connection: Connection, *, compressed_anew: bool) -> tuple[float, float]:
    """Bytes per event as they came, and as gzip would have made them: one compressor for the
    connection, with a flush after each piece, or, for answers that end, one for each."""
    pieces = connection.pieces[1:]
    if compressed_anew:
        pieces = [b"HTTP/1.1 " + one for one in b"".join(pieces).split(b"HTTP/1.1 ") if one]
    tokens = sum(piece.count(MARK) for piece in pieces)
    compressor = zlib.compressobj(_LEVEL, wbits=31)
    size = 0
    for piece in pieces:
        if compressed_anew:
            head, end, body = piece.partition(b"\r\n\r\n")
            size += len(head + end) + min(len(body), len(zlib.compress(body, _LEVEL, wbits=31)))
        else:
            size += len(compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH))
    return sum(map(len, pieces)) / tokens, size / tokens
