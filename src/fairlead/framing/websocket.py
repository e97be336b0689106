"""WebSocket frames as a server sends them (RFC 6455, section 5.2): whole, unmasked, uncompressed.

An unmasked frame does not depend on who receives it, so that one made once serves every reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_TEXT = 0x81  # FIN and the opcode 1
_BINARY = 0x82


class Message(NamedTuple):
    """What one frame carries: UTF-8 ``text``, or bytes."""

    text: bool
    payload: bytes


def text_frame(payload: bytes) -> bytes:
    """A frame of UTF-8 text."""
    size = len(payload)
    if size < 1 << 16 and size >= 126:  # nearly every event's
        return b"\x81\x7e%c%c%b" % (size >> 8, size & 0xFF, payload)
    return _head(_TEXT, size) + payload


def binary_frame(payload: bytes) -> bytes:
    """A frame of bytes."""
    return _head(_BINARY, len(payload)) + payload


def messages(frames: bytes) -> Iterator[Message]:
    """What frames made here carry, in their order."""
    at = 0
    while at < len(frames):
        text, size = frames[at] == _TEXT, frames[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(frames[at : at + width], "big")
            at += width
        yield Message(text, frames[at : at + size])
        at += size


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")
