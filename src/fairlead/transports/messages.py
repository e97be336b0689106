"""The native dialect as messages: one JSON object a line (NDJSON), for every transport that has no
event names and ids of its own."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

from fairlead.dialects import native
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Event, Unknown
from fairlead.transports.body import STREAMING

HEADERS = {"content-type": "application/x-ndjson", **STREAMING}

_OPTIONS = native.Options()
_encode = msgspec.json.Encoder().encode

#: The line of a plain token: its stream and position, and its text as JSON.
_TOKEN = b'{"type":"token%%b%%b","data":%b}\n' % native.TOKEN


class MessageWire:
    """Each event is ``{"type", "stream", "position", "data"}`` and a line feed; JSON itself never
    holds one, so that lines are messages."""

    transport = "ndjson"
    mergeable = native.MERGEABLE
    remembers = False
    headers = HEADERS
    heartbeat = b"\n"

    def __init__(self, stream: str, meta: GenerationMeta) -> None:
        self.key: Hashable | None = "messages"
        self._stream = stream
        self._meta = meta
        self._middle = b'","stream":"' + stream.encode() + b'","position":"'

    def begin(self, offset: int) -> native.State:
        return native.begin(self._stream, self._meta, _OPTIONS, offset)

    def step(
        self, state: native.State, event: Event | Unknown, position: bytes
    ) -> tuple[native.State, bytes]:
        state, frames = native.step(state, event)
        return state, b"".join(
            [
                b'{"type":"%b%b%b","data":%b}\n' % (f.event, self._middle, position, f.data)
                for f in frames
            ]
        )

    def short(
        self, state: native.State, said: bytes, position: bytes
    ) -> tuple[native.State, bytes] | None:
        """What :meth:`step` gives for a plain token; see :data:`fairlead.engine.wire.Short`."""
        if state.meta is not None:
            return None
        return state, _TOKEN % (self._middle, position, said)

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def opening(self, retry: float) -> bytes:
        return b""

    def notice(self, name: str, fields: dict[str, Any], position: bytes) -> bytes:
        # Without a position: it is not of the log.
        return _encode({"type": name, "stream": self._stream, "data": fields}) + b"\n"
