"""The body of an upstream's response, handed on as its bytes arrive.

aiohttp does what leads to a response: connections, TLS, proxies, the request, the head of the
answer. Of a body that streams it makes a buffer, a future and a task's step for each piece. So the
protocol of the connection is ours while a response comes. It passes the head on to aiohttp's own;
then the body too, unless it is an event stream: that goes to whoever listens, in the callback in
which it arrived. When such a body has come to its end, aiohttp has its connection back, to be used
again.

What this rests on is what aiohttp and asyncio make public: ``ClientResponse.start``, the protocol
and the transport of a connection, ``set_protocol``.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Protocol

import aiohttp
import httptools
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

STREAM: Final = "text/event-stream"

#: Bytes kept for a listener that is not ready, before the upstream has to wait.
_HELD: Final = 1 << 16
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
#: So much of what came before may belong to it.
_LOOK_BACK: Final = 2
#: With it a body in chunks ends (RFC 9112, section 7.1).
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Listener(Protocol):
    """Whom a body is for."""

    def arrived(self, data: bytes) -> None:
        """The next bytes."""
        ...

    def ended(self) -> None:
        """Nothing more comes; see :attr:`Body.fault`."""
        ...


class Body(asyncio.Protocol):
    """The protocol of a connection from before the response until the end of its body.

    ``streams``: the body is an event stream, and comes here. ``fault``: why it is not whole once it
    is over, empty if it is.
    """

    def __init__(self, handler: ResponseHandler, transport: asyncio.Transport) -> None:
        self.streams = False
        self.fault = ""
        self._over = False
        self._handler = handler
        self._transport = transport
        self._listener: Listener | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._holding = True
        self._stopped = False
        # The head.
        self._in_head = True
        self._before = b""
        self._type: bytes | None = None
        self._coding: bytes | None = None
        self._framed = False
        self._chunked = False
        self._kept = False
        self._whole = False
        self._parser = httptools.HttpResponseParser(self)
        # As aiohttp takes it.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        transport.set_protocol(self)

    # -- for the listener

    @property
    def over(self) -> bool:
        """Whether all of it has been handed on that will ever come."""
        return self._over and not self._held

    def listen(self, listener: Listener) -> None:
        """Hand the body to ``listener``, once it is :meth:`resumed <resume>`."""
        self._listener = listener

    def leave(self) -> None:
        """Hand nothing on any more."""
        self._listener = None

    def hold(self) -> None:
        """Keep what comes until :meth:`resume`. If it is too much, the upstream has to wait."""
        self._holding = True

    def resume(self) -> None:
        """Hand on what was held, and what comes. The listener may :meth:`hold` in between."""
        self._holding = False
        while self._held:
            data = self._held.pop(0)
            self._held_bytes -= len(data)
            if self._listener is not None:
                self._listener.arrived(data)
            if self._holding:
                return
        if self._over:
            if self._listener is not None:
                self._listener.ended()
        elif self._stopped:
            self._stopped = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # -- the connection's protocol

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._whole:
                self._end(type(error).__name__)
                self._transport.abort()
                return
            self._kept = False  # as in on_message_begin
        if self._whole:
            self._give_back()
        elif self._held_bytes > _HELD and not (self._stopped or self._transport.is_closing()):
            self._stopped = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._handler.connection_lost(exc)
        if not self._in_head:
            cut = "" if exc is None and not self._framed else "IncompleteBody"
            self._end(cut if exc is None else type(exc).__name__)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    # -- the head

    def _head(self, data: bytes) -> None:
        """Find the head's end; aiohttp is to have the head and no more."""
        while self._in_head and data:
            found = _END_OF_HEAD.search(self._before + data)
            cut = len(data) if found is None else found.end() - len(self._before)
            piece, data = data[:cut], data[cut:]
            self._before = (self._before + piece)[-_LOOK_BACK:] if found is None else b""
            try:
                self._parser.feed_data(piece)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self._in_head = False  # aiohttp will find fault with it, too
            self._handler.data_received(piece)
        if self._in_head:
            return
        if not self.streams:
            self._transport.set_protocol(self._handler)
            if data:
                self._handler.data_received(data)
        elif data:
            self.data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"content-type" if self._type is None:
                self._type = value.partition(b";")[0].strip().lower()
            case b"content-encoding" if self._coding is None:
                self._coding = value.strip().lower()
            case b"content-length":
                self._framed = True
            case b"transfer-encoding":
                self._framed = self._chunked = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            # The response itself is still to come (RFC 9110, section 15.2).
            self._type = self._coding = None
            self._framed = self._chunked = False
            return
        self._in_head = False
        self.streams = (
            status == 200
            and self._type == STREAM.encode()
            and self._coding in (None, b"", b"identity")
        )

    # -- the body

    def on_body(self, data: bytes) -> None:
        if self._holding:
            self._held.append(data)
            self._held_bytes += len(data)
        elif self._listener is not None:
            self._listener.arrived(data)

    def on_message_begin(self) -> None:
        if self._whole:
            # There is more than was announced: a connection that cannot be trusted.
            self._kept = False

    def on_message_complete(self) -> None:
        if self._in_head:
            return
        self._whole = True
        self._kept = self._chunked and self._parser.should_keep_alive()

    def _give_back(self) -> None:
        """The body is whole: let aiohttp see its end, so that the connection can be used again."""
        if self._kept:
            self._transport.set_protocol(self._handler)
            self._handler.data_received(_LAST_CHUNK)
        else:
            self._transport.abort()
        self._end("")

    def _end(self, fault: str) -> None:
        if self._over:
            return
        self._over = True
        self.fault = fault
        if not self._holding and self._listener is not None:
            self._listener.ended()


class AbortingResponse(aiohttp.ClientResponse):
    """A response whose closing drops the connection at once.

    aiohttp's own close waits until what was written has been sent and, under TLS, for the peer's
    consent; an upstream that is to stop working must see the end immediately.
    """

    def close(self) -> None:
        connection = self.connection
        transport = None if connection is None else connection.transport
        if transport is not None:
            transport.abort()
        super().close()


class Response(AbortingResponse):
    """One whose body, if it is an event stream, comes by way of :attr:`body` instead of
    ``content``."""

    body: Body

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        handler, transport = connection.protocol, connection.transport
        if handler is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        self.body = Body(handler, transport)
        return await super().start(connection)
