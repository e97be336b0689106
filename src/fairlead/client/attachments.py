"""What a program attaches to a question: files by their paths, or bytes."""

from __future__ import annotations

import os
from pathlib import Path

from fairlead.errors import BadRequest, TooLarge
from fairlead.events.attachment import Attachment, type_of

#: No file beyond this is read: no server takes that much by default.
MAX_FILE = 64 << 20

#: How pictures begin, for bytes that come without a name.
_BEGINS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)

#: A path, the bytes of a picture or of a text, or an attachment whose type is stated.
Attachable = str | os.PathLike[str] | bytes | Attachment


def attached(given: Attachable) -> Attachment:
    """The attachment that ``given`` means. A file's type follows from its name, that of bytes from
    how they begin: what is no picture goes as text.

    Raises :class:`~fairlead.errors.BadRequest` for a file that cannot be read or whose name tells
    no type, and :class:`~fairlead.errors.TooLarge`.
    """
    if isinstance(given, Attachment):
        return given
    if isinstance(given, bytes):
        type = next((type for begin, type in _BEGINS if given.startswith(begin)), "text/plain")
        return Attachment(type, given)
    path = Path(given)
    type = type_of(path.name)
    if not type:
        raise BadRequest(
            f"the name of {path} tells no type that can be attached: give an Attachment with its "
            "type, or the file a name such as x.png, x.jpg, x.txt, x.md, x.csv or x.json"
        )
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise TooLarge(f"{path} is larger than {MAX_FILE} bytes")
    return Attachment(type, data, path.name)
