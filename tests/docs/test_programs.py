"""The documentation's programs in Python, and the examples."""

from __future__ import annotations

import ast
import asyncio
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, marked
from tests.docs.conftest import Servers
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def python(*arguments: str) -> str:
    """The output of a program, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("block", marked("run", "python"), ids=str)
async def test_program_runs(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(block.text, encoding="utf-8")
    await python(str(file))


@pytest.mark.parametrize("block", marked("example"), ids=str)
async def test_sample_is_the_example(block: Block) -> None:
    assert block.text == (ROOT / block.value).read_text(encoding="utf-8")


async def test_fastapi_app_of_ten_lines_answers_behind_fairlead(tmp_path: Path) -> None:
    app = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "fastapi_upstream:app", "--port", "0",
        cwd=ROOT / "examples", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert app.stderr is not None
        address = ""
        async with asyncio.timeout(90):
            while "running on" not in address:
                address = (await app.stderr.readline()).decode()
        base = address.partition("running on ")[2].split()[0] + "/v1"
        flags = ("--no-knowledge", "--upstream", base, "--model", "mine")
        async with ServerProcess(tmp_path, *flags) as server:
            out = await python(str(ROOT / "examples/resume.py"), "What holds?", server.url)
        assert out.replace("|", "").strip() == "You asked: What holds?"
    finally:
        app.terminate()
        await app.wait()


async def test_client_that_hangs_up_reads_everything_once(servers: Servers) -> None:
    server = await servers("")
    out = await python(str(ROOT / "examples/resume.py"), "What is an epoch?", server.url)
    assert "|" in out, "it never hung up"
    assert "An epoch is a writer's term. [" in out.replace("|", "")


async def test_examples_are_listed() -> None:
    listed = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    for file in sorted((ROOT / "examples").iterdir()):
        if file.is_file() and file.name != "README.md":
            assert f"]({file.name})" in listed
            if file.suffix == ".py":
                ast.parse(file.read_text(encoding="utf-8"))
