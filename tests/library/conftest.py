"""Programs with Fairlead inside, served by plain uvicorn as their users do."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from tests.support.forked import fork

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextlib.asynccontextmanager
async def served(app: ASGIApp, **options: Any) -> AsyncGenerator[str, None]:
    """Serve an application in this process, with its lifespan; its address. ``options`` are
    uvicorn's."""
    config = uvicorn.Config(
        app, port=0, lifespan="on", log_level="warning", timeout_graceful_shutdown=10, **options
    )
    server = uvicorn.Server(config)
    listening = asyncio.Event()
    startup = server.startup

    async def started(*args: object, **kwargs: object) -> None:
        await startup(*args, **kwargs)  # type: ignore[arg-type]
        listening.set()

    server.startup = started  # type: ignore[method-assign]
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(contextlib.closing(config.bind_socket()))
        serving = asyncio.create_task(server._serve([sock]))
        waiting = asyncio.create_task(listening.wait())
        await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            raise AssertionError("the application did not start")
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def example(name: str, data_dir: Path, **env: str) -> AsyncGenerator[str, None]:
    """Serve an example as a process; its address."""
    process = await fork(
        *("-m", "uvicorn", f"{name}:app", "--port", "0"),
        folder=EXAMPLES,
        env=os.environ | {"DATA_DIR": str(data_dir)} | env,
        stderr=True,
    )
    assert process.stderr is not None
    lines = b""
    try:
        async with asyncio.timeout(90):
            while b"running on " not in lines:
                line = await process.stderr.readline()
                assert line, lines.decode()
                lines += line
        yield lines.decode().partition("running on ")[2].split()[0]
    finally:
        process.kill()
        await process.stderr.read()
        await process.wait()
