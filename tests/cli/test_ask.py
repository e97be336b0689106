"""``fairlead ask`` against the real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from fairlead.client.client import Client
from tests.cli.command import COMMAND, environment, run, start
from tests.support.server import ServerProcess

DOCUMENT = """# Knots

A bowline makes a loop that neither slips nor jams. A bowline is tied at the end of a rope.
A bowline is untied easily, even after a heavy load. A bowline is the king of knots.
"""
QUESTION = "What is a bowline?"


@pytest.fixture
async def documents(tmp_path: Path) -> Path:
    path = tmp_path / "knots.md"
    path.write_text(DOCUMENT)
    return path


@pytest.fixture
async def server(tmp_path: Path, documents: Path) -> AsyncGenerator[ServerProcess, None]:
    """Answers at once."""
    data = tmp_path / "data"
    args = ("--documents", str(documents), "--extractive-pace", "0")
    async with ServerProcess(data, *args) as process:
        yield process


@pytest.fixture
async def slow(tmp_path: Path, documents: Path) -> AsyncGenerator[ServerProcess, None]:
    """Writes so slowly that an answer never ends by itself while a test runs."""
    args = ("--documents", str(documents), "--extractive-pace", "10")
    async with ServerProcess(tmp_path / "data", *args, "--drain-grace", "0") as process:
        yield process


async def test_the_answer_is_on_stdout_and_its_sources_on_stderr(server: ServerProcess) -> None:
    result = await run("ask", "--server", server.url, QUESTION)
    assert result.status == 0
    assert "bowline" in result.out
    assert "[1] Knots  knots.md" in result.err
    assert "knots.md" not in result.out
    assert "\x1b" not in result.out + result.err


async def test_the_question_may_come_from_stdin(server: ServerProcess) -> None:
    result = await run("ask", "-", given=QUESTION, FAIRLEAD_SERVER=server.url)
    assert result.status == 0
    assert "bowline" in result.out


async def test_detached_and_attached(server: ServerProcess) -> None:
    detached = await run("ask", "--detach", "--server", server.url, QUESTION)
    assert detached.status == 0
    stream = detached.out.strip()
    assert len(stream) == 26
    attached = await run("ask", "--attach", stream, "--server", server.url)
    assert attached.status == 0
    async with Client(server.url) as client:
        assert attached.out.strip() == (await client.answer(stream)).text.strip()


async def test_a_dialogue_goes_on(server: ServerProcess) -> None:
    async with Client(server.url) as client:
        stream = await client.start(QUESTION, background=True)
        conversation = (await client.answer(stream)).conversation_id
    result = await run(
        "ask", "-c", conversation, "How is a bowline untied?", "--server", server.url
    )
    assert result.status == 0
    assert "untied" in result.out


async def test_ctrl_c_stops_the_answer_on_the_server(slow: ServerProcess) -> None:
    process = await start("ask", "--server", slow.url, QUESTION)
    assert process.stdout is not None
    async with asyncio.timeout(90):
        first = await process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 130, err
    assert first
    assert "stopped" in err.decode()
    assert "Traceback" not in err.decode()
    async with Client(slow.url) as client:
        stream = await _newest(slow.url)
        answer = await client.answer(stream)
    assert answer.status == "stopped"
    assert (first + out).decode().strip() == answer.text.strip()


async def _newest(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/streams") as response:
        return str((await response.json())["streams"][0]["stream"])


async def test_ctrl_c_twice_leaves_at_once(slow: ServerProcess) -> None:
    process = await start("ask", "--server", slow.url, QUESTION)
    assert process.stdout is not None
    assert slow.process is not None
    async with asyncio.timeout(90):
        await process.stdout.read(1)
        # A server that stands still cannot confirm the stop.
        slow.process.send_signal(signal.SIGSTOP)
        try:
            # Signals that arrive together count as one: press until it leaves.
            while process.returncode is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 0.2)
        finally:
            slow.process.send_signal(signal.SIGCONT)
    # One press too many may meet the interpreter on its way out: a shell calls that 130 as well.
    assert process.returncode in (130, -signal.SIGINT)


async def test_a_reader_that_leaves_is_no_failure_with_a_traceback(slow: ServerProcess) -> None:
    process = await start("ask", "--server", slow.url, QUESTION)
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(90):
        await process.stdout.read(1)
        process.stdout._transport.close()  # type: ignore[attr-defined]  # no public way to close it
        async with Client(slow.url) as client:
            await client.stop(await _newest(slow.url))
        err = await process.stderr.read()
        await process.wait()
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


async def test_a_restarted_server_interrupts_with_a_reason(slow: ServerProcess) -> None:
    process = await start("ask", "--server", slow.url, QUESTION)
    assert process.stdout is not None
    async with asyncio.timeout(90):
        await process.stdout.read(1)
        assert await slow.stop() == 0
        _, err = await process.communicate()
    assert process.returncode == 1
    assert "error: the server is restarting" in err.decode()


async def test_nobody_there_says_how_to_start_one() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else takes it
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = await run("ask", "--server", url, "hello")
    assert result.status == 1
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert url in result.err
    assert "fairlead serve" in result.err


async def test_keys_come_from_the_environment_and_are_never_shown(
    tmp_path: Path, documents: Path
) -> None:
    secret = "a-key-that-nobody-may-see"
    env = {"FAIRLEAD_API_KEYS": f"alice={secret}"}
    async with ServerProcess(
        tmp_path / "data", "--documents", str(documents), "--extractive-pace", "0", env=env
    ) as server:
        right = await run("ask", "--server", server.url, QUESTION, FAIRLEAD_API_KEY=secret)
        wrong = await run("ask", "--server", server.url, QUESTION, FAIRLEAD_API_KEY=secret + "x")
        none = await run("ask", "--server", server.url, QUESTION)
        logs = "".join(server._raw)
    assert right.status == 0
    assert wrong.status == none.status == 1
    assert "FAIRLEAD_API_KEY" in none.err
    assert secret not in repr((right, wrong, none)) + logs


async def test_a_terminal_gets_a_status_line_and_no_foreign_control(server: ServerProcess) -> None:
    question = "What is a bowline?"
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            "ask",
            "--server",
            server.url,
            question,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm"),
        )
    finally:
        os.close(theirs)
    loop = asyncio.get_running_loop()
    shown = bytearray()
    async with asyncio.timeout(90):
        while True:
            try:
                data = await loop.run_in_executor(None, os.read, ours, 65536)
            except OSError:
                break  # EIO: the other side has closed the terminal
            if not data:
                break
            shown += data
        await process.wait()
    os.close(ours)
    assert process.returncode == 0
    assert "Searching the documents…".encode() in shown
    assert b"\r\x1b[2K" in shown
    assert b"bowline" in shown
    assert b"fairlead ask -c" in shown


async def test_files_go_along(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("The harbour opens at seven.\n")
    ask = ("ask", "--server", server.url, "--file", str(path))
    result = await run(*ask, "When does the harbour open?")
    assert (result.status, result.err.count("harbour")) == (0, 0), result.err
    assert "The harbour opens at seven. (notes.txt)" in result.out
    for wrong in ("absent.txt", "picture.png"):
        (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        result = await run(*ask, "-f", str(tmp_path / wrong), "When?")
        assert result.status == 1
        assert wrong in result.err
    result = await run("ask", "--attach", "x", "-f", str(path))
    assert result.status == 2
