"""Content codings of what streams: compressed on its way to one reader, flushed with each write.

Nothing is compressed before it is taken for a socket that has room, so that a slow reader has no
more in memory than without. Only what shows a stream's events is ever compressed: answers that
carry keys, tickets or sessions do not come this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from fairlead.framing.content_coding import negotiate
from fairlead.framing.gzip import Gzip
from fairlead.transports import zstd
from fairlead.transports.sink import Scope, Send, Sink

#: The key of a scope whose response :func:`coding_send` leaves as it is.
UNCODED = "fairlead.uncoded"
#: A shorter answer that ends gains nothing.
_SMALL = 256
#: Streams of Connect and gRPC-Web; what is not one is small, or Connect's own to compress.
_STREAMS = (b"application/connect+", b"application/grpc-web")


class Coder(Protocol):
    """Compresses one body."""

    def encode(self, data: bytes) -> bytes:
        """The next piece, never empty, compressed and flushed."""
        ...

    def end(self) -> bytes:
        """What ends the body."""
        ...


#: Those that are there, best first: gzip makes a piece once for all readers of a stream and keeps
#: nothing for each.
CODERS: dict[str, Callable[[], Coder]] = {"gzip": Gzip} | (
    {"zstd": zstd.Zstd} if zstd.AVAILABLE else {}
)


class Coding(NamedTuple):
    """How one body is coded, and what its response says of that. ``coder`` None: not at all."""

    headers: dict[str, str]
    coder: Callable[[], Coder] | None = None

    def whole(self, body: bytes) -> tuple[bytes, dict[str, str]]:
        """A body that is there already, coded if that gains anything, and its headers."""
        if self.coder is None or len(body) < _SMALL:
            return body, _VARY if self.headers else {}
        coder = self.coder()
        return coder.encode(body) + coder.end(), self.headers

    def sink(self, sink: Sink) -> Sink:
        """A sink for a body that streams."""
        return sink if self.coder is None else CodedSink(sink, self.coder())


_VARY = {"vary": "Accept-Encoding"}
#: Nothing is compressed here.
PLAIN = Coding({})
_IDENTITY = Coding(_VARY)
_CODINGS = {
    name: Coding({**_VARY, "content-encoding": name}, coder) for name, coder in CODERS.items()
}


def coding_for(accepted: str) -> Coding:
    """The coding for a request with this ``Accept-Encoding``."""
    return _CODINGS.get(negotiate(accepted, tuple(CODERS)), _IDENTITY)


class CodedSink:
    """Codes what is written to a sink."""

    __slots__ = ("_coder", "_sink")

    def __init__(self, sink: Sink, coder: Coder) -> None:
        self._sink = sink
        self._coder = coder

    def listen(self, on_writable: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._sink.listen(on_writable, on_lost)

    @property
    def paused(self) -> bool:
        return self._sink.paused

    def write(self, data: bytes) -> None:
        self._sink.write(self._coder.encode(data))

    def abort(self) -> None:
        self._sink.abort()

    async def close(self, *, complete: bool, last: bytes = b"") -> None:
        if complete:
            last = (self._coder.encode(last) if last else b"") + self._coder.end()
        await self._sink.close(complete=complete, last=last)


def coding_send(scope: Scope, send: Send) -> Send:
    """An ASGI ``send`` that codes the streams of Connect and gRPC-Web as the request allows."""
    accepted = b",".join([v for n, v in scope["headers"] if n == b"accept-encoding"])
    coding = coding_for(accepted.decode("latin-1"))
    coder: Coder | None = None

    async def coded(message: Any) -> None:
        nonlocal coder
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if UNCODED not in scope and any(
                n.lower() == b"content-type" and v.startswith(_STREAMS) for n, v in headers
            ):
                coder = coding.coder() if coding.coder is not None else None
                headers += [(n.encode(), v.encode()) for n, v in coding.headers.items()]
                message = {**message, "headers": headers}
        elif coder is not None and message["type"] == "http.response.body":
            body = message.get("body", b"")
            body = coder.encode(bytes(body)) if body else b""
            if not message.get("more_body", False):
                body += coder.end()
            message = {**message, "body": body}
        await send(message)

    return coded
