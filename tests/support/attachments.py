"""Attachments for tests: small, and of every kind."""

from __future__ import annotations

import base64
from typing import Any

from fairlead.events.attachment import Attachment

#: Each begins as its type says and holds every byte, among them LF and NUL.
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))
GIF = b"GIF89a" + bytes(range(256))
WEBP = b"RIFF\0\1\0\0WEBPVP8 " + bytes(range(256))
NOTES = "The harbour opens at seven. 港口七点开放。\n".encode()

PICTURE = Attachment("image/png", PNG, "mole.png")
TEXT = Attachment("text/plain", NOTES, "notes.txt")


def wire(attachment: Attachment) -> dict[str, Any]:
    """An attachment as a request's JSON holds it."""
    data = base64.b64encode(attachment.data).decode()
    return {"type": attachment.type, "name": attachment.name, "data": data}
