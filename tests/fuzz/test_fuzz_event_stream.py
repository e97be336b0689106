"""Run the fuzz target on its seeds and on a bounded number of mutations, reproducibly."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import fuzz_event_stream
from tests.fuzz.fuzz_event_stream import SEEDS, check
from tests.fuzz.mutation import mutate

TOKENS = (b"\n", b"\r", b"\r\n", b"\n\n", b":", b"data: ", b"id: ", b"event", b"retry: 1", b"\0",
          b"\xef\xbb\xbf", b"\xe2\x80", b"\xff", b" ")  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed: bytes) -> None:
    check(seed)


@pytest.mark.parametrize("seed_number", range(len(SEEDS)))
def test_mutations(seed_number: int) -> None:
    rng = random.Random(seed_number)
    for _ in range(500):
        check(mutate(SEEDS[seed_number], TOKENS, rng))


def test_the_target_notices_a_wrong_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_event_stream, "_read", lambda pieces, limit: ([], False))
    with pytest.raises(AssertionError):
        check(SEEDS[0])
