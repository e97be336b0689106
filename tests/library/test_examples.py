"""The examples of use as a library run as they are."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp

from fairlead.client.client import Client
from fairlead.testing.toxic import Cut, Pass, ToxicProxy
from tests.library.conftest import EXAMPLES, example
from tests.support.server import ServerProcess

REPORT = "collect is done – compare is done – draw is done – write is done – "


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
    assert "".join(event.text for event in events) == REPORT
    progress = [e.data["fraction"] for e in events if e.name == "progress"]
    assert progress == [0, 0.25, 0.5, 0.75, 1.0]
    assert events[names.index("media")].data["content_type"] == "image/svg+xml"
    assert names[-1] == "done"
    positions = [event.position for event in events]
    assert positions == sorted(set(positions))


#: A reader as a process: a line of JSON for each event.
READER = """
import asyncio, json, sys
from fairlead.client.client import Client

async def read(url, stream, after):
    async with Client(url) as client:
        async for event in client.attach(stream, after or None):
            print(json.dumps([event.name, event.text, event.position]), flush=True)

asyncio.run(read(*sys.argv[1:]))
"""


class Reader:
    """What readers have seen that came one after another, each killed in the middle."""

    def __init__(self, url: str, stream: str) -> None:
        self.arguments = (f"{url}/ai", stream)
        self.events: list[tuple[str, str, str]] = []

    async def read(self, until: str = "") -> None:
        """Read on, with a new process, and kill it after an event of this name (empty: read to the
        end)."""
        after = self.events[-1][2] if self.events else ""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", READER, *self.arguments, after), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(90):
                while line := await process.stdout.readline():
                    self.events.append(tuple(json.loads(line)))
                    if self.events[-1][0] == until:
                        return
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_report_task_is_read_on_by_a_reader_that_is_killed_and_started_again(
    tmp_path: Path,
) -> None:
    async with (
        example("report_task", tmp_path, PACE="1") as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.post(f"{url}/reports") as response:
            stream = (await response.json())["stream"]
        reader = Reader(url, stream)
        await reader.read(until="token")
        seen = len(reader.events)
        accept = {"Accept": "application/json"}
        async with http.get(f"{url}/ai/streams/{stream}", headers=accept) as response:
            # In the middle of the task.
            assert (await response.json())["status"] == "running"
        await reader.read(until="token")
        assert len(reader.events) > seen
        await reader.read()
    names = [name for name, _, _ in reader.events]
    assert "".join(text for _, text, _ in reader.events) == REPORT
    assert names.count("progress") == 5
    assert names.count("media") == 1
    assert names[-1] == "done"
    positions = [position for _, _, position in reader.events]
    assert positions == sorted(set(positions))


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


async def test_the_clients(tmp_path: Path) -> None:
    async def run(name: str, url: str) -> str:
        program = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLES / name), "What holds?", url, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(90):
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
        async with asyncio.timeout(90):
            base = (await node.stdout.readline()).decode().strip()
        flags = ("--no-knowledge", "--upstream", base, "--model", "mine")
        async with ServerProcess(tmp_path, *flags) as server, Client(server.url) as client:
            events = [event async for event in client.ask("What holds?")]
        assert "".join(event.text for event in events) == "You asked: What holds? "
    finally:
        node.kill()
        await node.communicate()
