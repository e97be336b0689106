"""A Zstandard stream (RFC 8878) that is flushed with each piece.

Zstandard is in Python since 3.14; before, the extra ``zstd`` installs it.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd

    AVAILABLE = True
else:
    try:
        from backports import zstd

        AVAILABLE = True
    except ImportError:
        AVAILABLE = False

INSTALL = "pip install 'fairlead[zstd]'"


class Zstd:
    """One stream. Its compressor lasts as long as it does, with tables as small as they can be:
    about 32 KB, where the library's own choice for level 1 would take 100."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        parameter = zstd.CompressionParameter
        self._compressor = zstd.ZstdCompressor(
            options={
                parameter.compression_level: 1,
                parameter.window_log: 10,
                parameter.hash_log: 6,
                parameter.chain_log: 6,
            }
        )

    def encode(self, data: bytes) -> bytes:
        """The next piece, compressed and flushed."""
        return self._compressor.compress(data, self._compressor.FLUSH_BLOCK)

    def end(self) -> bytes:
        """What ends the stream."""
        return self._compressor.flush(self._compressor.FLUSH_FRAME)
