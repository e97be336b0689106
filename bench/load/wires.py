"""Connections as a client speaks them, without sockets: what to send first, and what to answer."""

from __future__ import annotations

import json
import struct

from bench.load.plan import Request

_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    # Any 16 bytes (RFC 6455, section 4.1).
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_END = b"\r\n\r\n"
_KEY = "Idempotency-Key"


class Wire:
    """A body that streams: one request, and then nothing more to say. ``listening``: what comes has
    to be shown to :meth:`answer`. ``status``: how a good response begins. ``turns``: how often the
    client has spoken."""

    status = b"HTTP/1.1 200"

    def __init__(self, request: Request) -> None:
        self.request = request
        self.listening = False
        self.turns = 1

    def begin(self) -> bytes:
        """What is sent first."""
        return self.request.encode()

    def answer(self, data: bytes) -> bytes:
        """What is to be sent now that this has come; mostly nothing."""
        return b""


class WebSocketWire(Wire):
    """A handshake, and then the request's body as a message."""

    status = b"HTTP/1.1 101"

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.listening = True
        self._head = b""

    def begin(self) -> bytes:
        return self.request.encode(**_UPGRADE)

    def answer(self, data: bytes) -> bytes:
        self._head += data
        if _END not in self._head:
            return b""
        self.listening = False
        if not self.request.body:
            return b""
        self.turns += 1
        return _masked(self.request.body.encode())


class PollWire(Wire):
    """The next poll as soon as an answer is complete, on the same connection. Who asks with a key
    joins others: it goes on from the answer so far, and reads not all of it again."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.listening = True
        self._joins = _KEY in request.headers
        self._seen = b""
        self._size = 0

    def answer(self, data: bytes) -> bytes:
        self._seen += data
        if not self._size:
            at = self._seen.find(_END)
            if at < 0:
                return b""
            self._size = at + len(_END) + int(_header(self._seen[:at], b"content-length") or 0)
        if len(self._seen) < self._size:
            return b""
        head, _, body = self._seen[: self._size].partition(_END)
        self._seen, self._size = self._seen[self._size :], 0
        stream = _header(head, b"fairlead-stream")
        if not stream:
            return b""  # a refusal: the reader will see the status
        after = _header(head, b"fairlead-position")
        if not after and self._joins:
            # The answer to the question itself: the document of what there is so far.
            after = json.loads(body)["position"] or ""
        path = f"/streams/{stream}?wait=25&after={after}"
        self.turns += 1
        request = self.request
        headers = {n: v for n, v in request.headers.items() if n != _KEY}
        return Request(port=request.port, path=path, headers=headers).encode()


def wire_of(request: Request) -> Wire:
    """The wire of a request."""
    match request.wire:
        case "websocket":
            return WebSocketWire(request)
        case "poll":
            return PollWire(request)
    return Wire(request)


def _header(head: bytes, name: bytes) -> str:
    """The value of a header, whose name the server writes in lower case; empty if there is none."""
    at = head.find(b"\r\n" + name + b": ")
    if at < 0:
        return ""
    at += len(name) + 4
    end = head.find(b"\r\n", at)
    return head[at : end if end >= 0 else len(head)].decode()


def _masked(payload: bytes) -> bytes:
    """A text frame as a client must send it (RFC 6455, section 5.3); the mask is all zeros."""
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + struct.pack(">H", size)
    return head + bytes(4) + payload
