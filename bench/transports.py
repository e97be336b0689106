"""Fairlead's transports as a client speaks them: how to ask, how to read on, and where one stands.

The load generator sends what stands here as it is, and searches what comes for its marks: no
transport is parsed while anything is measured.
"""

from __future__ import annotations

import json
import re
import struct

from bench.load.plan import Request

SSE = "SSE"
WEBSOCKET = "WebSocket"
POLL = "long poll"
NDJSON = "NDJSON"
CONNECT = "Connect"
ALL = (SSE, WEBSOCKET, POLL, NDJSON, CONNECT)

#: Stands in the first event of every answer, on every transport, and in no other.
FIRST_EVENT = "thinking"
#: By that a reader has begun to be served; who polls is given the answer so far.
BEGIN = {transport: '"status":"running"' if transport == POLL else FIRST_EVENT for transport in ALL}
#: Seconds that a poll is held (PROTOCOL.md, section 8).
WAIT = 25

_ACCEPT = {SSE: "text/event-stream", NDJSON: "application/x-ndjson", POLL: "application/json"}
_RPC = {"Content-Type": "application/connect+proto", "Connect-Protocol-Version": "1"}
_PLACE = {
    SSE: re.compile(rb"id: (\w{26})\.([0-9a-z-]+)\n"),
    # The fields 2 and 3 of an Event (proto/fairlead/v1/answers.proto).
    CONNECT: re.compile(rb"\x12\x1a(\w{26})\x1a.([0-9a-z-]+)", re.DOTALL),
}
_MESSAGE = re.compile(rb'"stream":"(\w{26})","position":"([0-9a-z-]+)"')


def ask(
    transport: str,
    port: int,
    *,
    window: float = 2.0,
    key: str = "",
    headers: dict[str, str] | None = None,
) -> Request:
    """Ask for an answer that goes on for ``window`` seconds when nobody reads. The same ``key`` is
    the same answer."""
    fields = headers or {}
    if transport == CONNECT:
        message = b"\x0a\x02go\x41" + struct.pack("<d", window) + _field(10, key)
        return _call(port, "Ask", message, fields)
    question: dict[str, object] = {"message": "go", "orphan_window": window}
    if transport == WEBSOCKET:
        text = json.dumps({"type": "chat", "key": key, **question})
        return Request(port=port, path="/ws", body=text, headers=fields, wire="websocket")
    named = {"Idempotency-Key": key} if key else {}
    return Request(
        port=port,
        path="/chat/stream",
        body=json.dumps(question),
        headers={"Accept": _ACCEPT[transport], **named, **fields},
        wire="poll" if transport == POLL else "body",
    )


def resume(
    transport: str, port: int, stream: str, position: str, headers: dict[str, str] | None = None
) -> Request:
    """Read on after a position."""
    fields = headers or {}
    if transport == CONNECT:
        return _call(port, "Attach", _field(1, stream) + _field(2, position), fields)
    if transport == WEBSOCKET:
        text = json.dumps({"type": "attach", "stream": stream, "after": position})
        return Request(port=port, path="/ws", body=text, headers=fields, wire="websocket")
    path = f"/streams/{stream}"
    if transport == POLL:
        path += f"?wait={WAIT}&after={position}"
        return Request(port=port, path=path, headers=fields, wire="poll")
    if transport == NDJSON:
        path += f"?after={position}"
    else:
        fields = {"Last-Event-ID": f"{stream}.{position}", **fields}
    return Request(port=port, path=path, headers={"Accept": _ACCEPT[transport], **fields})


def place(transport: str, seen: bytes) -> tuple[str, str] | None:
    """The stream and the position of the first event that came, if it has come."""
    found = _PLACE.get(transport, _MESSAGE).search(seen)
    return (found[1].decode(), found[2].decode()) if found else None


def _call(port: int, method: str, message: bytes, headers: dict[str, str]) -> Request:
    # https://connectrpc.com/docs/protocol#streaming-rpcs: flags, length, message.
    body = struct.pack(">BI", 0, len(message)) + message
    return Request(
        port=port,
        path=f"/fairlead.v1.Answers/{method}",
        body=body.decode("latin-1"),
        headers={**_RPC, **headers},
    )


def _field(number: int, text: str) -> bytes:
    """A text of fewer than 128 bytes as a field of a message."""
    return bytes((number << 3 | 2, len(text))) + text.encode() if text else b""
