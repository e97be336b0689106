"""Read a document's file as text."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import stat
from pathlib import Path

from fairlead.knowledge import chunking
from fairlead.knowledge.chunking import Format
from fairlead.knowledge.documents import Draft

#: What is read, and as what.
FORMATS: dict[str, Format] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".rst": "text",
}

#: Larger files are skipped, unless the caller sets another limit (bytes).
MAX_BYTES = 5_000_000


class Unsuitable(Exception):
    """A file is no document; the message says why, for people. ``passing``: it may be one later
    without being changed (it could not be read now)."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing


def read(file: Path, path: str, max_bytes: int) -> tuple[bytes, str]:
    """The content of ``file`` and the digest that tells whether the document changed.

    ``path`` is the document's path in its source. Raises :class:`Unsuitable`.
    """
    if file.suffix.lower() not in FORMATS:
        raise Unsuitable(f"unknown type {file.suffix}" if file.suffix else "no known type")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Unsuitable("its name is not UTF-8") from None
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Unsuitable("not a regular file")
        if about.st_size > max_bytes:
            raise Unsuitable(f"larger than {max_bytes:,} bytes")
        # A read of n bytes takes a buffer of n bytes, however few there are.
        with file.open("rb") as opened:
            data = opened.read(about.st_size + 1)
    except OSError as error:
        raise Unsuitable(f"cannot be read: {error.strerror}", passing=True) from error
    if len(data) > about.st_size:
        raise Unsuitable("growing while it is read", passing=True)
    return data, digest(data)


def digest(data: bytes) -> str:
    """What tells whether a document changed, or the way in which it is read."""
    return hashlib.sha256(b"%d\0" % chunking.VERSION + data).hexdigest()


async def taken(data: bytes, name: str) -> Draft:
    """What to put of a file that was sent, by its name. Raises :class:`Unsuitable`."""
    file = Path(name)
    if file.suffix.lower() not in FORMATS:
        raise Unsuitable(f"unknown type {file.suffix}" if file.suffix else "no known type")
    return await asyncio.to_thread(draft, data, digest(data), name, file)


def draft(data: bytes, digest: str, path: str, file: Path) -> Draft:
    """Make a document of a file's content. Raises :class:`Unsuitable` if it holds no text."""
    text = decode(data)
    chunked = chunking.chunk(text, FORMATS[file.suffix.lower()])
    if not chunked.chunks:
        raise Unsuitable("empty")
    return Draft(path=path, title=file.stem, digest=digest, text=text, chunked=chunked)


def decode(data: bytes) -> str:
    """The text of a file in UTF-8, in UTF-16 with a byte order mark, or in GB 18030 if it reads as
    Chinese; line ends become ``\\n``. Raises :class:`Unsuitable`."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = _strict(data, "utf-16")
    else:
        text = _strict(data, "utf-8-sig")
        if text is None and _is_chinese(data):
            text = _strict(data, "gb18030")
    if text is None:
        raise Unsuitable("its encoding is none of UTF-8, UTF-16 with a byte order mark, GB 18030")
    if "\0" in text:
        raise Unsuitable("binary")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_chinese(data: bytes) -> bool:
    """Whether most pairs of bytes above ASCII are common Chinese characters or punctuation.

    Nearly every text in Latin-1 could be read as GB 18030 too, but only as rare characters: the
    common ones are rows A1 to A3 and B0 to D7 of GB 2312, with both bytes above A0.
    """
    common = pairs = i = 0
    while i < len(data):
        first = data[i]
        if first < 0x80:
            i += 1
            continue
        second = data[i + 1] if i + 1 < len(data) else 0
        pairs += 1
        if second > 0xA0 and (0xA1 <= first <= 0xA3 or 0xB0 <= first <= 0xD7):
            common += 1
        i += 2
    return pairs > 0 and common >= 0.7 * pairs
