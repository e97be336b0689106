"""A proxy as a process: started, reloaded, killed, and its logs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Self

DEPLOY = Path(__file__).parents[2] / "deploy"


class ProxyProcess:
    """A proxy that writes its logs to its standard error. An async context manager.

    ``started`` is what it writes when it serves.
    """

    started = ""

    def __init__(self) -> None:
        #: What it is given beside this process's environment.
        self.environment: dict[str, str] = {}
        self._output = b""
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start, and wait until it serves."""
        self._output = b""
        self._process = await asyncio.create_subprocess_exec(
            *self.command(),
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=os.environ | self.environment,
        )
        self._reading = asyncio.create_task(self._read())
        await self.wait_for(self.started)

    async def wait_for(self, text: str, since: int = 0) -> None:
        """Wait until it has written ``text`` to its logs, after the first ``since`` bytes."""
        while text.encode() not in self._output[since:]:
            await self.more_logs()

    async def more_logs(self) -> None:
        """Wait until it has written more to its logs than was read so far."""
        assert self._reading is not None
        if self._reading.done():
            raise AssertionError(f"the proxy ended: {self._output.decode()}")
        self._news.clear()
        async with asyncio.timeout(90):
            await self._news.wait()

    async def kill(self) -> None:
        """SIGKILL to all its processes: every connection is gone."""
        assert self._process is not None
        assert self._reading is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._reading

    @property
    def logs(self) -> str:
        """What it has logged so far, of errors and of requests."""
        return self._output.decode()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(1 << 16):
            self._output += data
            self._news.set()
        self._news.set()


def replace(text: str, pattern: str, by: str) -> str:
    """A shipped configuration with one place changed for the test."""
    text, found = re.subn(pattern, lambda _: by, text, flags=re.MULTILINE)
    assert found == 1, f"{pattern} stands {found} times in the configuration"
    return text
