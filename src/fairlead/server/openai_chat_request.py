"""What ``POST /v1/chat/completions`` asks: its body as a question.

Of the body only what Fairlead itself acts on has to be right; whatever else there is goes on to an
upstream of the same dialect as it came.

Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from fairlead.dialects import openai_chat
from fairlead.dialects.openai_body import FIELDS, decoded, of_address
from fairlead.engine.ask import Ask
from fairlead.events.attachment import Attachment
from fairlead.ports.provider import Call, Turn, Vendor

#: More messages than any model reads are refused.
_MAX_MESSAGES = 10_000
_ROLES = {"developer": "system", "function": "tool"}
_KNOWN_ROLES = ("system", "user", "assistant", "tool")
#: What of the body is the reader's, or stands in the question apart.
_OURS = ("messages", "model", "stream", "stream_options")


class _Address(msgspec.Struct):
    url: str


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Address | str | None = None
    file: _File | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str = ""
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1, max_length=_MAX_MESSAGES)]
    model: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None


class Asked(msgspec.Struct, frozen=True):
    """A question, and how its answer is to be shown. ``beside``: how many of the body's bytes are
    those of attachments."""

    ask: Ask
    stream: bool
    include_usage: bool
    beside: int


_body = msgspec.json.Decoder(_Body)
_any = msgspec.json.Decoder(Any)


def asked(data: bytes, *, orphan_window: float | None = None) -> Asked:
    """The question in a body. Raises as :func:`~fairlead.dialects.openai_body.decoded` does."""
    body, fields = decoded(data, _body), decoded(data, FIELDS)
    parameters = {name: decoded(raw, _any) for name, raw in fields.items() if name not in _OURS}
    # Whether it streams is the reader's business: the same question is the same either way.
    fields.pop("stream", None)
    reader = _Reader()
    turns = tuple(reader.turn(message) for message in body.messages)
    options = body.stream_options
    return Asked(
        Ask(
            model=body.model or "",
            parameters=parameters,
            orphan_window=orphan_window,
            turns=turns,
            vendor=Vendor(openai_chat.NAME, msgspec.json.encode(fields)),
        ),
        stream=bool(body.stream),
        include_usage=options is not None and bool(options.include_usage),
        beside=reader.beside,
    )


class _Reader:
    """Reads messages; ``beside`` counts the characters of what they bring along."""

    def __init__(self) -> None:
        self.beside = 0

    def turn(self, message: _Message) -> Turn:
        role = _ROLES.get(message.role, message.role)
        unsaid: list[str] = []
        if role not in _KNOWN_ROLES:
            unsaid.append(f"a message of the role {message.role[:40]!r}")
            role = "user"
        texts: list[str] = []
        attachments: list[Attachment] = []
        content = message.content
        if isinstance(content, str):
            texts.append(content)
        for part in content if isinstance(content, list) else ():
            said = part.text if part.type == "text" else part.refusal
            if said is not None:
                texts.append(said)
            elif (attachment := self._attachment(part)) is not None:
                attachments.append(attachment)
            else:
                unsaid.append(_name(part))
        calls = [
            Call(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
            if call.function is not None
        ]
        if len(calls) < len(message.tool_calls or ()):
            unsaid.append("a call of a tool that is no function")
        return Turn(
            role,  # type: ignore[arg-type]  # one of _KNOWN_ROLES
            "\n\n".join(texts),
            tuple(attachments),
            tuple(calls),
            message.tool_call_id or "",
            tuple(unsaid),
        )

    def _attachment(self, part: _Part) -> Attachment | None:
        """What a part brings along; None if it does not hold its bytes."""
        name, address = "", ""
        if part.type == "image_url" and part.image_url is not None:
            image = part.image_url
            address = image if isinstance(image, str) else image.url
        elif part.type == "file" and part.file is not None:
            name, address = part.file.filename or "", part.file.file_data or ""
        attachment = of_address(address, name)
        if attachment is not None:
            self.beside += len(address)
        return attachment


def _name(part: _Part) -> str:
    match part.type:
        case "image_url":
            return "a picture by its address"
        case "file":
            return "a file by its id"
        case _:
            return f"a part of the type {part.type[:40]!r}"
