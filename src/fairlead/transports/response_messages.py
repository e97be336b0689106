"""OpenAI's Responses as messages of a WebSocket: each event is a message of its own."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from fairlead.dialects import openai_responses
from fairlead.dialects.openai_error import error_of, socket_error
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Error, Event, Unknown
from fairlead.framing.websocket import text_frame


class ResponseMessages:
    """Implements :class:`~fairlead.transports.websocket.SpokenWire`. Messages name the ``lane``
    that they belong to (``stream_id``), unless it is the default one, which has no name."""

    transport = "websocket"
    mergeable = openai_responses.MERGEABLE
    remembers = True

    def __init__(self, stream: str, meta: GenerationMeta, lane: str) -> None:
        self.key: Hashable | None = ("response-messages", lane)
        self._stream = stream
        self._meta = meta
        self._lane = lane
        # A lane's name needs no escapes.
        self._end = b',"stream_id":"%b"}' % lane.encode() if lane else b"}"

    def begin(self, offset: int) -> openai_responses.State:
        return openai_responses.begin(self._stream, self._meta)

    def step(
        self, state: openai_responses.State, event: Event | Unknown, position: bytes
    ) -> tuple[openai_responses.State, bytes]:
        state, frames = openai_responses.step(state, event)
        end = self._end
        if len(frames) == 1:
            return state, text_frame(frames[0].data[:-1] + end)
        return state, b"".join([text_frame(frame.data[:-1] + end) for frame in frames])

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def notice(self, name: str, fields: dict[str, Any]) -> bytes:
        """The error that says that nothing more is shown of the response, which may go on: it can
        be read on over HTTP."""
        if name == "drain":
            message = "the connection ends before the response does: read on with GET, or reconnect"
            told = Error(0, message, str(fields.get("reason", "draining")))
        else:
            told = Error(0, str(fields["error"]), str(fields["code"]))
        response = openai_responses.PREFIX + self._stream
        return text_frame(socket_error(error_of(told), self._lane, response_id=response))
