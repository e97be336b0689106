"""The real server over a scripted model, and lines to it that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.testing.toxic import ToxicProxy
from fairlead.testing.upstream import ScriptedUpstream
from tests.support.server import ServerProcess

Serve = Callable[..., Awaitable[ServerProcess]]
Connect = Callable[[ServerProcess], Awaitable[ToxicProxy]]


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream]:
    """A model server, to be scripted."""
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
async def serve(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncGenerator[Serve]:
    """Starts servers (all on the same files) that ask ``upstream``; further flags as arguments.

    They search no documents unless ``knowledge=True``; clients come back at once.
    """
    async with AsyncExitStack() as stack:

        async def start(*flags: str, knowledge: bool = False, **env: str) -> ServerProcess:
            server = ServerProcess(
                tmp_path / "data",
                "--upstream",
                upstream.base_url,
                "--model",
                "scripted",
                *(() if knowledge else ("--no-knowledge",)),
                *(() if "--retry" in flags else ("--retry", "0.02")),
                *flags,
                env=env,
            )
            return await stack.enter_async_context(server)

        yield start


@pytest.fixture
async def connect() -> AsyncGenerator[Connect]:
    """Makes lines to servers."""
    async with AsyncExitStack() as stack:

        async def make(server: ServerProcess) -> ToxicProxy:
            return await stack.enter_async_context(ToxicProxy(server.port))

        yield make


@pytest.fixture
async def http() -> AsyncGenerator[aiohttp.ClientSession]:
    """A client for the rest: documents, stops, health."""
    async with aiohttp.ClientSession() as session:
        yield session


async def ready(http: aiohttp.ClientSession, server: ServerProcess) -> dict[str, Any]:
    """What ``/health/ready`` says."""
    async with http.get(f"{server.url}/health/ready") as response:
        found: dict[str, Any] = await response.json()
        return found


async def until_readers(http: aiohttp.ClientSession, server: ServerProcess, n: int) -> None:
    """Ask until so many readers are connected."""
    async with asyncio.timeout(90):
        while (await ready(http, server))["readers"] != n:
            pass
