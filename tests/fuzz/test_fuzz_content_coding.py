"""Run the fuzz target on its seeds and on a bounded number of mutations, reproducibly."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import fuzz_content_coding
from tests.fuzz.fuzz_content_coding import SEEDS, check

TOKENS = (b"gzip", b"zstd", b"identity", b"*", b",", b";", b"q=", b"q=0", b"q=1", b"0.5", b"x-",
          b" ", b"\t", b"\xff", b"\0", b"=")  # fmt: skip


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
    for _ in range(2000):
        check(mutate(SEEDS[seed_number], rng))


def test_the_target_notices_a_wrong_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_content_coding, "negotiate", lambda header, offered: "gzip")
    with pytest.raises(AssertionError):
        check(b"br")
