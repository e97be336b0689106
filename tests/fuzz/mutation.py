"""Bytes that are nearly right, reproducibly."""

from __future__ import annotations

import random
from collections.abc import Sequence


def mutate(seed: bytes, tokens: Sequence[bytes], rng: random.Random) -> bytes:
    """``seed`` after up to six changes; ``tokens`` are what means something where it is read."""
    out = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(4):
            case 0:
                out[at:at] = rng.choice(tokens)
            case 1:
                del out[at : at + rng.randint(1, 8)]
            case 2:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                out[at:at] = out[at : at + rng.randint(1, 30)]
    return bytes(out)
