"""Servers for the documentation's examples."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.server import ServerProcess

Servers = Callable[[str], Awaitable[ServerProcess]]

#: Flags and variables of the server that an example is run against, by the value of its mark.
KINDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "": ([], {}),
    "cors": (
        ["--cors-origins", "https://app.example", "--cors-origins", "http://localhost:8080"],
        {},
    ),
    "keys": ([], {"FAIRLEAD_API_KEYS": "alice=9f2c6c1e,bob=51d0a7b3"}),
    "budgets": (["--config", str(Path(__file__).parent / "budgets.toml")], {}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Servers]:
    """A fresh server of each kind, started when first asked for, with the built-in documents."""
    async with AsyncExitStack() as stack:
        started: dict[str, ServerProcess] = {}

        async def server(kind: str) -> ServerProcess:
            if kind not in started:
                flags, env = KINDS[kind]
                data: Path = tmp_path_factory.mktemp("data")
                made = ServerProcess(data, "--extractive-pace", "0.002", *flags, env=env)
                started[kind] = await stack.enter_async_context(made)
            return started[kind]

        yield server
