"""``fairlead usage`` and ``fairlead top``, beside a running server and over the network."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.cli.command import COMMAND, environment, run, start
from tests.support.server import ServerProcess
from tests.support.sse import Reader

ALICE, OPERATOR = "al1ces-own", "0perators-own"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer(text="So.", usage={"prompt_tokens": 1200, "completion_tokens": 3}))
        yield upstream


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ServerProcess]:
    file = tmp_path / "fairlead.toml"
    file.write_text(
        '[[prices]]\nmodel = "*"\ninput = 1\noutput = 10\n'
        '[[keys]]\nconsumer = "operator"\nkey_env = "OPERATOR"\nscopes = ["admin"]\n'
        '[[keys]]\nconsumer = "alice"\nkey_env = "ALICE"\n'
    )
    server = ServerProcess(
        tmp_path / "data", "--config", str(file), "--no-knowledge",
        "--upstream", upstream.base_url, "--model", "m",
        env={"OPERATOR": OPERATOR, "ALICE": ALICE},
    )  # fmt: skip
    async with server:
        yield server


async def ask(server: ServerProcess, http: aiohttp.ClientSession) -> Reader:
    reader = Reader(http, server.url)
    await reader.ask({"message": "Why?"}, Authorization=f"Bearer {ALICE}")
    return reader


def local(server: ServerProcess, tmp_path: Path) -> dict[str, Any]:
    """What a command on the server's machine is given."""
    return {
        "FAIRLEAD_CONFIG": str(tmp_path / "fairlead.toml"),
        "FAIRLEAD_DATA_DIR": str(server.data_dir),
        "FAIRLEAD_PORT": str(server.port),
    }


async def test_usage_from_the_folder_and_from_the_server(
    server: ServerProcess, tmp_path: Path
) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(2):
            await ask(server, http)
    here = local(server, tmp_path)
    there: dict[str, Any] = {"FAIRLEAD_SERVER": server.url, "FAIRLEAD_API_KEY": OPERATOR}
    today = datetime.now(UTC).date().isoformat()
    for env in (here, there):
        rows = json.loads((await run("usage", "--json", **env)).out)
        assert rows == [
            {
                "day": today, "consumer": "alice", "model": "m", "requests": 2,
                "input_tokens": 2400, "output_tokens": 6, "cached_tokens": 0, "estimated": 0,
                "money": 0.00246, "currency": "USD",
            }
        ]  # fmt: skip
        table = csv.DictReader(io.StringIO((await run("usage", "--csv", **env)).out))
        assert [(row["consumer"], row["money"]) for row in table] == [("alice", "0.002460")]
        shown = (await run("usage", "--by", "model", **env)).out
        assert "2,400" in shown
        assert "0.0025 USD" in shown
        assert "alice" not in shown
        assert json.loads((await run("usage", "--json", "--consumer", "bob", **env)).out) == []
        (by_day,) = json.loads((await run("usage", "--json", "--by", "day", **env)).out)
        assert (by_day["day"], by_day["consumer"]) == (today, "")
    long_ago = await run("usage", "--since", "2020-01-01", "--until", "2020-02-01", **here)
    assert "Nothing was used" in long_ago.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--since", "soon"], "such as 2026-11-20"),
        (["--since", "2026-02-02", "--until", "2026-02-01"], "not be after"),
        (["--csv", "--json"], "either"),
        (["--server", "http://127.0.0.1:9"], "no server answers"),
    ],
)
async def test_what_cannot_be_is_named(tmp_path: Path, args: list[str], said: str) -> None:
    result = await run("usage", *args, "--data-dir", str(tmp_path))
    assert result.status == 1
    assert said in result.err.replace("\n", " ")


async def test_where_no_server_was_it_says_so(tmp_path: Path) -> None:
    result = await run("usage", "--data-dir", str(tmp_path / "none"))
    assert result.status == 2
    assert "no server has used" in result.err
    assert not (tmp_path / "none").exists()


async def test_top_shows_what_runs(
    server: ServerProcess, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=["word "] * 9, pace=Pace(gated=True)))
    async with aiohttp.ClientSession() as http:
        reader = Reader(http, server.url)
        asked = asyncio.create_task(
            reader.ask({"message": "Why?"}, Authorization=f"Bearer {ALICE}")
        )
        await reader.until(lambda r: bool(r.stream))
        env: dict[str, Any] = {"FAIRLEAD_SERVER": server.url, "FAIRLEAD_API_KEY": OPERATOR}
        shown = (await run("top", "--once", **env)).out
        assert reader.stream in shown
        assert "alice" in shown
        assert "sse 1" in shown
        refused = await run("top", "--once", **{**env, "FAIRLEAD_API_KEY": ALICE})
        assert refused.status == 1
        assert "scope admin" in refused.err.replace("\n", " ")
        # Whoever can write the data folder needs no key.
        told = json.loads((await run("top", "--json", **local(server, tmp_path))).out)
        assert [each["stream"] for each in told["streams"]] == [reader.stream]
        assert [each["name"] for each in told["upstreams"]] == ["upstream"]
        upstream.release(100)
        await asked

        async def admin(path: str) -> Any:
            async with http.get(
                f"{server.url}/admin/{path}", headers={"Authorization": f"Bearer {OPERATOR}"}
            ) as response:
                return await response.json()

        (made,) = (await admin("keys"))["keys"]
        assert not made["alive"], "it is taken back"
        entries = (await admin("audit"))["entries"]
        assert [each["action"] for each in entries] == ["key.revoked", "key.created"]
        assert {each["credential"] for each in entries} == {"command line"}


async def test_top_goes_on_until_it_is_stopped(server: ServerProcess, tmp_path: Path) -> None:
    process = await start("top", "--every", "0.2", **local(server, tmp_path))
    assert process.stdout is not None
    seen = b""
    async with asyncio.timeout(90):
        while seen.count(b"Nothing runs") < 2:
            seen += (data := await process.stdout.read(4096))
            assert data, (seen, await process.communicate())
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130


async def test_top_has_the_terminal_for_itself_and_gives_it_back(
    server: ServerProcess, tmp_path: Path
) -> None:
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        COMMAND, "top", "--every", "0.2", stdin=slave, stdout=slave, stderr=slave,
        env=environment(TERM="xterm", **local(server, tmp_path)),
    )  # fmt: skip
    os.close(slave)
    seen = b""
    reading = asyncio.get_running_loop()
    async with asyncio.timeout(90):
        while b"Nothing runs" not in seen:
            seen += await reading.run_in_executor(None, os.read, master, 4096)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the end of a terminal on Linux
            while data := await reading.run_in_executor(None, os.read, master, 4096):
                seen += data
        assert await process.wait() == 130
    os.close(master)
    assert b"\x1b[?1049h" in seen
    assert b"\x1b[?1049l" in seen
