"""A script of ``tests/js`` as a process that reports one JSON object per line."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

JS = Path(__file__).parent.parent / "js"


class Script:
    """``node NAME JSON``: reports on its output, takes commands on its input.

    ``reports`` holds all reports so far. An async context manager, which ends the process.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.options = options
        self.reports: list[dict[str, Any]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._seen = 0

    async def __aenter__(self) -> Script:
        self._process = await asyncio.create_subprocess_exec(
            "node",
            self.name,
            json.dumps(self.options),
            cwd=JS,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 24,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._reading is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def next(self, what: str, **fields: Any) -> dict[str, Any]:
        """The next report ``what`` with these fields, passing over others; waits for it."""
        async with asyncio.timeout(90):
            while True:
                while self._seen < len(self.reports):
                    report = self.reports[self._seen]
                    self._seen += 1
                    if report["is"] == what and fields.items() <= report.items():
                        return report
                assert self._reading is not None
                if self._reading.done():
                    raise AssertionError(f"the script ended without {what}: {self.reports[-20:]}")
                self._news.clear()
                await self._news.wait()

    async def send(self, **command: Any) -> None:
        """Give the script a command."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    def all(self, what: str) -> list[dict[str, Any]]:
        """All reports ``what`` so far."""
        return [report for report in self.reports if report["is"] == what]

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            try:
                self.reports.append(json.loads(raw))
            except ValueError:
                # Node's own words, such as the trace of an error nobody caught.
                self.reports.append({"is": "output", "text": raw.decode("utf-8", "replace")})
            self._news.set()
        self._news.set()
