"""The examples of use as a library run as they are."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp

from fairlead.client.client import Client
from fairlead.testing.toxic import Cut, Pass, ToxicProxy
from tests.library.conftest import EXAMPLES, example
from tests.support.server import ServerProcess


async def test_fastapi_mount(tmp_path: Path) -> None:
    async with example("fastapi_mount", tmp_path) as url, Client(f"{url}/ai") as client:
        events = [event async for event in client.ask("What holds?")]
        assert "".join(event.text for event in events) == "You asked: What holds? "
        assert [e.data["fraction"] for e in events if e.name == "progress"] == [0.5]


async def test_report_task_is_read_over_connections_that_are_cut(tmp_path: Path) -> None:
    async with (
        example("report_task", tmp_path, PACE="0.05") as url,
        ToxicProxy(
            int(url.rpartition(":")[2]), *[Cut(n) for n in range(700, 1400, 50)], Pass()
        ) as proxy,
        aiohttp.ClientSession() as http,
    ):
        async with http.post(f"{url}/reports") as response:
            stream = (await response.json())["stream"]
        async with Client(f"{proxy.url}/ai", sleep=_at_once) as client:
            events = [event async for event in client.attach(stream)]
        assert proxy.connections > 1
    names = [event.name for event in events]
    text = "collect is done – compare is done – draw is done – write is done – "
    assert "".join(event.text for event in events) == text
    progress = [e.data["fraction"] for e in events if e.name == "progress"]
    assert progress == [0, 0.25, 0.5, 0.75, 1.0]
    assert events[names.index("media")].data["content_type"] == "image/svg+xml"
    assert names[-1] == "done"
    positions = [event.position for event in events]
    assert positions == sorted(set(positions))


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


async def test_the_clients(tmp_path: Path) -> None:
    async def run(name: str, url: str) -> str:
        program = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLES / name), "What holds?", url, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            out, _ = await program.communicate()
        assert program.returncode == 0
        return out.decode()

    async with example("fastapi_mount", tmp_path) as url:
        assert await run("ask.py", f"{url}/ai") == "You asked: What holds? "
        assert await run("ask_async.py", f"{url}/ai") == "You asked: What holds? \ncompleted\n"


async def test_a_model_in_node(tmp_path: Path) -> None:
    node = await asyncio.create_subprocess_exec(
        "node", str(EXAMPLES / "node_model.mjs"),
        env=os.environ | {"PORT": "0"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert node.stdout is not None
        async with asyncio.timeout(30):
            base = (await node.stdout.readline()).decode().strip()
        flags = ("--no-knowledge", "--upstream", base, "--model", "mine")
        async with ServerProcess(tmp_path, *flags) as server, Client(server.url) as client:
            events = [event async for event in client.ask("What holds?")]
        assert "".join(event.text for event in events) == "You asked: What holds? "
    finally:
        node.kill()
        await node.communicate()
