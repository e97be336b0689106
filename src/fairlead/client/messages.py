"""The messages in which events come where a transport has no names and ids of its own (PROTOCOL.md,
section 8), and what becomes of them."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from fairlead.client.answers import Event
from fairlead.client.problems import not_understood


class Message(msgspec.Struct):
    """``id`` is that of the request that it answers. Without ``position`` it is not of the log."""

    type: str
    data: dict[str, Any] = {}
    stream: str = ""
    position: str = ""
    id: str = ""


class Polled(msgspec.Struct):
    """The answer to a long poll."""

    events: list[Message]
    position: str = ""
    closed: bool = False


_message = msgspec.json.Decoder(Message)
_polled = msgspec.json.Decoder(Polled)


def message_of(frame: str | bytes) -> Message:
    """What a WebSocket message says. The bytes of a binary one become base64 in ``data``, as on
    every other transport. Raises :class:`~fairlead.errors.UpstreamProtocol`."""
    payload = b""
    if isinstance(frame, bytes):
        frame, _, payload = frame.partition(b"\n")
    try:
        message = _message.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise not_understood("a message that is none of its protocol") from None
    if payload:
        message.data["data"] = base64.b64encode(payload).decode()
    return message


def polled_of(body: bytes) -> Polled:
    """What the body of a long poll says. Raises :class:`~fairlead.errors.UpstreamProtocol`."""
    try:
        return _polled.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise not_understood("something other than a poll's answer") from None


def event_of(message: Message, stream: str) -> Event:
    """The message as an event of ``stream``."""
    id = f"{stream}.{message.position}" if message.position else ""
    return Event(message.type, message.data, id)
