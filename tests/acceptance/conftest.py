"""What the acceptance tests share: a scripted upstream, an HTTP session, real servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import ScriptedUpstream
from tests.support.server import ServerProcess

Serve = Callable[..., ServerProcess]


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream, None]:
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
async def serve(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncGenerator[Serve, None]:
    """Makes servers that relay the scripted upstream; all on the same files unless told."""
    async with AsyncExitStack() as stack:

        def make(
            *arguments: str, data_dir: Path = tmp_path, executable: bool = False
        ) -> ServerProcess:
            server = ServerProcess(
                data_dir,
                "--upstream",
                upstream.base_url,
                "--model",
                "scripted",
                "--no-knowledge",
                *arguments,
                executable=executable,
            )
            stack.push_async_exit(server.__aexit__)
            return server

        yield make
