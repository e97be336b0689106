"""What a client gets: events as they happen, and answers as a whole."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from fairlead.client.problems import not_understood

#: The events that end an answer.
TERMINAL = frozenset({"done", "error"})


class Event(msgspec.Struct, frozen=True):
    """One event of an answer: ``token``, ``sources``, ``done``, … ; a kind that this version does
    not know comes as it is. ``id`` is ``{stream}.{position}``, for coming back; ``data`` is the
    event's JSON object, as PROTOCOL.md describes it."""

    name: str
    data: dict[str, Any]
    id: str = ""

    @property
    def stream(self) -> str:
        """The stream that it belongs to."""
        return self.id.partition(".")[0]

    @property
    def position(self) -> str:
        """Where a reader stands who has seen it."""
        return self.id.partition(".")[2]

    @property
    def text(self) -> str:
        """The text that it adds to the answer: that of ``token`` in the main part, else empty."""
        if self.name != "token" or self.data.get("part", 0) != 0:
            return ""
        several = self.data.get("tokens")
        if isinstance(several, list):
            return "".join(text for text in several if isinstance(text, str))
        text = self.data.get("token", "")
        return text if isinstance(text, str) else ""

    @property
    def media(self) -> bytes:
        """The bytes of a ``media`` event; empty where it names an ``address`` instead."""
        coded = self.data.get("data", "") if self.name == "media" else ""
        try:
            return base64.b64decode(coded, validate=True) if isinstance(coded, str) else b""
        except ValueError:
            raise not_understood("media that are not base64") from None

    @property
    def ends(self) -> bool:
        """Whether nothing follows it."""
        return self.name in TERMINAL


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as a whole, so far. ``status``: ``running``, ``completed``, ``stopped``, ``failed``
    or ``interrupted``; for the last two ``error`` and ``code`` say why."""

    stream: str
    status: str
    text: str = ""
    sources: list[dict[str, Any]] = []
    position: str | None = None
    conversation_id: str = ""
    message_id: str = ""
    provider: str = ""
    model: str = ""
    reason: str = ""
    error: str = ""
    code: str = ""
    retryable: bool = False
    notice: str = ""


class Reconnecting(msgspec.Struct, frozen=True):
    """The connection is gone (``reason``, for people); the next try is in ``wait`` seconds."""

    reason: str
    wait: float
