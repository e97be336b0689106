"""What is forked is what would have been started."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.forked import FAIRLEAD, Forked, fork, forkable
from tests.support.server import ServerProcess

#: A program that tells what it finds, and ends as it is told.
TELLS = """
import json, os, signal, sys, threading
from pathlib import Path
print(json.dumps({
    "arguments": sys.argv[1:],
    "main": sys.modules["__main__"].__dict__["__name__"],
    "path": sys.path[0],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "descriptors": sorted(int(n) for n in os.listdir("/proc/self/fd")),
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "threads": threading.active_count(),
    "input": sys.stdin.read(),
}))
print("a word on the side", file=sys.stderr)
if sys.argv[1] == "raise":
    raise SystemExit(int(sys.argv[2]))
if sys.argv[1] == "fail":
    raise ValueError("as it was told")
if sys.argv[1] == "kill":
    sys.stdout.flush()
    os.kill(os.getpid(), int(sys.argv[2]))
"""
#: A process of tests: starts one that waits, tells its number, and waits.
PARENT = """
import asyncio, os, sys
from tests.support.forked import fork

async def main():
    env = {k: v for k, v in os.environ.items() if not k.startswith("FAIRLEAD_")}
    process = await fork("-m", "waits", env=env, stdout=True, folder=sys.argv[1])
    print((await process.stdout.readline()).decode(), flush=True)
    await process.wait()

asyncio.run(main())
"""
WAITS = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(3600)\n"


def environment(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("FAIRLEAD_")} | more


async def run(folder: Path, *arguments: str, forked: bool) -> tuple[int, Any, str]:
    """The status, what was told, and the error output."""
    env = environment(FAIRLEAD_PORT="7", GIVEN="here")
    process: Forked | asyncio.subprocess.Process
    if forked:
        process = await fork(
            "-m", "tells", *arguments, env=env, folder=folder, stdout=True, stderr=True
        )
    else:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tells", *arguments),
            env=env,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
    return await process.wait(), json.loads(out), err.decode()


@pytest.mark.parametrize(
    "arguments",
    [("end",), ("raise", "3"), ("fail",), ("kill", "9"), ("kill", "15"), ("kill", "2")],
    ids=" ".join,
)
async def test_it_finds_and_ends_as_one_that_was_started(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    started = await run(tmp_path, *arguments, forked=False)
    forked = await run(tmp_path, *arguments, forked=True)
    assert forked[:2] == started[:2]
    assert started[1]["environment"]["FAIRLEAD_PORT"] == "7"
    # A traceback shows besides how it came to be run.
    assert [line for line in started[2].splitlines() if line[:1] != " "] == [
        line for line in forked[2].splitlines() if line[:1] != " "
    ]


async def test_none_has_what_is_another_ones(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    (tmp_path / "tells.py").write_text(TELLS)
    others = [
        await fork("-m", "waits", env=environment(), folder=tmp_path, stdout=True, stderr=True)
        for _ in range(3)
    ]
    _, alone, _ = await run(tmp_path, "end", forked=False)
    _, told, _ = await run(tmp_path, "end", forked=True)
    assert told["descriptors"] == alone["descriptors"]
    for other in others:
        assert other.stdout is not None
        assert int(await other.stdout.readline()) == other.pid
        other.kill()
        # Nobody else holds its streams open.
        assert await other.stdout.read() == b""
        assert await other.wait() == -signal.SIGKILL
        other.kill()  # which concerns nobody any more
        with pytest.raises(ProcessLookupError):
            os.kill(other.pid, 0)


async def test_when_the_tests_are_killed_nothing_runs_on(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    tests = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(tmp_path)),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    assert tests.stdout is not None
    left = os.pidfd_open(int(await tests.stdout.readline()))
    tests.kill()
    await tests.wait()
    ended, _, _ = await asyncio.to_thread(select.select, [left], [], [], 60)
    os.close(left)
    assert ended


def test_an_environment_that_is_read_at_the_beginning_is_given_to_the_executable() -> None:
    assert forkable(environment(FAIRLEAD_PORT="1", OPERATOR="key"))
    for name in ("PYTHONWARNINGS", "SSL_CERT_FILE", "OTEL_SERVICE_NAME"):
        assert not forkable(environment(**{name: "x"}))


async def test_the_command_and_its_errors() -> None:
    process = await fork(FAIRLEAD, "serve", "--port", "many", env=environment(), stderr=True)
    assert process.stderr is not None
    assert "--port" in (await process.stderr.read()).decode()
    assert await process.wait() == 2


@pytest.mark.parametrize("executable", [True, False], ids=["executable", "forked"])
async def test_a_server_runs_is_killed_and_comes_back(tmp_path: Path, executable: bool) -> None:
    server = ServerProcess(tmp_path, "--no-knowledge", executable=executable)
    async with server:
        first = server.url
        await server.kill()
        await server.start()
        assert server.url == first
        assert await server.stop() == 0
