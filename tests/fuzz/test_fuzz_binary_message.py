"""Run the fuzz target on its seeds and on a bounded number of mutations, reproducibly."""

from __future__ import annotations

import random

import pytest

from fairlead.events.attachment import Attachment
from fairlead.framing.message import Upload
from tests.fuzz import fuzz_binary_message
from tests.fuzz.fuzz_binary_message import SEEDS, check
from tests.fuzz.mutation import mutate

TOKENS = (b"\n", b"{", b"}", b'"', b":", b",", b"[", b"null", b"\\", b"\\ud800", b"\xff", b"\0",
          b'"id":"2",', b'"data":', b'"type":"attachment"', b'"content_type":1',
          b"\xe2\x80")  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed: bytes) -> None:
    check(seed)


@pytest.mark.parametrize("seed_number", range(len(SEEDS)))
def test_mutations(seed_number: int) -> None:
    rng = random.Random(seed_number)
    for _ in range(1000):
        check(mutate(SEEDS[seed_number], TOKENS, rng))


def test_the_target_notices_a_wrong_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Upload("a", Attachment("image/png", b"\x89PNG"))
    monkeypatch.setattr(fuzz_binary_message, "decode_binary", lambda data: wrong)
    with pytest.raises(AssertionError):
        check(SEEDS[0])
