"""Run the fuzz target on its seeds and on a bounded number of mutations, reproducibly."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import fuzz_content_coding
from tests.fuzz.fuzz_content_coding import SEEDS, check
from tests.fuzz.mutation import mutate

TOKENS = (b"gzip", b"zstd", b"identity", b"*", b",", b";", b"q=", b"q=0", b"q=1", b"0.5", b"x-",
          b" ", b"\t", b"\xff", b"\0", b"=")  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed: bytes) -> None:
    check(seed)


@pytest.mark.parametrize("seed_number", range(len(SEEDS)))
def test_mutations(seed_number: int) -> None:
    rng = random.Random(seed_number)
    for _ in range(2000):
        check(mutate(SEEDS[seed_number], TOKENS, rng))


def test_the_target_notices_a_wrong_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_content_coding, "negotiate", lambda header, offered: "gzip")
    with pytest.raises(AssertionError):
        check(b"br")
