"""Processes that use up budgets from one file: ``python -m tests.stores.counting <file> <name>``.

Each waits for a line on its input. Then it reserves in steps, meters, settles at less than it was
granted, and says after each answer how much it used in all; when nothing is to be had any more, it
ends.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from fairlead.ports.counters import Claim, Counter, Final, Used
from fairlead.stores.sqlite_counters import SqliteCounters
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.testing.clock import Clock
from tests.stores.conftest import SOON

ROOT = Path(__file__).parents[2]
#: Of each process, and of all together.
LIMIT = 1500
TOTAL = 5000
STEP = 10


async def main(path: str, name: str) -> None:
    clock = Clock()  # stands still: nothing lapses by itself
    gateway = SqliteGateway(Path(path))
    await gateway.open()
    store = SqliteCounters(gateway, clock)
    await store.open()
    own, total = Counter(name, 0, 1 << 40), Counter("all", 0, 1 << 40)
    limits = {own: LIMIT, total: TOTAL}
    os.write(1, b"0\n")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    used = 0
    answers = 0
    while True:
        answers += 1
        holder = f"{name}.{answers}"
        steps = 0
        for _ in range(random.randint(1, 4)):
            claims = [Claim(c, limits[c], STEP, steps * STEP) for c in limits]
            if not (await store.reserve(holder, claims, 30.0)).granted:
                break
            steps += 1
        if not steps:
            break
        spent = random.randint(1, steps * STEP)
        await store.meter([Used(holder, c, spent // 2) for c in limits], 30.0)
        await store.settle(holder, [Final(c, spent) for c in limits])
        used += spent
        os.write(1, f"{used}\n".encode())
    await gateway.close()


class Child:
    """One of them. ``total``: what it said it used; ``unsaid``: what it may have used besides."""

    unsaid = 4 * STEP

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.total = 0

    async def ready(self) -> None:
        """Wait until it could begin."""
        assert await self._hear(), "it ended first"

    def begin(self) -> None:
        """Have it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def used(self, amount: int) -> None:
        """Wait until it has used so much."""
        while self.total < amount:
            assert await self._hear(), "it ended first"

    async def ended(self) -> None:
        """Wait until nothing is left for it."""
        while await self._hear():
            pass
        assert await self.process.wait() == 0

    async def kill(self) -> None:
        """SIGKILL; what it had said before still counts."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        while await self._hear():
            pass

    async def _hear(self) -> bool:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), SOON)
        if line.endswith(b"\n"):
            self.total = int(line)
        return bool(line)


async def counting(path: Path, name: str) -> Child:
    """A process."""
    return Child(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.stores.counting",
            str(path),
            name,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
