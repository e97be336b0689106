"""What an asker sends along with a question: pictures and files."""

from __future__ import annotations

import hashlib

import msgspec

#: Types whose bytes are UTF-8 text although their names do not begin with ``text/``.
_TEXTUAL = frozenset({"application/json", "application/xml", "application/yaml"})

#: The type of a file, by the end of its name.
TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "txt": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
}


class Attachment(msgspec.Struct, frozen=True):
    """One attachment: its media type (``image/png``), its bytes, and its file's name, if it has
    one."""

    type: str
    data: bytes
    name: str = ""

    def digest(self) -> bytes:
        """What two attachments share only if they are the same."""
        made = hashlib.sha256()
        for part in (self.type.encode(), self.name.encode("utf-8", "surrogatepass"), self.data):
            made.update(len(part).to_bytes(8, "big"))
            made.update(part)
        return made.digest()

    def __repr__(self) -> str:
        return f"Attachment({self.type!r}, {len(self.data)} bytes, {self.name!r})"


def is_text(type: str) -> bool:
    """Whether attachments of this type are text, in UTF-8."""
    return type.startswith("text/") or type in _TEXTUAL


def is_image(type: str) -> bool:
    """Whether attachments of this type are pictures."""
    return type.startswith("image/")


def type_of(name: str) -> str:
    """The media type that the end of a file's name tells; empty if it tells none."""
    return TYPES.get(name.rpartition(".")[2].lower(), "")
