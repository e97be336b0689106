"""Fuzz target for the choice of a content coding.

By hand, where atheris is installed: ``python -m tests.fuzz.fuzz_content_coding [corpus folder]``.
In the test run: tests/fuzz/test_fuzz_content_coding.py feeds it mutated seeds.
"""

from __future__ import annotations

import importlib
import re
import sys

from fairlead.framing.content_coding import negotiate

SEEDS: tuple[bytes, ...] = (
    b"gzip, deflate, br, zstd",
    b"zstd;q=1.0, gzip;q=0.8, identity;q=0.5, *;q=0",
    b"x-gzip ;\tq=0.001 , identity;q=0",
    b"gzip;q=0,zstd;q=0.000,*;q=1",
    b",;=,gzip;;q=1,\xff\x00gzip",
)
OFFERED = ("gzip", "zstd")
_NAMED = re.compile(r"(?:^|,)[ \t]*(?:x-)?(gzip|zstd)[ \t]*(?=[;,]|$)", re.IGNORECASE)


def check(fuzz: bytes) -> None:
    """Raise AssertionError, or whatever was raised, if the choice is wrong for this header."""
    header = fuzz.decode("latin-1")
    chosen = negotiate(header, OFFERED)
    assert chosen in ("", *OFFERED)
    if chosen:
        # Never anything that the client has not named.
        assert chosen in [name.lower() for name in _NAMED.findall(header)]
        # Nor what it has forbidden since, nor what is not there.
        assert negotiate(f"{chosen};q=0,{header}", OFFERED) != chosen
        others = tuple(name for name in OFFERED if name != chosen)
        assert negotiate(header, others) != chosen
    # A client that wants nothing compressed above all gets nothing compressed.
    assert negotiate(f"identity;q=1,gzip;q=0.9,zstd;q=0.9,{header}", OFFERED) == ""


def main() -> None:
    # By name: atheris is no dependency, ships no types and does not exist on every platform.
    atheris = importlib.import_module("atheris")
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
