"""Fuzz target for the parser of clients' binary messages.

By hand, where atheris is installed: ``python -m tests.fuzz.fuzz_binary_message [corpus folder]``.
In the test run: tests/fuzz/test_fuzz_binary_message.py feeds it mutated seeds.
"""

from __future__ import annotations

import importlib
import json
import sys

from fairlead.framing.message import MAX_HEAD, MAX_ID, Malformed, Upload, decode_binary

SEEDS: tuple[bytes, ...] = (
    b'{"type":"attachment","id":"a","data":{"content_type":"image/png","data":""}}\n\x89PNG\r\n\x1a\n',
    b'{"id":"1","data":{"name":"\\u00e9","content_type":"a/b"},"type":"attachment","x":[{}]}\n\n\n',
    b'{"type":"media","stream":"s","position":"p","data":{"content_type":"a/b"}}\n\0\xff',
    b'{"type":"attachment","id":7,"data":null}\n',
    b'{"type":"attachment","id":"' + b"x" * MAX_ID + b'","data":{"content_type":""}}\nbytes',
    b"no line at all" * 400,
)


def check(fuzz: bytes) -> None:
    """Raise AssertionError, or whatever the parser raised, if it misbehaves on this input."""
    found = decode_binary(fuzz)
    assert isinstance(found, Upload | Malformed)
    assert len(found.id) <= MAX_ID
    if isinstance(found, Malformed):
        assert found.error.message
        return
    head, line, data = fuzz.partition(b"\n")
    assert line
    assert len(head) <= MAX_HEAD
    assert found.attachment.data == data
    # Another parser reads the same out of the line.
    said = json.loads(head.decode(errors="replace"))  # what is passed over may be anything
    assert found.id == said["id"]
    assert found.attachment.type == said["data"]["content_type"]
    assert found.attachment.name == said["data"].get("name", "")


def main() -> None:
    # By name: atheris is no dependency, ships no types and does not exist on every platform.
    atheris = importlib.import_module("atheris")
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
