"""Another configuration while the real server runs: only whom it concerns notices."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.support.server import ServerProcess
from tests.support.sse import Reader

RELOADS = int(os.environ.get("FAIRLEAD_RELOADS", "20"))
STREAMS = int(os.environ.get("FAIRLEAD_RELOAD_STREAMS", "100"))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def key(consumer: str) -> str:
    return f'[[keys]]\nconsumer = "{consumer}"\nsha256 = "{digest(consumer + "-key")}"\n'


class Served:
    """A server and the file that it has its configuration from."""

    def __init__(self, folder: Path, text: str) -> None:
        self.file = folder / "fairlead.toml"
        self.file.write_text(text)
        self.server = ServerProcess(folder / "data", "--config", str(self.file))

    async def change(self, text: str, *, hangup: bool = False) -> dict[str, Any]:
        """Write the file; the line of the log that tells what came of it."""
        since = len(self.server.logs)
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)
        if hangup:
            assert self.server.process is not None
            self.server.process.send_signal(signal.SIGHUP)
        return await self.server.wait_log(
            lambda line: line["event"].startswith("reload"), since=since
        )


async def status(server: ServerProcess, name: str, path: str = "/streams", **more: str) -> int:
    headers = {"authorization": f"Bearer {name}-key", **more}
    async with httpx.AsyncClient() as client:
        return (await client.get(server.url + path, headers=headers)).status_code


@pytest.mark.parametrize("hangup", [False, True])
async def test_keys_and_rules_of_the_file_hold_at_once(tmp_path: Path, hangup: bool) -> None:
    served = Served(tmp_path, key("alice"))
    async with served.server as server:
        assert await status(server, "alice") == 200
        assert await status(server, "bob") == 401
        told = await served.change(
            key("alice") + key("bob") + '[[rules]]\nname = "no"\nact = "deny"\n'
            'paths = ["/models"]\n',
            hangup=hangup,
        )
        assert told["event"] == "reloaded"
        assert set(told["changed"]) == {"keys", "rules"}
        assert await status(server, "bob") == 200
        assert await status(server, "bob", "/models") == 403
        await served.change(key("bob"), hangup=hangup)
        assert await status(server, "alice") == 401
        assert await status(server, "bob", "/models") == 200


async def test_what_is_not_right_changes_nothing_and_is_named(tmp_path: Path) -> None:
    served = Served(tmp_path, key("alice"))
    async with served.server as server:
        for text, named in (
            (key("bob") + "queue = -1\n", "queue"),
            ("this is = = no toml", "TOML"),
            (key("bob") + '[[aliases]]\nname = "a"\nmodel = "nowhere"\n', "nowhere"),
        ):
            told = await served.change(text)
            assert told["event"] == "reload_refused"
            assert named in told["error"]
            assert await status(server, "alice") == 200
            assert await status(server, "bob") == 401


async def test_what_needs_a_restart_is_said_and_the_rest_applied(tmp_path: Path) -> None:
    served = Served(tmp_path, key("alice"))
    async with served.server as server:
        told = await served.change("heartbeat = 5\n" + key("alice") + key("bob"))
        assert (told["changed"], told["needs_restart"]) == (["keys"], ["heartbeat"])
        assert await status(server, "bob") == 200
        told = await served.change("heartbeat = 6\n" + key("alice") + key("bob"))
        assert told["event"] == "reload_needs_restart"


async def test_of_open_streams_only_those_end_that_a_change_concerns(tmp_path: Path) -> None:
    slow = "extractive_pace = 0.05\ntrusted_proxies = ['127.0.0.1']\n"
    served = Served(tmp_path, slow + key("alice") + key("bob"))
    question = {"message": "What is Fairlead, and what is a stream?"}
    async with served.server as server, aiohttp.ClientSession() as session:
        readers = {}
        reading = []
        for name, address in (("alice", "192.0.2.1"), ("bob", "192.0.2.2"), ("bob", "192.0.2.3")):
            headers = {"Authorization": f"Bearer {name}-key", "X-Forwarded-For": address}
            reader = readers[address] = Reader(session, server.url)
            reading.append(asyncio.create_task(reader.ask(question, **headers)))
            await reader.until(lambda r: bool(r.text))
        told = await served.change(slow + 'deny_addresses = ["192.0.2.2"]\n' + key("bob"))
        assert told["ended"] == 1
        await asyncio.gather(*reading)
        assert readers["192.0.2.1"].end["code"] == "revoked"
        assert readers["192.0.2.2"].end["code"] == "forbidden"
        assert readers["192.0.2.3"].end["status"] == "completed"


async def test_reloads_in_a_row_lose_no_stream(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer("one two three", pace=Pace(gated=True)))
        base = (
            f'upstream = "{upstream.base_url}"\nmodel = "scripted"\nknowledge = false\n'
            f"max_generations = {STREAMS}\nmax_readers = {STREAMS}\n{key('alice')}"
        )
        served = Served(tmp_path, base)
        connector = aiohttp.TCPConnector(limit=0)
        async with served.server as server, aiohttp.ClientSession(connector=connector) as session:
            readers, reading = [], []
            for _ in range(STREAMS):
                reader = Reader(session, server.url)
                asking = reader.ask({"message": "Count."}, Authorization="Bearer alice-key")
                readers.append(reader)
                reading.append(asyncio.create_task(asking))
                (await upstream.wait_request()).release(1)
            for reader in readers:
                await reader.until(lambda r: bool(r.text))
            for number in range(RELOADS):
                told = await served.change(
                    base + f'[[rules]]\nname = "r{number}"\nact = "deny"\n'
                    f'addresses = ["192.0.2.{number % 250}"]\n',
                    hangup=True,
                )
                assert (told["event"], told["ended"]) == ("reloaded", 0)
            # All of them were open all the while, and none has been begun again.
            assert [reader.text for reader in readers] == ["one "] * STREAMS
            for request in upstream.requests:
                request.release(3)
            await asyncio.gather(*reading)
            assert [reader.end["status"] for reader in readers] == ["completed"] * STREAMS
            assert {reader.text for reader in readers} == {"one two three"}
            assert {reader.connections for reader in readers} == {1}
            assert len(upstream.requests) == STREAMS
