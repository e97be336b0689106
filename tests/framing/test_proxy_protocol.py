"""What a proxy says of the client, as far as it may be believed at all."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.framing.proxy_protocol import Header, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(family: int, body: bytes, command: int = 1) -> bytes:
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, family, len(body)) + body


def v2_tcp(client: str, port: int, extra: bytes = b"") -> bytes:
    found = ipaddress.ip_address(client)
    packed = found.packed + found.packed + struct.pack(">HH", port, 80)
    return v2(0x11 if found.version == 4 else 0x21, packed + extra)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n", ("192.0.2.7", 4711)),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", ("2001:db8::7", 4711)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (v2_tcp("192.0.2.7", 4711), ("192.0.2.7", 4711)),
        (v2_tcp("2001:db8::7", 4711, b"\x03\x00\x04abcd"), ("2001:db8::7", 4711)),
        (v2(0x00, b"", command=0), None),
        (v2(0x31, b"x" * 216), None),
    ],
)
def test_headers(data: bytes, expected: tuple[str, int] | None) -> None:
    assert parse(data + b"GET / HTTP/1.1") == Header(len(data), expected)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 4711 80\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 80\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY " + b"x" * 200,
        v2(0x11, b"short"),
        v2(0x21, b"x" * 12),
        SIGNATURE + b"\x31\x11\x00\x0c" + b"x" * 12,
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"PROXY header"):
        parse(data)


@given(st.ip_addresses().map(str), st.integers(0, 65535), st.integers(0, 300), st.data())
def test_it_may_come_in_pieces(client: str, port: int, extra: int, data: st.DataObject) -> None:
    whole = v2_tcp(client, port, b"\0" * extra)
    cut = data.draw(st.integers(1, len(whole) - 1))
    assert parse(whole[:cut]) is None
    assert parse(whole) == Header(len(whole), (client, port))


@given(st.binary(max_size=300))
def test_whatever_comes_is_survived(data: bytes) -> None:
    for begun in (data, SIGNATURE + data, b"PROXY " + data):
        try:
            found = parse(begun)
        except ValueError:
            continue
        assert found is None or 0 < found.length <= len(begun)
