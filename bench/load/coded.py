"""Compressed responses, decoded as they come."""

from __future__ import annotations

import zlib
from typing import Any

from backports import zstd

_HEAD_END = b"\r\n\r\n"


class Decoded:
    """One response in chunks (RFC 9112, section 7.1), whose body is in ``coding``."""

    def __init__(self, coding: str) -> None:
        self._decoder: Any = (
            zstd.ZstdDecompressor() if coding == "zstd" else zlib.decompressobj(zlib.MAX_WBITS | 16)
        )
        self._mark = b"content-encoding: " + coding.encode()
        self._rest = b""
        self._in_body = False

    def feed(self, data: bytes) -> bytes:
        """What of the head and of the body these bytes complete, as if it were not compressed.

        Raises ValueError for a body that is not in the coding asked for.
        """
        rest = self._rest + data
        out: list[bytes] = []
        if not self._in_body:
            head, end, rest_of = rest.partition(_HEAD_END)
            if not end:
                self._rest = rest
                return b""
            if self._mark not in head:
                raise ValueError("the server did not compress")
            out.append(head + end)
            self._in_body, rest = True, rest_of
        while True:
            size, end, body = rest.partition(b"\r\n")
            if not end or len(body) < int(size, 16) + 2:
                break
            out.append(self._decoder.decompress(body[: int(size, 16)]))
            rest = body[int(size, 16) + 2 :]
        self._rest = rest
        return b"".join(out)
