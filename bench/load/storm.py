"""A storm: every reader is cut off at once and resumes. Then every text is checked, exactly."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from typing import cast

import httptools

from bench.load.body import last_id, text_of, whole_events
from bench.load.figures import percentile
from bench.load.plan import Request, Storm, StormResult
from bench.load.reader import BadAnswer
from bench.ticker import MARK, STAMP_DIGITS, TOKEN_CHARS

#: How long to wait for the last reader, in seconds.
_PATIENCE = 30.0
_NUMBER = re.compile(MARK.decode() + rf"\d{{{STAMP_DIGITS}}} (\d{{8}}) lorem ipsum")


class StormReader(asyncio.Protocol):
    """Keeps everything of one connection. ``current`` is done when it was shown a token that was
    made after it had asked."""

    def __init__(self, request: bytes) -> None:
        self.body = bytearray()
        self.current: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._request = request
        self._asked = 0
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._asked = time.monotonic_ns() // 1000
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self.current.done():
            return
        at = self.body.rfind(MARK)
        stamp = self.body[at + len(MARK) :][:STAMP_DIGITS]
        if at >= 0 and len(stamp) == STAMP_DIGITS and int(stamp) > self._asked:
            self.current.set_result(time.perf_counter())

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != 200 and not self.current.done():
            self.current.set_exception(BadAnswer(f"status {status} instead of a stream"))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.current.done():
            self.current.set_exception(BadAnswer("the server closed the connection unasked"))

    def reset(self) -> None:
        """Cut the connection with a TCP reset: the server is told nothing politely."""
        assert self._transport is not None
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


async def storm(plan: Storm) -> StormResult:
    """Carry out the plan."""
    port = plan.request.port
    before = await _connect(port, [plan.request.encode()] * plan.connections, at_once=100)
    await asyncio.gather(*(reader.current for reader in before))
    await asyncio.sleep(plan.warmup)

    cut = time.perf_counter()
    for reader in before:
        reader.reset()
    seen = [whole_events(reader.body) for reader in before]
    requests = [plan.request.encode(**{"Last-Event-ID": last_id(body)}) for body in seen]
    after = await _connect(port, requests, at_once=plan.connections)
    async with asyncio.timeout(_PATIENCE):
        times = await asyncio.gather(*(reader.current for reader in after))

    await asyncio.sleep(plan.seconds)
    for reader in after:
        reader.reset()
    wrong, trouble, tokens = 0, "", 0
    for first, reader in zip(seen, after, strict=True):
        text = text_of(first) + text_of(whole_events(reader.body))
        found = fault(text) or await _unlike_the_log(plan.request, last_id(first), text)
        tokens += len(text) // TOKEN_CHARS
        wrong += bool(found)
        trouble = trouble or found
    return StormResult(
        readers=len(after),
        half=(percentile(times, 0.5) - cut) * 1000,
        all=(max(times) - cut) * 1000,
        wrong=wrong,
        trouble=trouble,
        tokens=tokens,
    )


async def _connect(port: int, requests: list[bytes], at_once: int) -> list[StormReader]:
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(at_once)

    async def open_one(request: bytes) -> StormReader:
        async with room:
            _, reader = await loop.create_connection(
                lambda: StormReader(request), "127.0.0.1", port
            )
            return reader

    return await asyncio.gather(*(open_one(request) for request in requests))


def fault(text: str) -> str:
    """What is wrong with a text; nothing if it is tokens 1, 2, 3, … without a gap."""
    numbers = [int(number) for number in _NUMBER.findall(text)]
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            return f"token {number} stands where token {expected} belongs"
    if len(text) != len(numbers) * TOKEN_CHARS:
        return f"{len(text)} characters do not make {len(numbers)} tokens"
    return "" if numbers else "no tokens"


async def _unlike_the_log(request: Request, last_id: str, text: str) -> str:
    """What the server's own record of the answer says against a text."""
    stream = last_id.partition(".")[0]
    connection_reader, writer = await asyncio.open_connection("127.0.0.1", request.port)
    writer.write(
        f"GET /streams/{stream} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    answer = await connection_reader.read()
    writer.close()
    recorded = json.loads(answer[answer.index(b"\r\n\r\n") + 4 :])["text"]
    return "" if recorded.startswith(text) else "the text is not how the server's own one begins"
