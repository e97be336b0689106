"""The articles' servers as processes."""

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
async def python_sample(module: str = "fastapi_sample") -> AsyncGenerator[str]:
    """A sample in FastAPI; its URL."""
    app = f"tests.articles.{module}:app"
    async with _started(sys.executable, "-m", "uvicorn", app, "--port", "0") as url:
        yield url


@asynccontextmanager
async def express_sample(pause_ms: int, events: int) -> AsyncGenerator[str]:
    """The sample in Express; its URL."""
    script = str(_ROOT / "tests/js/express-sample.mjs")
    async with _started("node", script, "0", str(pause_ms), str(events)) as url:
        yield url


@asynccontextmanager
async def _started(*command: str) -> AsyncGenerator[str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    draining = None
    try:
        async with asyncio.timeout(30):
            async for line in process.stdout:
                if found := _ADDRESS.search(line.decode()):
                    break
            else:
                raise AssertionError("the sample did not start")
        draining = asyncio.create_task(process.stdout.read())
        yield found[0]
    finally:
        process.kill()
        await process.wait()
        if draining is not None:
            await draining
