"""Applications as processes, to stand behind the server."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.forked import Forked, fork

_ROOT = Path(__file__).parents[2]
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@asynccontextmanager
async def python_app(app: str, folder: Path = _ROOT) -> AsyncGenerator[str]:
    """An ASGI application, named as for uvicorn; its URL."""
    process = await fork(
        *("-m", "uvicorn", app, "--port", "0"), env=os.environ, folder=folder, stderr=True
    )
    assert process.stderr is not None
    async with _started(process, process.stderr) as url:
        yield url


@asynccontextmanager
async def node_app(script: str, *arguments: str) -> AsyncGenerator[str]:
    """A script of ``tests/js`` that prints its URL."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(_ROOT / "tests/js" / script), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with _started(process, process.stdout) as url:
        yield url


@asynccontextmanager
async def _started(
    process: asyncio.subprocess.Process | Forked, output: asyncio.StreamReader
) -> AsyncGenerator[str]:
    draining = None
    try:
        async with asyncio.timeout(90):
            async for line in output:
                if found := _ADDRESS.search(line.decode()):
                    break
            else:
                raise AssertionError("the application did not start")
        draining = asyncio.create_task(output.read())
        yield found[0]
    finally:
        process.kill()
        await process.wait()
        if draining is not None:
            await draining
