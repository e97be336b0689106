"""Readers: one connection each, counting as cheaply as Python can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

from bench.load.coded import Decoded
from bench.load.plan import Request
from bench.load.wires import Wire, wire_of
from bench.ticker import MARK, STAMP_DIGITS

#: Seconds within which a reader must have it.
_PATIENCE = 30.0


class BadAnswer(Exception):
    """The server answered otherwise than a workload can go on with."""


class Tally:
    """What all readers of a run have counted."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark
        self.tokens = 0
        self.bytes = 0
        self.sent = 0
        self.lost = 0
        self.latencies: list[int] = []


class Reader(asyncio.Protocol):
    """Sends a request and counts the tokens of the answer. ``ready`` is done when ``begin`` has
    come: by itself the first token."""

    def __init__(self, request: Request, tally: Tally, begin: bytes = b"") -> None:
        self.ready: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._wire: Wire = wire_of(request)
        self._tally = tally
        self._mark = tally.mark
        self._begin = begin or tally.mark
        self._keep = len(tally.mark) - 1
        self._rest = b""
        self._head = bytearray()
        coding = request.headers.get("Accept-Encoding", "identity")
        self._decoded = None if coding == "identity" else Decoded(coding)
        self._transport: asyncio.Transport | None = None
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send(self._wire.begin())

    def data_received(self, data: bytes) -> None:
        self._tally.bytes += len(data)
        if self._wire.listening and (answer := self._wire.answer(data)):
            self._send(answer)
        self._shown(data if self._decoded is None else self._decoded.feed(data))

    def _shown(self, data: bytes) -> None:
        """This much more is there to be read."""
        if self._keep:
            # A mark may be cut in two.
            data = self._rest + data
            self._rest = data[-self._keep :]
        tokens = data.count(self._mark)
        if tokens:
            self._tally.tokens += tokens
        if not self.ready.done():
            self._first(data)

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        self._tally.sent += len(data)
        self._transport.write(data)

    def _first(self, data: bytes) -> None:
        self._head += data
        if not self._head.startswith(self._wire.status[: len(self._head)]):
            answer = bytes(self._head[:300]).decode(errors="replace")
            self.ready.set_exception(BadAnswer(f"instead of a stream: {answer}"))
        elif self._begin in self._head:
            self._head.clear()
            self.ready.set_result(time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(BadAnswer("the server closed the connection unasked"))
        elif not self._closing:
            self._tally.lost += 1

    @property
    def seen(self) -> bytes:
        """What came before it was ready; its end, if it is long."""
        return bytes(self._head[-1000:])

    def close(self) -> None:
        """Leave."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()


class TimingReader(Reader):
    """Also measures how old the newest token is whenever something arrives, in microseconds."""

    def _shown(self, data: bytes) -> None:
        super()._shown(data)
        at = data.rfind(MARK)
        stamp = data[at + len(MARK) :][:STAMP_DIGITS]
        if at >= 0 and len(stamp) == STAMP_DIGITS:
            self._tally.latencies.append(time.monotonic_ns() // 1000 - int(stamp))


async def connect(
    requests: Sequence[Request],
    tally: Tally,
    *,
    begin: str,
    timing: int = 0,
    at_once: int = 100,
) -> list[Reader]:
    """Readers for all requests, each of them begun to be served: ``begin`` has come; every
    ``timing``-th one measures latency (0: none). Raises :class:`BadAnswer`."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(at_once)

    async def open_one(number: int, request: Request) -> Reader:
        kind = TimingReader if timing and number % timing == 0 else Reader
        async with room:
            _, reader = await loop.create_connection(
                lambda: kind(request, tally, begin.encode()), "127.0.0.1", request.port
            )
            try:
                async with asyncio.timeout(_PATIENCE):
                    await reader.ready
            except TimeoutError:
                raise BadAnswer(f"no event within {_PATIENCE:g} s, but: {reader.seen!r}") from None
        return reader

    return await asyncio.gather(*(open_one(n, r) for n, r in enumerate(requests)))
