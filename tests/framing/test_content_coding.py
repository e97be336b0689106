"""``Accept-Encoding`` as it is sent, as it may be sent, and as nobody should send it."""

from __future__ import annotations

import pytest

from fairlead.framing.content_coding import negotiate

OFFERED = ("gzip", "zstd")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("gzip, deflate, br, zstd", "gzip"),  # browsers
        ("gzip, deflate, br", "gzip"),
        ("zstd, gzip", "gzip"),  # equal weights: what costs less here
        ("zstd;q=1.0, gzip;q=0.8", "zstd"),
        ("zstd", "zstd"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip ; Q=0.5", "gzip"),
        ("gzip\t;\tq=0.001", "gzip"),
        ("identity, gzip", "gzip"),
        ("gzip;q=0.5, *;q=0", "gzip"),
        # Uncompressed: wanted, or in doubt.
        ("", ""),
        ("identity", ""),
        ("*", ""),
        ("br", ""),
        ("deflate", ""),
        ("gzip;q=0", ""),
        ("gzip;q=0.000", ""),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=0.5, *", ""),
        ("*;q=0", ""),
        ("identity;q=0", ""),
        # Malformed members count for nothing.
        ("gzip;q=2", ""),
        ("gzip;q=0.5000", ""),
        ("gzip;q=-1", ""),
        ("gzip;q=nan", ""),
        ("gzip;level=1", ""),
        ("gzip;q=1;q=0", ""),
        ("gzip;", ""),
        ("gzip zstd", ""),
        ("gzip;q=x, zstd", "zstd"),
        (",,, gzip ,,", "gzip"),
        ("gzip;q=0, gzip", ""),  # twice: the first
        (", " * 100 + "gzip", ""),  # far behind
    ],
)
def test_the_choice(header: str, chosen: str) -> None:
    assert negotiate(header, OFFERED) == chosen


def test_only_what_is_offered() -> None:
    assert negotiate("zstd, gzip;q=0.1", ("gzip",)) == "gzip"
    assert negotiate("gzip", ()) == ""
