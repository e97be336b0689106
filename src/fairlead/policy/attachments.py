"""Which attachments may come with a question: types, names, sizes, and whether bytes are what
their type says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec
from msgspec.structs import replace

from fairlead.errors import BadRequest, TooLarge, UnsupportedAttachment
from fairlead.events.attachment import Attachment, is_text

#: The longest name of a file.
MAX_NAME = 255
#: What is allowed unless the configuration says otherwise.
DEFAULT_TYPES = (
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "text/plain",
    "text/markdown",
    "text/csv",
    "application/json",
)

#: type/subtype (RFC 6838, section 4.2), in small letters.
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")

# How files of these types begin: PNG (RFC 2083, section 3.1), JPEG (T.81, B.1.1.3), GIF89a,
# section 17, WebP (RFC 9649, section 2.4), PDF (ISO 32000, section 7.5.2).
_BEGINS: dict[str, Callable[[bytes], bool]] = {
    "image/png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "image/gif": lambda data: data.startswith((b"GIF87a", b"GIF89a")),
    "image/webp": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
    "application/pdf": lambda data: data.startswith(b"%PDF-"),
}


class AttachmentLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``types`` that are taken; ``number`` of attachments with one question (0: none), ``bytes`` of
    each and ``total`` bytes of them together."""

    types: tuple[str, ...] = DEFAULT_TYPES
    number: int = 8
    bytes: int = 5 << 20
    total: int = 10 << 20


def checked(attachments: Iterable[Attachment], limits: AttachmentLimits) -> tuple[Attachment, ...]:
    """The attachments of a question, their types in the usual form.

    Raises :class:`~fairlead.errors.BadRequest`, :class:`~fairlead.errors.TooLarge` and
    :class:`~fairlead.errors.UnsupportedAttachment`, naming the attachment.
    """
    given = tuple(attachments)
    if len(given) > limits.number:
        raise TooLarge(
            f"'attachments' are {len(given)}; at most {limits.number} are taken with a question"
        )
    total = sum(len(attachment.data) for attachment in given)
    if total > limits.total:
        raise TooLarge(
            f"'attachments' have {total} bytes together; at most {limits.total} are taken with a "
            "question"
        )
    return tuple(
        check(attachment, limits, _called(number, attachment))
        for number, attachment in enumerate(given, 1)
    )


def check(attachment: Attachment, limits: AttachmentLimits, called: str) -> Attachment:
    """One attachment, ``called`` so in errors. Raises as :func:`checked`."""
    name, data = attachment.name, attachment.data
    if len(name) > MAX_NAME or not name.isprintable() or "/" in name or "\\" in name:
        raise BadRequest(
            f"the name of {called} must be a file's name: at most {MAX_NAME} printable characters, "
            "no slash"
        )
    # A parameter says nothing that the bytes do not: text is UTF-8, or it is refused.
    type = attachment.type.partition(";")[0].strip().lower()
    if not MEDIA_TYPE.fullmatch(type):
        raise BadRequest(f"the type of {called} must be a media type such as image/png")
    if type not in limits.types:
        taken = ", ".join(limits.types) if limits.types and limits.number else "none"
        raise UnsupportedAttachment(f"{called} is {type}, which is not taken here; taken: {taken}")
    if not data:
        raise BadRequest(f"{called} is empty")
    if len(data) > limits.bytes:
        raise TooLarge(f"{called} has {len(data)} bytes; at most {limits.bytes} are taken")
    begins = _BEGINS.get(type)
    if begins is not None and not begins(data):
        raise BadRequest(f"{called} is no {type}: its bytes begin otherwise")
    if is_text(type) and not _is_utf8(data):
        raise BadRequest(f"{called} is no {type} in UTF-8")
    return attachment if type == attachment.type else replace(attachment, type=type)


def takes(taken: Iterable[str], type: str) -> bool:
    """Whether one of ``taken`` stands for ``type``: itself, ``image/*`` or ``*/*``."""
    kind = type.partition("/")[0]
    return any(one in (type, f"{kind}/*", "*/*") for one in taken)


def _called(number: int, attachment: Attachment) -> str:
    name = attachment.name
    return f"attachment {number}" + (
        f" ({name[:100]})" if name and name[:100].isprintable() else ""
    )


def _is_utf8(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False
