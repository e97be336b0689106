"""Driving :mod:`tests.stores.child`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.stores.conftest import SOON

ROOT = Path(__file__).parents[2]


class Child:
    """A process with a store."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def tell(self, *command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    async def hear(self) -> Any:
        """The next thing it says; None if it has ended."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), SOON)
        # A killed process may leave half a line, which says nothing.
        return json.loads(line) if line.endswith(b"\n") else None

    async def ask(self, *command: Any) -> Any:
        self.tell(*command)
        return await self.hear()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def child(path: Path, *settings: str) -> AsyncGenerator[Child]:
    """A process that has the journal at ``path`` open; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.stores.child",
        str(path),
        *settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    child = Child(process)
    try:
        assert await child.hear() == "ready"
        yield child
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), SOON)
            except TimeoutError:
                await child.kill()
                raise
