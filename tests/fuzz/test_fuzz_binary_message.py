"""Run the fuzz target on its seeds and on a bounded number of mutations, reproducibly."""

from __future__ import annotations

import random

import pytest

from fairlead.events.attachment import Attachment
from fairlead.framing.message import Upload
from tests.fuzz import fuzz_binary_message
from tests.fuzz.fuzz_binary_message import SEEDS, check

TOKENS = (b"\n", b"{", b"}", b'"', b":", b",", b"[", b"null", b"\\", b"\\ud800", b"\xff", b"\0",
          b'"id":"2",', b'"data":', b'"type":"attachment"', b'"content_type":1',
          b"\xe2\x80")  # fmt: skip


def mutate(seed: bytes, rng: random.Random) -> bytes:
    out = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(4):
            case 0:
                out[at:at] = rng.choice(TOKENS)
            case 1:
                del out[at : at + rng.randint(1, 8)]
            case 2:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                out[at:at] = out[at : at + rng.randint(1, 30)]
    return bytes(out)


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed: bytes) -> None:
    check(seed)


@pytest.mark.parametrize("seed_number", range(len(SEEDS)))
def test_mutations(seed_number: int) -> None:
    rng = random.Random(seed_number)
    for _ in range(1000):
        check(mutate(SEEDS[seed_number], rng))


def test_the_target_notices_a_wrong_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Upload("a", Attachment("image/png", b"\x89PNG"))
    monkeypatch.setattr(fuzz_binary_message, "decode_binary", lambda data: wrong)
    with pytest.raises(AssertionError):
        check(SEEDS[0])
