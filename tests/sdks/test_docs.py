"""The documentation's examples of vendors' SDKs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ADDRESS, Block, marked
from tests.docs.shape import frames
from tests.support.server import ServerProcess


async def output(block: Block, folder: Path, *command: str) -> str:
    """What the example puts out."""
    async with ServerProcess(folder, "--extractive-pace", "0.002") as server:
        process = await asyncio.create_subprocess_exec(
            *command,
            block.text.replace(ADDRESS, server.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(90):
            out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("block", marked("sdk", "python"), ids=str)
async def test_program_runs(block: Block, tmp_path: Path) -> None:
    # Each shows an answer from the documents, which cites them.
    assert (await output(block, tmp_path, sys.executable, "-c")).count("[1]") >= 2


@pytest.mark.parametrize("block", marked("sdk", "sh"), ids=str)
async def test_command_reads_on(block: Block, tmp_path: Path) -> None:
    data = [frame.data for frame in frames(await output(block, tmp_path, "bash", "-euc"))]
    assert data.pop() == b"[DONE]"
    first, *rest = [json.loads(each) for each in data]
    assert "role" not in first["choices"][0]["delta"], "it began anew"
    assert rest[-1]["choices"][0]["finish_reason"] == "stop"
