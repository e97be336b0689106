"""What the attacks share: an upstream that counts, servers with budgets, and the bound.

``FAIRLEAD_ATTACKS`` says how many times an attack is tried (200); 10,000 take minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.policy.tokens import estimate
from fairlead.testing.upstream import Answer, Pace, ReceivedRequest, ScriptedUpstream
from tests.support.server import ServerProcess

TIMES = int(os.environ.get("FAIRLEAD_ATTACKS", "200"))
KEYS = {"FAIRLEAD_API_KEYS": "ann=key-of-ann,bob=key-of-bob,eve=key-of-eve"}
ANN = {"Authorization": "Bearer key-of-ann"}
BOB = {"Authorization": "Bearer key-of-bob"}
EVE = {"Authorization": "Bearer key-of-eve"}

#: Seconds from token to token, as a quick model's server has it.
PACE = 0.005
#: How many tokens an answer has that is not told where to stop.
_ENDLESS = 5000
_WORDS = ("word ",) * _ENDLESS
#: Between a token's leaving the model's server and that server's hearing that no more is wanted lie
#: so many round trips at most: the token has to be read; the counters say that there is no more of
#: the step that is being fetched, of a whole one, and of what is left (each of them asked twice, if
#: others take some meanwhile); and the end of the connection has to be noticed.
ROUND_TRIPS = 8
#: Seconds between two looks at how long a round trip takes.
_LOOK = 0.02


class Watched(ServerProcess):
    """A server whose round trips are timed: from here, where the model's server runs, by way of its
    loop to its counters and back. A stall of either process lengthens one."""

    slowest = 0.0
    _watching: asyncio.Task[None] | None = None

    @property
    def wire(self) -> int:
        """Tokens of an answer that was cut which may have been on the wire: the model's server had
        sent them, and nobody had counted them when the connection was closed."""
        return 1 + math.ceil(ROUND_TRIPS * self.slowest / PACE)

    async def __aenter__(self) -> Watched:
        await self.start()
        self._watching = asyncio.create_task(self._watch())
        return self

    async def _end(self, number: signal.Signals) -> int:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        return await super()._end(number)

    async def _watch(self) -> None:
        async with aiohttp.ClientSession(headers=EVE) as session:
            before = time.monotonic()
            while True:
                # What comes in the pause is part of the next look.
                await asyncio.sleep(_LOOK)
                async with session.get(f"{self.url}/budgets") as response:
                    assert response.status == 200, await response.text()
                    await response.read()
                now = time.monotonic()
                self.slowest = max(self.slowest, now - before)
                before = now


Serve = Callable[..., Watched]


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream, None]:
    """A model that comes to no end before it is told to."""
    async with ScriptedUpstream() as server:
        server.script(_endless)
        yield server


def _endless(request: ReceivedRequest) -> Answer:
    return endless(request, read(request))


def endless(request: ReceivedRequest, prompt: int) -> Answer:
    """An answer that goes on until the model is told to stop, and its bill for so large a
    prompt."""
    most = min(_ENDLESS, request.most)
    usage = {"prompt_tokens": prompt, "completion_tokens": most}
    return Answer(tokens=_WORDS, usage=usage, pace=Pace(delay_s=PACE), obeys=True)


def read(request: ReceivedRequest) -> int:
    """What the model's server read of a request, in tokens."""
    return sum(map(estimate, request.message_texts()))


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=ANN) as session:
        yield session


@pytest.fixture
async def serve(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncGenerator[Serve, None]:
    """Makes servers with the given tables in their configuration, all on the same files."""
    async with AsyncExitStack() as stack:

        def make(tables: str, *arguments: str) -> Watched:
            config = tmp_path / "fairlead.toml"
            config.write_text(tables)
            server = Watched(
                tmp_path / "data",
                *("--config", str(config), "--upstream", upstream.base_url),
                *("--model", "scripted", "--no-knowledge", *arguments),
                env=KEYS,
            )
            stack.push_async_exit(server.__aexit__)
            return server

        yield make


def spent(upstream: ScriptedUpstream) -> int:
    """What the model's server read and wrote, in tokens, by its own count of what it wrote."""
    return sum(map(read, upstream.requests)) + upstream.tokens_sent


async def quiet(upstream: ScriptedUpstream) -> None:
    """Wait until nobody asks the model any more."""
    for request in upstream.requests:
        await request.wait_ended()


async def standing(
    session: aiohttp.ClientSession, server: ServerProcess, name: str, who: dict[str, str] = ANN
) -> dict[str, Any]:
    """How a budget stands, as the consumer sees it."""
    async with session.get(f"{server.url}/budgets", headers=who) as response:
        assert response.status == 200, await response.text()
        budgets = (await response.json())["budgets"]
    (found,) = [each for each in budgets if each["name"] == name]
    return dict(found)
