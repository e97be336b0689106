"""A server over scripted upstreams, for other people's clients of the vendors' APIs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.support.server import ServerProcess

KEY = "the-key-of-a-test-0123456789abcdef"
OTHER_KEY = "the-key-of-another-0123456789abcdef"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncGenerator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("sdk")
    file = folder / "fairlead.toml"
    file.write_text(
        f"""
heartbeat = 0.2

[[keys]]
consumer = "tester"
key_env = "TESTER_KEY"

[[keys]]
consumer = "another"
key_env = "OTHER_KEY"

[[upstreams]]
name = "away"
base_url = "http://127.0.0.1:9/v1"
models = ["embed-1"]
max_retries = 0

[[upstreams]]
name = "scripted"
base_url = "{running.base_url}"
models = ["m-1", "embed-1"]
max_retries = 0

[[upstreams]]
name = "failing"
base_url = "{running.base_url}"
models = ["m-failing"]
max_retries = 0
max_wait = 0
breaker_failures = 0

[[budgets]]
name = "asked"
unit = "requests"
limit = 100000

[[budgets]]
name = "written"
limit = 100000000

[[aliases]]
name = "fast"
model = "m-1"

[[aliases]]
name = "gpt-4o"
model = "m-1"
""",
        encoding="utf-8",
    )
    flags = ("--config", str(file), "--orphan-window", "0.3")
    async with ServerProcess(
        folder / "data", *flags, env={"TESTER_KEY": KEY, "OTHER_KEY": OTHER_KEY}
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
