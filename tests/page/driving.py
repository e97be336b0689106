"""Runs scenarios of ``tests/js/page`` in Chromium, against real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fairlead.testing.upstream import ScriptedUpstream
from tests.support.server import ServerProcess

SCRIPT = Path(__file__).parents[1] / "js" / "page" / "drive.mjs"
WORDS = tuple(f"word{n} " for n in range(40))
STORY = "".join(WORDS).strip()

#: What a test does at a checkpoint of its scenario, which waits for it.
At = Callable[[str], Awaitable[object] | None]


async def drive(
    scenario: str, url: str, at: At | None = None, *, within: float = 240, **options: Any
) -> dict[str, Any]:
    """Run ``file.scenario``, for so many seconds at most; what it found out. The page may have
    complained of nothing."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        scenario,
        url,
        json.dumps(options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    result: dict[str, Any] | None = None
    try:
        async with asyncio.timeout(within):
            async for line in process.stdout:
                said = json.loads(line)
                if "checkpoint" in said:
                    assert at is not None
                    done = at(said["checkpoint"])
                    if done is not None:
                        await done
                    process.stdin.write(b"\n")
                else:
                    result = said["result"]
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert result is not None, (await errors).decode()
    complaints = result.pop("complaints")
    assert complaints == [], complaints
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
