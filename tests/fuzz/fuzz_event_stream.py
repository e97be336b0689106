"""Fuzz target for the event-stream parser.

By hand, where atheris is installed: ``python -m tests.fuzz.fuzz_event_stream [corpus folder]``.
In the test run: tests/fuzz/test_fuzz_event_stream.py feeds it mutated seeds.

The first bytes choose limit and split; the rest is the stream.
"""

from __future__ import annotations

import importlib
import sys

from fairlead.framing.event_stream import Frame, FrameTooLarge, Parser
from tests.framing.spec_parser import interpret

SEEDS: tuple[bytes, ...] = (
    b"\xff\x05data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n",
    b"\xff\x01\xef\xbb\xbfid: 1\r\nevent: token\r\ndata: a\r\ndata: b\r\n\r\n",
    b"\x20\x03: heartbeat\nretry: 5000\ndata: x\r\rid:\0\ndata\n\n",
    b"\xff\x02" + "data: h\u2028\u00e9\u0085\U0001f94c\n\n".encode(),
    b"\x10\x07data: 0123456789012345678901234567890123456789\n\n",
    b"\xff\x04\n\r\r\n\n\rdata:\n\ndata\n\nevent\nid\nretry\n:\n\n",
)  # fmt: skip


def _read(pieces: list[bytes], limit: int) -> tuple[list[Frame], bool]:
    parser = Parser(max_event_bytes=limit)
    frames: list[Frame] = []
    try:
        for piece in [*pieces, b""]:
            frames += parser.feed(piece)
    except FrameTooLarge:
        return frames, True
    return frames, False


def check(fuzz: bytes) -> None:
    """Raise AssertionError, or whatever the parser raised, if it misbehaves on this input."""
    if len(fuzz) < 2:
        return
    limit, step, stream = fuzz[0], fuzz[1] % 16 + 1, fuzz[2:]
    limit = 1 << 20 if limit == 0xFF else limit + 1
    pieces = [stream[i : i + step] for i in range(0, len(stream), step)]
    frames, failed = _read(pieces, limit)
    assert (frames, failed) == _read([stream], limit)
    expected = interpret(stream).frames
    assert frames == expected[: len(frames)]
    assert failed or frames == expected
    for frame in frames:
        frame.data.decode()


def main() -> None:
    # By name: atheris is no dependency, ships no types and does not exist on every platform.
    atheris = importlib.import_module("atheris")
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
