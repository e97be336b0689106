"""HTTP/2 (RFC 9113) as one client speaks it, as far as measuring needs: requests out, and of what
comes the data of each stream. The headers of responses are not decompressed."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from bench.load.plan import Request
from bench.load.reader import BadAnswer

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_LARGE = 0x7FFFFFFF
#: Bytes of data after which the window of the connection is opened again.
_SOON = 1 << 24
#: ``:status: 200`` in HPACK's static table (RFC 7541, appendix A).
_OK = 0x88


class Exchange:
    """One request: ``on_data`` is called with what comes of its body, ``ended`` is done at its
    end."""

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self.on_data = on_data
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class H2Connection(asyncio.Protocol):
    """A connection that carries many requests. ``sent`` and ``received`` count bytes."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self._next = 1
        self._exchanges: dict[int, Exchange] = {}
        self._table: list[tuple[str, str]] = []
        self._buffer = b""
        self._unacknowledged = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # INITIAL_WINDOW_SIZE (4) as large as can be: flow control is not what is measured.
        self._write(_PREFACE + _frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _LARGE)))
        self._write(_frame(_WINDOW, 0, 0, struct.pack(">I", _LARGE - 65535)))

    def ask(self, request: Request, on_data: Callable[[bytes], None]) -> Exchange:
        """Send a request on a stream of its own."""
        number, self._next = self._next, self._next + 2
        exchange = self._exchanges[number] = Exchange(on_data)
        fields = [
            (":method", "POST" if request.body else "GET"),
            (":scheme", "http"),
            (":authority", f"127.0.0.1:{request.port}"),
            (":path", request.path),
            *((name.lower(), value) for name, value in request.headers.items()),
        ]
        if request.body:
            fields += [("content-type", "application/json")]
            fields += [("content-length", str(len(request.body)))]
        block = self.compressed(fields)
        if request.body:
            body = _frame(_DATA, _END_STREAM, number, request.body.encode("latin-1"))
            self._write(_frame(_HEADERS, _END_HEADERS, number, block) + body)
        else:
            self._write(_frame(_HEADERS, _END_HEADERS | _END_STREAM, number, block))
        return exchange

    def compressed(self, fields: list[tuple[str, str]]) -> bytes:
        """A block of fields. What was sent before on this connection is one byte."""
        return b"".join(self._compressed(field) for field in fields)

    def _compressed(self, field: tuple[str, str]) -> bytes:
        """A field as HPACK has it, without Huffman coding."""
        if field in self._table:
            # The newest entry of the dynamic table has the number 62 (RFC 7541, section 2.3.3).
            return bytes((0x80 | 62 + self._table[::-1].index(field),))
        self._table.append(field)
        name, value = (text.encode("latin-1") for text in field)
        return b"\x40" + _length(len(name)) + name + _length(len(value)) + value

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        buffer = self._buffer + data
        at = 0
        while len(buffer) - at >= 9:
            size = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at - 9 < size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            number = int.from_bytes(buffer[at + 5 : at + 9], "big")
            payload = buffer[at + 9 : at + 9 + size]
            at += 9 + size
            if kind == _DATA:
                self._unacknowledged += size
            self._frame(kind, flags, number, payload)
        self._buffer = buffer[at:]
        if self._unacknowledged >= _SOON:
            self._write(_frame(_WINDOW, 0, 0, struct.pack(">I", self._unacknowledged)))
            self._unacknowledged = 0

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        exchange = self._exchanges.get(number)
        if kind == _SETTINGS and not flags & _ACK:
            self._write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self.connection_lost(None)
        elif exchange is not None:
            if kind == _DATA:
                exchange.on_data(payload)
            elif kind == _RST or (kind == _HEADERS and payload[:1] != bytes((_OK,))):
                del self._exchanges[number]
                exchange.ended.set_exception(BadAnswer(f"HTTP/2: no answer, but {payload!r}"))
                return
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                del self._exchanges[number]
                exchange.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for exchange in self._exchanges.values():
            if not exchange.ended.done():
                exchange.ended.set_exception(BadAnswer("HTTP/2: the connection was closed"))
        self._exchanges.clear()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self.sent += len(data)
        self._transport.write(data)

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.abort()


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + struct.pack(">I", number) + payload
    )


def _length(size: int) -> bytes:
    """A length in HPACK (RFC 7541, section 5.1, with a prefix of 7 bits)."""
    if size < 127:
        return bytes((size,))
    made, size = b"\x7f", size - 127
    while size >= 128:
        made, size = made + bytes((size & 127 | 128,)), size >> 7
    return made + bytes((size,))
