"""Real servers with plugins that stand in files beside their configuration."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import ScriptedUpstream
from tests.support.server import ServerProcess

#: Makes a server from its configuration and the files beside it.
Serve = Callable[..., ServerProcess]


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream, None]:
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    def make(
        config: str, *args: str, upstream: ScriptedUpstream | None = None, **files: str
    ) -> ServerProcess:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        file = tmp_path / "fairlead.toml"
        file.write_text(config)
        flags = ["--config", str(file), *args]
        if upstream is not None:
            flags += ["--upstream", upstream.base_url, "--model", "echo"]
        return ServerProcess(tmp_path / "data", *flags)

    return make


@pytest.fixture
async def stack() -> AsyncGenerator[AsyncExitStack, None]:
    async with AsyncExitStack() as stack:
        yield stack
