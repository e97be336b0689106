"""Applications as processes, to stand behind the server."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@asynccontextmanager
async def python_app(app: str, folder: Path = _ROOT) -> AsyncGenerator[str]:
    """An ASGI application, named as for uvicorn; its URL."""
    command = (sys.executable, "-m", "uvicorn", app, "--port", "0")
    async with _started(*command, folder=folder) as url:
        yield url


@asynccontextmanager
async def node_app(script: str, *arguments: str) -> AsyncGenerator[str]:
    """A script of ``tests/js`` that prints its URL."""
    command = ("node", str(_ROOT / "tests/js" / script), *arguments)
    async with _started(*command, folder=_ROOT) as url:
        yield url


@asynccontextmanager
async def _started(*command: str, folder: Path) -> AsyncGenerator[str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    draining = None
    try:
        async with asyncio.timeout(90):
            async for line in process.stdout:
                if found := _ADDRESS.search(line.decode()):
                    break
            else:
                raise AssertionError("the application did not start")
        draining = asyncio.create_task(process.stdout.read())
        yield found[0]
    finally:
        process.kill()
        await process.wait()
        if draining is not None:
            await draining
