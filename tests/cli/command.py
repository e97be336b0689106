"""The ``fairlead`` command as a process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

from tests.support.forked import FAIRLEAD, fork

COMMAND = FAIRLEAD


class Result(NamedTuple):
    """How a run ended."""

    status: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FAIRLEAD_")}
    # A fixed width and no colour, wherever the tests run.
    return kept | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"} | more


async def start(
    *args: str, cwd: Path | None = None, program: str = COMMAND, **environ: str
) -> asyncio.subprocess.Process:
    """A run whose input is closed and whose output can be read."""
    return await asyncio.create_subprocess_exec(
        program,
        *args,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**environ),
        cwd=cwd,
    )


async def run(
    *args: str,
    cwd: Path | None = None,
    given: str = "",
    program: str = "",
    **environ: str,
) -> Result:
    """A whole run; ``given`` on its standard input. It is forked, unless the ``program`` itself is
    to be started."""
    async with asyncio.timeout(90):
        if program:
            process = await start(*args, cwd=cwd, program=program, **environ)
            out, err = await process.communicate(given.encode())
            assert process.returncode is not None
            return Result(process.returncode, out.decode(), err.decode())
        forked = await fork(
            *(COMMAND, *args),
            env=environment(**environ),
            folder=cwd,
            stdin=given.encode(),
            stdout=True,
            stderr=True,
        )
        assert forked.stdout is not None
        assert forked.stderr is not None
        out, err = await asyncio.gather(forked.stdout.read(), forked.stderr.read())
        return Result(await forked.wait(), out.decode(), err.decode())
