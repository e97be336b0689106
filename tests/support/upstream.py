"""A model server as a process of its own, which can be killed and comes back on the same port."""

from __future__ import annotations

import asyncio
import os
import signal
from types import TracebackType
from typing import Self

from tests.support.forked import Forked, fork
from tests.support.ports import free_port


class UpstreamProcess:
    """``python -m fairlead.testing.upstream``. An asynchronous context manager."""

    def __init__(self, *args: str) -> None:
        self.base_url = ""
        self._port = free_port()
        self._args = args
        self._process: Forked | None = None

    async def start(self) -> None:
        """Start, and wait until it listens."""
        arguments = ("-m", "fairlead.testing.upstream", "--port", str(self._port), *self._args)
        self._process = await fork(*arguments, env=os.environ, stdout=True)
        assert self._process.stdout is not None
        async with asyncio.timeout(90):
            self.base_url = (await self._process.stdout.readline()).decode().strip()
        assert self.base_url, "the upstream did not start"

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()
