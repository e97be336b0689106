"""Runs scenarios of ``tests/js/page`` in Chromium, against real servers."""

from __future__ import annotations

import asyncio
import atexit
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from fairlead.testing.upstream import ScriptedUpstream
from tests.support.server import ServerProcess

SCRIPT = Path(__file__).parents[1] / "js" / "page" / "drive.mjs"
WORDS = tuple(f"word{n} " for n in range(40))
STORY = "".join(WORDS).strip()

#: What a test does at a checkpoint of its scenario, which waits for it.
At = Callable[[str], Awaitable[object] | None]


class Driver:
    """``page/drive.mjs`` with its Chromium, which begins more slowly than most scenarios go."""

    def __init__(self) -> None:
        # What it complains of itself. Not a pipe, which nobody would read.
        self._errors = TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            ["node", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._heard = b""
        atexit.register(self.close)

    def say(self, value: object) -> None:
        """Write a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """The next line; waits for it."""
        loop = asyncio.get_running_loop()
        assert self._process.stdout is not None
        while b"\n" not in self._heard:
            there = asyncio.Event()
            loop.add_reader(self._process.stdout, there.set)
            try:
                await there.wait()
            finally:
                loop.remove_reader(self._process.stdout)
            data = self._process.stdout.read(1 << 20)
            if not data:
                self._errors.seek(0)
                raise AssertionError(self._errors.read().decode())
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """End it: its input does."""
        atexit.unregister(self.close)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()


_drivers: list[Driver] = []


async def drive(
    scenario: str, url: str, at: At | None = None, *, within: float = 240, **options: Any
) -> dict[str, Any]:
    """Run ``file.scenario``, for so many seconds at most; what it found out. The page may have
    complained of nothing."""
    if not _drivers:
        _drivers.append(Driver())
    driver = _drivers.pop()
    try:
        async with asyncio.timeout(within):
            driver.say({"scenario": scenario, "url": url, "options": options})
            while "checkpoint" in (said := await driver.hear()):
                assert at is not None
                done = at(said["checkpoint"])
                if done is not None:
                    await done
                driver.say("go on")
        assert "result" in said, said["failed"]
    except BaseException:
        # Whatever state it is in, no other scenario begins there.
        driver.close()
        raise
    _drivers.append(driver)
    complaints = said["result"].pop("complaints")
    assert complaints == [], complaints
    result: dict[str, Any] = said["result"]
    return result


@asynccontextmanager
async def serving(
    data_dir: Path, upstream: ScriptedUpstream, *args: str, env: dict[str, str] | None = None
) -> AsyncIterator[ServerProcess]:
    """The server in front of a scripted model server."""
    flags = ("--upstream", upstream.base_url, "--model", "scripted", "--no-knowledge")
    # Whoever is cut off comes back soon.
    async with ServerProcess(data_dir, *flags, "--retry", "0.2", *args, env=env) as server:
        yield server


def releasing(upstream: ScriptedUpstream, **steps: int) -> At:
    """At each checkpoint let so many steps of the gated answer pass."""

    def release(name: str) -> None:
        upstream.release(steps[name])

    return release
