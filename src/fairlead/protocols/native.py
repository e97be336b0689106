"""The session of a socket in the native protocol (PROTOCOL.md, section 9).

Messages in, acts out: what each asks of the engine, as data. Whoever owns the connection does it
and says what came of it. Nothing here waits, reads or writes.
"""

from __future__ import annotations

from typing import NamedTuple

from fairlead.engine.ask import Ask
from fairlead.errors import BadRequest, FairleadError
from fairlead.events.attachment import Attachment
from fairlead.framing import message as wire
from fairlead.journal.position import Position, parse_position

#: The subprotocols that may be selected, the preferred one first.
SUBPROTOCOLS = ("fairlead.v1", "chat")


class Begin(NamedTuple):
    """Start the answer to ``ask`` and read it. ``attachments`` belong to it; those named only were
    uploaded."""

    id: str
    ask: Ask
    key: str
    attachments: tuple[str | Attachment, ...] = ()


class Supersede(NamedTuple):
    """Stop ``stream``, which was seen up to ``shown``, and go on with ``ask``."""

    id: str
    stream: str
    shown: Position | None
    ask: Ask
    key: str
    attachments: tuple[str | Attachment, ...] = ()


class Join(NamedTuple):
    """Read ``stream`` after a position; None: from the start."""

    id: str
    stream: str
    after: Position | None


class Leave(NamedTuple):
    """Read ``stream`` no more."""

    id: str
    stream: str


class End(NamedTuple):
    """Stop the answer."""

    id: str
    stream: str


class Identify(NamedTuple):
    """Another credential, which no text of this object shows."""

    id: str
    token: str

    def __repr__(self) -> str:
        return f"Identify(id={self.id!r})"


class Hold(NamedTuple):
    """Keep an attachment for the question that will name it by ``id``."""

    id: str
    attachment: Attachment


class Say(NamedTuple):
    """Answer with this message; there is nothing to do."""

    message: bytes


Act = Begin | Supersede | Join | Leave | End | Identify | Hold | Say


def receive(data: str | bytes) -> Act:
    """What a message of the client asks for. One that is wrong asks for an error message."""
    if isinstance(data, bytes):
        upload = wire.decode_binary(data)
        if isinstance(upload, wire.Malformed):
            return Say(wire.refusal(upload.error, id=upload.id))
        return Hold(upload.id, upload.attachment)
    message = wire.decode(data)
    if isinstance(message, wire.Malformed):
        return Say(wire.refusal(message.error, id=message.id))
    try:
        return _act(message)
    except FairleadError as error:
        stream = getattr(message, "stream", "")
        return Say(wire.refusal(error, id=message.id, stream=stream))


def _act(message: wire.ClientMessage) -> Act:
    match message:
        case wire.Chat():
            return Begin(message.id, _ask(message), message.key, tuple(message.attachments))
        case wire.Interrupt():
            shown = _position(message.stream, message.shown)
            attachments = tuple(message.attachments)
            return Supersede(
                message.id, message.stream, shown, _ask(message), message.key, attachments
            )
        case wire.Attach():
            after = _position(message.stream, message.after)
            return Join(message.id, message.stream, after)
        case wire.Detach():
            return Leave(message.id, message.stream)
        case wire.Stop():
            return End(message.id, message.stream)
        case wire.Authenticate():
            return Identify(message.id, message.token)
        case wire.Ping():
            return Say(wire.answer("pong", id=message.id))


def _position(stream: str, text: str) -> Position | None:
    """A position as it was shown, or in the form that the ids of Server-Sent Events have."""
    return parse_position(text.removeprefix(f"{stream}.")) if text else None


def _ask(message: wire.Chat | wire.Interrupt) -> Ask:
    if message.message and message.question and message.message != message.question:
        raise BadRequest("'message' and 'question' mean the same; give one of them")
    return Ask(
        message=message.message or message.question,
        conversation=message.conversation_id or "",
        parent=message.parent,
        regenerate=message.regenerate,
        model=message.model,
        system=message.system,
        parameters=message.parameters,
        orphan_window=message.orphan_window,
        background=message.background,
    )


def started(id: str, stream: str, conversation: str, message: str, created: bool) -> bytes:
    """The answer to :class:`Begin` and :class:`Supersede`."""
    data = {"conversation_id": conversation, "message_id": message, "created": created}
    return wire.answer("started", id=id, stream=stream, data=data)


def uploaded(id: str, attachment: Attachment) -> bytes:
    """The answer to :class:`Hold`."""
    data = {"content_type": attachment.type, "size": len(attachment.data)}
    return wire.answer("uploaded", id=id, data=data)


def attached(id: str, stream: str, *, closed: bool) -> bytes:
    """The answer to :class:`Join`. ``closed``: nothing follows the position."""
    return wire.answer("attached", id=id, stream=stream, data={"closed": True} if closed else None)


def detached(id: str, stream: str) -> bytes:
    """The answer to :class:`Leave`."""
    return wire.answer("detached", id=id, stream=stream)


def stopped(id: str, stream: str, status: str) -> bytes:
    """The answer to :class:`End`: how the answer ended."""
    return wire.answer("stopped", id=id, stream=stream, data={"status": status})


def authenticated(id: str, consumer: str) -> bytes:
    """The answer to :class:`Identify`."""
    return wire.answer("authenticated", id=id, data={"consumer": consumer})


def refused(error: FairleadError, id: str = "", stream: str = "") -> bytes:
    """The answer to what could not be done."""
    return wire.refusal(error, id=id, stream=stream)
