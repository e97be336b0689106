"""Answers that a session puts into words, as frames of its socket.

What a session says of an answer depends on what else was said in it: such frames are made for one
reader alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from fairlead.dialects.openai_error import error_of
from fairlead.errors import FairleadError, Interrupted
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Error, Event, Unknown
from fairlead.framing.websocket import text_frame


class Reply(Protocol):
    """A session's side of one answer."""

    over: bool

    def begin(self, stream: str, meta: GenerationMeta) -> None:
        """The answer is this stream."""
        ...

    def take(self, event: Event | Unknown) -> list[bytes]:
        """The messages that one event makes. Each is given once, in order."""
        ...

    def lost(self, error: FairleadError) -> bytes:
        """Its events come no more: the message that says so."""
        ...


class ReplyWire:
    """The messages of one reply, each in a frame of text. ``over`` is called once when it is."""

    transport = "websocket"
    mergeable = False
    remembers = True

    def __init__(
        self, stream: str, meta: GenerationMeta, reply: Reply, over: Callable[[], None]
    ) -> None:
        self.key: Hashable | None = None
        self._reply = reply
        self._over = over
        reply.begin(stream, meta)

    def begin(self, offset: int) -> Any:
        return None

    def step(self, state: Any, event: Event | Unknown, position: bytes) -> tuple[Any, bytes]:
        messages = self._reply.take(event)
        if self._reply.over:
            self._over()
        if len(messages) == 1:  # nearly always
            return None, text_frame(messages[0])
        return None, b"".join(map(text_frame, messages))

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def notice(self, name: str, fields: dict[str, Any]) -> bytes:
        """Reading has ended before the answer has."""
        error: FairleadError
        if name == "drain":
            error = Interrupted("the connection ends before the answer does")
        else:
            error = error_of(Error(0, str(fields["error"]), str(fields["code"])))
        message = self._reply.lost(error)
        self._over()
        return text_frame(message)
