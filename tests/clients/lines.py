"""What the tests of the clients share: an answer, ways to spoil a connection, what is exact."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from fairlead.testing.toxic import (
    Behaviour,
    Cut,
    CutCharacter,
    HalfClose,
    Pass,
    Reset,
)
from tests.support.node import Script
from tests.support.server import ServerProcess

PACKAGE = Path(__file__).parents[2] / "clients" / "typescript"
READER = str(Path(__file__).parent / "reader.mjs")

#: Every token has characters of several bytes, a line separator and a number of its own.
TOKENS = tuple(f"{n} 导缆孔 👩‍👩‍👧 e\u0301\u2028" for n in range(40))
TEXT = "".join(TOKENS)
#: How many connections are spoiled in each test.
CUTS = int(os.environ.get("FAIRLEAD_CUTS", "150"))
#: Seconds that such a test may take, on a machine that is busy with other things.
PATIENCE = 300 + 2 * CUTS


def reader(url: str, **options: Any) -> Script:
    """The TypeScript client as a program, with these options."""
    return Script(READER, baseUrl=url, **options)


def hostile(seed: int) -> list[Behaviour]:
    """Ways to end too early, reproducibly. An answer that is there comes in 3 kB at once."""
    dice = random.Random(seed)
    kinds: list[Callable[[], Behaviour]] = [
        lambda: Cut(dice.randrange(3000)),
        lambda: Cut(dice.randrange(3000), reset=False),
        lambda: CutCharacter(dice.randrange(3000)),
        lambda: CutCharacter(dice.randrange(3000), reset=False),
        lambda: HalfClose(dice.randrange(3000)),
        Reset,
    ]
    weights = (3, 3, 4, 4, 1, 1)
    return [make() for make in dice.choices(kinds, weights, k=CUTS)] + [Pass()]


def exact(answer: dict[str, Any], text: str = TEXT) -> None:
    """The whole text, and no event twice or out of order."""
    assert answer["status"] == "completed", (answer.get("code"), answer.get("error"))
    assert answer["text"] == text
    assert answer["positions"] == sorted(set(answer["positions"]))


async def as_recorded(
    session: aiohttp.ClientSession, server: ServerProcess, answer: dict[str, Any]
) -> None:
    """The answer that a client has is the one that the server has."""
    async with session.get(
        f"{server.url}/streams/{answer['stream']}", headers={"Accept": "application/json"}
    ) as response:
        record = await response.json()
    for field in ("status", "text"):
        assert answer[field] == record[field]
    assert answer["positions"][-1] == record["position"]
