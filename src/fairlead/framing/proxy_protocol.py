"""The PROXY protocol: what a TCP proxy says of the client before the client's first byte.

Source: "The PROXY protocol", versions 1 and 2, HAProxy Technologies, 2020-03-05.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V1 = b"PROXY "
#: Version 1 ends within so many bytes (section 2.1).
_V1_MOST = 107
_V2_HEAD = 16
#: Addresses and whatever else a version 2 header brings along.
_V2_MOST = 4096


class Header(NamedTuple):
    """What was read: the ``length`` of the header in bytes; the client's address and port, or None
    where the proxy speaks for itself (``LOCAL``, ``UNKNOWN``: a health check)."""

    length: int
    client: tuple[str, int] | None


def parse(data: bytes) -> Header | None:
    """Read a header from the first bytes of a connection; None: more bytes are needed.

    Raises :class:`ValueError` for what is no such header: a connection that must begin with one and
    does not is not to be served (section 5).
    """
    if data.startswith(_V2):
        return _version_2(data)
    if data.startswith(_V1):
        return _version_1(data)
    if _V2.startswith(data) or _V1.startswith(data):
        return None
    raise ValueError("the connection does not begin with a PROXY header")


def _version_1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _V1_MOST)
    if end < 0:
        if len(data) >= _V1_MOST:
            raise ValueError("the PROXY header does not end")
        return None
    words = data[:end].split(b" ")
    length = end + 2
    if len(words) >= 2 and words[1] == b"UNKNOWN":
        return Header(length, None)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ValueError("the PROXY header is malformed")
    version = 4 if words[1] == b"TCP4" else 6
    return Header(length, (_address(words[2], version), _port(words[4])))


def _version_2(data: bytes) -> Header | None:
    if len(data) < _V2_HEAD:
        return None
    kind, family, size = struct.unpack_from(">BBH", data, len(_V2))
    if kind >> 4 != 2 or kind & 0x0F > 1:
        raise ValueError("the PROXY header has an unknown version or command")
    if size > _V2_MOST:
        raise ValueError("the PROXY header is too long")
    length = _V2_HEAD + size
    if len(data) < length:
        return None
    if kind & 0x0F == 0:  # LOCAL
        return Header(length, None)
    body = data[_V2_HEAD:length]
    match family >> 4:
        case 1 if size >= 12:
            host: str = str(ipaddress.IPv4Address(body[:4]))
            return Header(length, (host, struct.unpack_from(">H", body, 8)[0]))
        case 2 if size >= 36:
            host = str(ipaddress.IPv6Address(body[:16]))
            return Header(length, (host, struct.unpack_from(">H", body, 32)[0]))
        case 1 | 2:
            raise ValueError("the PROXY header is too short for its addresses")
        case _:  # UNSPEC, UNIX: no address that decisions could be made on
            return Header(length, None)


def _address(text: bytes, version: int) -> str:
    try:
        found = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        found = None
    if found is None or found.version != version:
        raise ValueError("the PROXY header names no address of its family")
    return str(found)


def _port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or int(text) > 65535:
        raise ValueError("the PROXY header names no port")
    return int(text)
