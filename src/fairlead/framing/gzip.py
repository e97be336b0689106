"""A gzip stream (RFC 1952) that is flushed with each piece, and costs its reader no compressor.

A compressor that lives as long as its reader would keep 9 KB and more for each, and would make the
same bytes anew for each. Here every piece is compressed by itself, as something that follows the
piece before: deflate's copies reach back into what the decoder has just shown (RFC 1951, section
2), and nothing else of a compressor's state matters to the decoder. So all that a reader needs is
the piece before, which it shares with the other readers of its stream, and so are the blocks.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

_LEVEL = 1
#: No name, no time, of no particular system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
#: A last block with nothing in it.
_LAST = b"\x03\x00"
#: Bytes of what was shown that a piece may copy from, if the piece before was shorter than _SHORT.
_REACH = 512
_SHORT = 64
#: A larger piece is catching up: it has enough to copy from in itself.
_LARGE = 4096
#: A still larger one is mostly media, which nothing makes smaller: it is passed on as it is, so
#: that nobody else waits.
_HUGE = 256 * 1024


class Gzip:
    """One stream. The pieces may be cut anywhere; each is complete at the decoder as soon as its
    bytes are there."""

    __slots__ = ("_before", "_crc", "_size")

    def __init__(self) -> None:
        self._before = b""
        self._crc = 0
        self._size = -1

    def encode(self, data: bytes) -> bytes:
        """The next piece, compressed and flushed."""
        before = self._before
        block = _shared(before, data) if len(data) < _LARGE else _alone(data)
        self._crc = zlib.crc32(data, self._crc)
        if len(data) >= _SHORT:
            # The very object, where it is short: the stream's other readers hold it as well.
            self._before = data if len(data) <= _REACH else data[-_REACH:]
        else:
            self._before = (before + data)[-_REACH:]
        if self._size < 0:
            self._size = len(data)
            return _HEADER + block
        self._size += len(data)
        return block

    def end(self) -> bytes:
        """What ends the stream."""
        begun = b"" if self._size >= 0 else _HEADER
        size = max(self._size, 0) & 0xFFFF_FFFF
        return begun + _LAST + self._crc.to_bytes(4, "little") + size.to_bytes(4, "little")


@lru_cache(maxsize=8)
def _shared(before: bytes, data: bytes) -> bytes:
    """The blocks of ``data``, which follows ``before``. The readers of a stream are woken one after
    the other, so that a few results remembered serve them all."""
    # A window of 1 KiB: the compressor is made anew for each piece, and small ones are made fast.
    if before:
        made = zlib.compressobj(_LEVEL, zlib.DEFLATED, -10, 1, zlib.Z_DEFAULT_STRATEGY, before)
    else:
        made = zlib.compressobj(_LEVEL, zlib.DEFLATED, -10, 1)
    return made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH)


def _alone(data: bytes) -> bytes:
    level = _LEVEL if len(data) < _HUGE else zlib.Z_NO_COMPRESSION
    made = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH)
