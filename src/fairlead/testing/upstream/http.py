"""The little HTTP/1.1 that the scripted upstream needs, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 64 << 20


class BadHttp(Exception):
    """The client sent what is not HTTP/1.x or is larger than this server takes."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request. Header names are in lower case; repeated ones are joined by ``, ``."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """Whether the client expects the connection to stay (RFC 9112, section 9.3)."""
        connection = self.headers.get("connection", "").lower()
        if self.version == "HTTP/1.0":
            return "keep-alive" in connection
        return "close" not in connection


class RequestReader:
    """Takes bytes as they come; gives whole requests, one after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[str, str, str, dict[str, str]] | None = None
        self.wants_continue = False
        """The client waits for ``100 Continue`` before it sends the body."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data

    def next(self) -> RawRequest | None:
        """The next request if it is there in full. Raises BadHttp."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end > MAX_HEAD_BYTES or (end < 0 and len(self._buffer) > MAX_HEAD_BYTES):
                raise BadHttp("head too large")
            if end < 0:
                return None
            self._head = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            self.wants_continue = self._head[3].get("expect", "").lower() == "100-continue"
        body = self._take_body(self._head[3])
        if body is None:
            return None
        method, target, version, headers = self._head
        self._head = None
        self.wants_continue = False
        return RawRequest(method, target, version, headers, body)

    def _take_body(self, headers: Mapping[str, str]) -> bytes | None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._take_chunks()
        text = headers.get("content-length", "0")
        if not text.isdecimal() or int(text) > MAX_BODY_BYTES:
            raise BadHttp("bad content-length")
        length = int(text)
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _take_chunks(self) -> bytes | None:
        if len(self._buffer) > 2 * MAX_BODY_BYTES:
            raise BadHttp("body too large")
        body, at = bytearray(), 0
        while True:
            end = self._buffer.find(b"\r\n", at)
            if end < 0:
                return None
            try:
                size = int(self._buffer[at:end].split(b";")[0], 16)
            except ValueError:
                raise BadHttp("bad chunk size") from None
            at = end + 2
            if size == 0:
                # Trailers end at an empty line.
                while (end := self._buffer.find(b"\r\n", at)) > at:
                    at = end + 2
                if end < 0:
                    return None
                del self._buffer[: end + 2]
                return bytes(body)
            if len(self._buffer) < at + size + 2:
                return None
            body += self._buffer[at : at + size]
            at += size + 2


def _parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
    except ValueError:
        raise BadHttp("bad request line") from None
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadHttp("unknown version")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadHttp("bad header line")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return method, target, version, headers


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and headers, blank line included."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(status: int, content_type: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A response with its length known."""
    fields = {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}
    return head(status, fields) + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
