"""The real server as a process: started, asked, killed, started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.forked import FAIRLEAD, Forked, fork, forkable
from tests.support.ports import free_port


class ServerProcess:
    """``fairlead serve`` on a free port of its own (the same one again after a restart).

    ``logs`` holds the parsed log lines so far. Use as an async context manager, or call
    :meth:`start` and :meth:`stop`. It is forked (:mod:`tests.support.forked`) unless the
    ``executable`` itself is to be started.
    """

    def __init__(
        self,
        data_dir: Path,
        *args: str,
        env: dict[str, str] | None = None,
        executable: bool = False,
    ) -> None:
        self.data_dir = data_dir
        self.args = args
        self.env = env or {}
        self.executable = executable
        self.port = 0
        self.base_path = ""
        self.logs: list[dict[str, Any]] = []
        self.process: asyncio.subprocess.Process | Forked | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._raw: list[str] = []

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}{self.base_path}"

    @property
    def output(self) -> str:
        """All that it has written so far, whether or not it can be parsed."""
        return "".join(self._raw)

    async def start(self) -> ServerProcess:
        """Start and wait until it listens."""
        # Nobody else gets it while the server is down.
        self.port = self.port or free_port()
        environ = {k: v for k, v in os.environ.items() if not k.startswith("FAIRLEAD_")} | self.env
        command = (
            *(FAIRLEAD, "serve", "--port", str(self.port), "--data-dir", str(self.data_dir)),
            *("--log-format", "json", *self.args),
        )
        limit = 1 << 20
        if self.executable or not forkable(environ):
            self.process = await asyncio.create_subprocess_exec(
                *command,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environ,
                limit=limit,
            )
        else:
            self.process = await fork(*command, env=environ, stderr=True, limit=limit)
        self._reading = asyncio.create_task(self._read())
        started = await self.wait_log(lambda line: line.get("event") == "listening")
        self.base_path = urlsplit(started["url"]).path.rstrip("/")
        return self

    async def wait_log(
        self, matches: Callable[[dict[str, Any]], bool], since: int = 0
    ) -> dict[str, Any]:
        """The first log line (from the ``since``-th on) that matches, waiting for it to come."""
        seen = since
        async with asyncio.timeout(90):
            while True:
                for line in self.logs[seen:]:
                    if matches(line):
                        return line
                seen = len(self.logs)
                assert self._reading is not None
                if self._reading.done():
                    raise AssertionError("the server ended: " + "".join(self._raw[-20:]))
                self._news.clear()
                await self._news.wait()

    async def kill(self) -> None:
        """SIGKILL: nothing of the process runs on."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and wait; the exit status."""
        return await self._end(signal.SIGTERM)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for the process to end; its exit status."""
        assert self.process is not None
        async with asyncio.timeout(90):
            status = await self.process.wait()
            if self._reading is not None:
                await self._reading
        self.logs.clear()
        return status

    async def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.wait()

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            text = raw.decode("utf-8", "replace")
            self._raw.append(text)
            if text.startswith("{"):
                self.logs.append(json.loads(text))
            self._news.set()
        self._news.set()

    async def __aenter__(self) -> ServerProcess:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            await self._end(signal.SIGKILL)
