"""The messages of a socket (PROTOCOL.md, section 9): what a client may say, and what it is told.

The server's messages about events come from the wire of messages (section 8); here are those that
answer a request.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.errors import BadRequest, FairleadError
from fairlead.events.attachment import Attachment

#: The longest ``id`` that a client may give a request.
MAX_ID = 256
#: The longest ``stream``, position or key that is looked at.
_MAX_NAME = 256
#: The longest first line of a binary message.
MAX_HEAD = 4096


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """``id`` comes back with the answer."""

    id: str = ""


class _Question(_Request, frozen=True, kw_only=True):
    """The fields of a question (section 4). ``question`` means the same as ``message``; ``key`` is
    an idempotency key. ``attachments`` are uploaded already, and named by their ids, or come along
    in base64."""

    message: str = ""
    question: str = ""
    conversation_id: str | None = None
    parent: str | None = None
    regenerate: str = ""
    model: str = ""
    system: str = ""
    parameters: dict[str, Any] = {}
    orphan_window: float | None = None
    background: bool = False
    key: str = ""
    attachments: list[str | Attachment] = []


class Chat(_Question, frozen=True, kw_only=True, tag="chat"):
    """Ask, and read the answer."""


class Interrupt(_Question, frozen=True, kw_only=True, tag="interrupt"):
    """Stop ``stream``, which was seen up to the position ``shown``, and ask on."""

    stream: str
    shown: str = ""


class Attach(_Request, frozen=True, kw_only=True, tag="attach"):
    """Read on after a position; without one from the start."""

    stream: str
    after: str = ""


class Detach(_Request, frozen=True, kw_only=True, tag="detach"):
    """Read no more. The answer goes on."""

    stream: str


class Stop(_Request, frozen=True, kw_only=True, tag="stop"):
    """End the answer."""

    stream: str


class Authenticate(_Request, frozen=True, kw_only=True, tag="authenticate"):
    """Another credential from now on."""

    token: str

    def __repr__(self) -> str:
        return f"Authenticate(id={self.id!r})"


class Ping(_Request, frozen=True, kw_only=True, tag="ping"):
    """Is anybody there?"""


class Upload(msgspec.Struct, frozen=True):
    """An attachment for a question to come, which names it by ``id``."""

    id: str
    attachment: Attachment


class Malformed(msgspec.Struct, frozen=True):
    """What came was none of these: why, and the ``id`` it carries as far as that can be told."""

    id: str
    error: BadRequest


ClientMessage = Chat | Interrupt | Attach | Detach | Stop | Authenticate | Ping

_TYPES: dict[str, type[ClientMessage]] = {
    "chat": Chat,
    "attach": Attach,
    "detach": Detach,
    "stop": Stop,
    "interrupt": Interrupt,
    "authenticate": Authenticate,
    "ping": Ping,
}
_KNOWN = ", ".join(_TYPES)


class _Envelope(msgspec.Struct):
    type: str = ""
    id: str = ""


class _Media(msgspec.Struct):
    content_type: str
    name: str = ""


class _Head(_Envelope):
    data: _Media | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_head = msgspec.json.Decoder(_Head)
_decoders = {name: msgspec.json.Decoder(type) for name, type in _TYPES.items()}
_encode = msgspec.json.Encoder().encode


def decode(text: str) -> ClientMessage | Malformed:
    """What a text frame says. Fields that are not known are passed over."""
    id = ""
    try:
        envelope = _envelope.decode(text)
        if len(envelope.id) > MAX_ID:
            raise BadRequest(f"'id' must have at most {MAX_ID} characters")
        id = envelope.id
        decoder = _decoders.get(envelope.type)
        if decoder is None:
            raise BadRequest(f"'type' must be one of: {_KNOWN}")
        message = decoder.decode(text)
        for name in ("stream", "after", "shown", "key"):
            if len(getattr(message, name, "")) > _MAX_NAME:
                raise BadRequest(f"'{name}' must have at most {_MAX_NAME} characters")
        return message
    except BadRequest as error:
        return Malformed(id, error)
    except msgspec.ValidationError as error:
        return Malformed(id, BadRequest(f"the message is not right: {error}"))
    except (msgspec.DecodeError, UnicodeError) as error:
        return Malformed(id, BadRequest(f"the message is not valid JSON: {error}"))
    except RecursionError:
        return Malformed(id, BadRequest("the message is nested too deeply"))


def decode_binary(data: bytes) -> Upload | Malformed:
    """What a binary frame says: a message on one line, LF, then the bytes, as the server's frames
    of ``media`` do."""
    id = ""
    try:
        end = data.find(b"\n", 0, MAX_HEAD + 1)
        if end < 0:
            raise BadRequest(
                f"a binary message is one line of JSON of at most {MAX_HEAD} bytes, LF, and then "
                "the attachment's bytes"
            )
        head = _head.decode(data[:end])
        if len(head.id) > MAX_ID:
            raise BadRequest(f"'id' must have at most {MAX_ID} characters")
        id = head.id
        if head.type != "attachment":
            raise BadRequest("'type' of a binary message must be 'attachment'")
        if not id:
            raise BadRequest("'id' is missing: the question names the attachment by it")
        if head.data is None:
            raise BadRequest("'data' is missing: it has the attachment's 'content_type'")
        return Upload(id, Attachment(head.data.content_type, data[end + 1 :], head.data.name))
    except BadRequest as error:
        return Malformed(id, error)
    except msgspec.ValidationError as error:
        return Malformed(id, BadRequest(f"the message is not right: {error}"))
    except (msgspec.DecodeError, UnicodeError) as error:
        return Malformed(id, BadRequest(f"the message's first line is not valid JSON: {error}"))
    except RecursionError:
        return Malformed(id, BadRequest("the message is nested too deeply"))


def answer(type: str, *, id: str = "", stream: str = "", data: object = None) -> bytes:
    """The message that answers a request: fields that are empty are left out."""
    made: dict[str, object] = {"type": type}
    if stream:
        made["stream"] = stream
    if id:
        made["id"] = id
    if data is not None:
        made["data"] = data
    return _encode(made)


def refusal(error: FairleadError, *, id: str = "", stream: str = "") -> bytes:
    """The message that a request meets with which something is wrong."""
    fields: dict[str, Any] = {
        "error": error.message,
        "code": error.code,
        "retryable": error.retryable,
        **error.details,
    }
    if error.retry_after is not None:
        fields["retry_after"] = error.retry_after
    return answer("error", id=id, stream=stream, data=fields)
