"""The session of a socket on which responses are asked for (PROTOCOL.md, section 14).

Messages in, acts out: what each asks of the engine, as data. Whoever owns the connection does it
and says what came of it. Nothing here waits, reads or writes.

A ``stream_id`` names a lane: the requests of one lane are answered one after the other, those of
several at once. Without one, a request is of the default lane, whose messages do not name it.

Source: OpenAI API guides, "WebSocket mode".
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any, NamedTuple

import msgspec

from fairlead.dialects.openai_body import FIELDS, decoded
from fairlead.dialects.openai_error import socket_error
from fairlead.errors import BadRequest, FairleadError, TooMany

#: Responses that are written at once, and lanes that have a name, as the vendor has it.
MAX_RUNNING = 16
MAX_LANES = 32
#: Requests that wait for their lanes.
MAX_WAITING = 64

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
#: Fields of a message that are none of the question.
_ENVELOPE = ("type", "stream_id", "generate")


class Begin(NamedTuple):
    """Answer the question of ``fields``, a request's body. ``generate`` False: nothing is to be
    written, the question is only to be gone on with."""

    lane: str
    fields: dict[str, msgspec.Raw]
    generate: bool = True


class Stop(NamedTuple):
    """Stop the response; empty: the one that its lane is writing."""

    lane: str
    response: str


class Say(NamedTuple):
    """Answer with this message; there is nothing to do."""

    message: bytes


Act = Begin | Stop | Say


class _Message(msgspec.Struct):
    type: str
    stream_id: Any = None
    generate: bool | None = None
    response_id: str = ""


class _Lane:
    """What a lane is doing: its requests that wait, and whether one is being answered."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Begin, int]] = deque()
        self.busy = False


_message = msgspec.json.Decoder(_Message)


class Session:
    """What one socket has asked for. ``max_bytes``: of requests that wait, together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lanes: dict[str, _Lane] = {"": _Lane()}
        self._running = 0
        self._waiting = 0
        self._bytes = 0

    def receive(self, data: str | bytes) -> Act | None:
        """What a message of the client asks for now; None: its time will come. One that is wrong
        asks for an error message, which changes nothing else."""
        lane = ""
        try:
            if isinstance(data, bytes):
                raise BadRequest("messages are text: JSON objects with a 'type'")
            message, fields = _decoded(data)
            lane = self._named(message.stream_id)
            match message.type:
                case "response.create":
                    for name in _ENVELOPE:
                        fields.pop(name, None)
                    return self._take(Begin(lane, fields, message.generate is not False), len(data))
                case "response.cancel":
                    return Stop(lane, message.response_id)
                case _:
                    raise BadRequest(
                        f"there are no messages of the type {message.type[:60]!r} here; there are "
                        "'response.create' and 'response.cancel'",
                        param="type",
                    )
        except FairleadError as error:
            return Say(socket_error(error, lane))

    def ended(self, lane: str) -> list[Begin]:
        """The lane's response has ended, or could not be begun: what may begin now."""
        self._lanes[lane].busy = False
        self._running -= 1
        return self._next()

    def _take(self, begin: Begin, size: int) -> Begin | None:
        lane = self._lanes[begin.lane]
        if not lane.busy and not lane.waiting and self._running < MAX_RUNNING:
            lane.busy = True
            self._running += 1
            return begin
        if self._waiting >= MAX_WAITING or self._bytes + size > self._max_bytes:
            raise TooMany("as many requests wait on this socket as may: let a response end first")
        lane.waiting.append((begin, size))
        self._waiting += 1
        self._bytes += size
        return None

    def _next(self) -> list[Begin]:
        found: list[Begin] = []
        for name, lane in list(self._lanes.items()):
            if self._running >= MAX_RUNNING:
                break
            if lane.busy or not lane.waiting:
                continue
            begin, size = lane.waiting.popleft()
            lane.busy = True
            self._running += 1
            self._waiting -= 1
            self._bytes -= size
            found.append(begin)
            # Whoever has had a turn comes last.
            self._lanes[name] = self._lanes.pop(name)
        return found

    def _named(self, name: Any) -> str:
        if name is None:
            return ""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadRequest(
                "'stream_id' must be a text of 1 to 256 letters, digits, '_', '-' and '.'",
                param="stream_id",
                vendor_code="invalid_stream_id",
            )
        if name not in self._lanes:
            if len(self._lanes) > MAX_LANES:
                raise BadRequest(
                    f"this socket has {MAX_LANES} values of 'stream_id' already: use one of them, "
                    "or another socket",
                    param="stream_id",
                    vendor_code="websocket_stream_limit_reached",
                )
            self._lanes[name] = _Lane()
        return name


class Unstored:
    """The input of responses that are not stored, of each lane the latest one's: it is known for as
    long as the socket lasts. ``max_bytes``: of all of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[str, tuple[str, bytes]] = {}

    def keep(self, lane: str, response: str, items: list[Any]) -> None:
        """Know what the response of a lane was asked, with all before it."""
        self._kept.pop(lane, None)
        self._kept[lane] = response, msgspec.json.encode(items)
        while sum(len(data) for _, data in self._kept.values()) > self._max_bytes:
            # The one that was asked longest ago.
            del self._kept[next(iter(self._kept))]

    def recall(self, response: str) -> list[Any] | None:
        """What a response was asked, if it is known."""
        for known, data in self._kept.values():
            if known == response:
                items: list[Any] = msgspec.json.decode(data)
                return items
        return None


def _decoded(data: str) -> tuple[_Message, dict[str, msgspec.Raw]]:
    encoded = data.encode(errors="surrogatepass")
    return decoded(encoded, _message), decoded(encoded, FIELDS)
