"""A server over scripted upstreams, for other people's clients of the vendors' APIs."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.sdks.serving import AT_ONCE, KEY, serving
from tests.support.server import ServerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncGenerator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    url = running.base_url
    away = {"name": "away", "base_url": "http://127.0.0.1:9/v1", "models": ["embed-1"]}
    async with serving(
        tmp_path_factory.mktemp("sdk"),
        away | {"max_retries": 0},
        {"name": "scripted", "base_url": url, "models": ["m-1", "embed-1"], "max_retries": 0},
        {"name": "failing", "base_url": url, "models": ["m-failing"], **AT_ONCE},
        heartbeat=0.2,
        budgets=[
            {"name": "asked", "unit": "requests", "limit": 100000},
            {"name": "written", "limit": 100000000},
        ],
        aliases=[{"name": "fast", "model": "m-1"}, {"name": "gpt-4o", "model": "m-1"}],
        flags=("--orphan-window", "0.3"),
    ) as server:
        yield server


@pytest.fixture
def upstream(running: ScriptedUpstream) -> ScriptedUpstream:
    """The model's server, with nothing scripted that another test wants."""
    running.script(Answer("Hello there, how are you?"))
    return running


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: ServerProcess) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client
