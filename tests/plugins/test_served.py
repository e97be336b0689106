"""Plugins of each kind in a real server, by file and by entry point, changed while it runs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp

from fairlead.testing.upstream import ScriptedUpstream
from tests.plugins.conftest import Serve
from tests.support.server import ServerProcess
from tests.support.sse import Reader

MINE = """
import time
from fairlead.plugins import *

class Badge(Identity):
    async def identify(self, credential):
        if not credential.startswith("badge-"):
            return None
        if credential == "badge-old":
            raise Unauthenticated("this badge has expired")
        return Caller(credential.removeprefix("badge-"), claims={"team": "red"})

class Quiet(Rule):
    keep = Keep(headers=frozenset({"x-loud"}))
    def __init__(self, most):
        self.most = most
    async def judge(self, facts, caller):
        if facts.headers.get("x-loud", "") > self.most:
            name = caller.consumer if caller else "nobody"
            return Refusal(f"too loud, {name}", retry_after=7)

class Tenant(BudgetKey):
    keep = Keep(headers=frozenset({"x-tenant"}))
    def key(self, caller, facts, model):
        return facts.headers.get("x-tenant", "")

async def parrot(request):
    yield reasoning("hm")
    yield "You said: "
    yield request.turns[-1].text
"""

CONFIG = """
knowledge = false
budgets = [{ name = "each", limit = 2, unit = "requests", keyed_by = ["plugin:Tenant"] }]
plugins = ["./mine.py:Badge", { use = "./mine.py:Quiet", options = { most = "5" } },
           "./mine.py:Tenant", "./mine.py:parrot"]
[[keys]]
consumer = "alice"
sha256 = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"
"""  # the SHA-256 of "alice"


async def ask(
    session: aiohttp.ClientSession, server: ServerProcess, credential: str, **headers: str
) -> tuple[int, Any]:
    sent = {"authorization": f"Bearer {credential}", "accept": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{server.url}/chat/stream"
    async with session.post(url, json={"message": "Hi"}, headers=sent) as response:
        return response.status, await response.json()


async def test_identity_rule_budget_key_and_model(
    serve: Serve, session: aiohttp.ClientSession
) -> None:
    async with serve(CONFIG, mine=MINE) as server:
        reader = Reader(session, server.url)
        await reader.ask({"message": "Hi"}, authorization="Bearer badge-bob")
        assert reader.text == "You said: Hi"
        headers = {"authorization": "Bearer badge-bob"}
        async with session.get(f"{server.url}/me", headers=headers) as response:
            assert (await response.json())["consumer"] == "bob"
        # Keys of the configuration are good beside it; nothing else is.
        assert (await ask(session, server, "alice"))[0] == 200
        status, problem = await ask(session, server, "badge-old")
        assert (status, problem["error"]) == (401, "this badge has expired")
        assert (await ask(session, server, "other"))[0] == 401

        status, problem = await ask(session, server, "badge-bob", x_loud="9")
        assert (status, problem["error"]) == (429, "too loud, bob")
        assert problem["rule"] == "Quiet"
        assert problem["retry_after"] == 7
        assert (await ask(session, server, "badge-bob", x_loud="5", x_tenant="t1"))[0] == 200

        # The budget is each tenant's, whoever asks.
        assert (await ask(session, server, "badge-eve", x_tenant="t1"))[0] == 200
        status, problem = await ask(session, server, "alice", x_tenant="t1")
        assert (status, problem["code"]) == (429, "budget_exhausted")
        assert (await ask(session, server, "alice", x_tenant="t2"))[0] == 200


async def change(server: ServerProcess) -> dict[str, Any]:
    since = len(server.logs)
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    return await server.wait_log(lambda line: line["event"].startswith("reload"), since=since)


async def test_plugins_change_while_the_server_runs_and_broken_ones_change_nothing(
    serve: Serve, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serve(CONFIG, mine=MINE) as server:
        assert (await ask(session, server, "badge-bob"))[0] == 200
        (tmp_path / "mine.py").write_text(MINE.replace('"badge-', '"token-'))
        assert (await change(server))["changed"] == ["plugins"]
        assert (await ask(session, server, "badge-bob"))[0] == 401
        assert (await ask(session, server, "token-bob"))[0] == 200

        (tmp_path / "mine.py").write_text("class Badge(:")
        told = await change(server)
        assert told["event"] == "reload_refused"
        assert "plugins: Badge" in told["error"]
        assert "SyntaxError" in told["error"]
        assert (await ask(session, server, "token-bob", x_tenant="t2"))[0] == 200

        # What others rest on cannot be taken away.
        (tmp_path / "mine.py").write_text(MINE)
        file = tmp_path / "fairlead.toml"
        file.write_text(CONFIG.replace('"./mine.py:Tenant", ', ""))
        told = await change(server)
        assert told["event"] == "reload_refused"
        assert "there is no plugin 'Tenant' that gives a key" in told["error"]


async def test_plugin_of_an_installed_package_is_found_by_its_entry_point(
    serve: Serve, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    info = site / "fairlead_parrot-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "fairlead_parrot.py").write_text(MINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fairlead-parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fairlead.plugins]\nparrot = fairlead_parrot:parrot\n")
    server = serve('knowledge = false\nplugins = ["parrot"]')
    server.env["PYTHONPATH"] = str(site)
    async with server:
        reader = Reader(session, server.url)
        await reader.ask({"message": "Hi"})
        assert reader.text == "You said: Hi"
        loaded = next(line for line in server.logs if line["event"] == "plugin_loaded")
        assert (loaded["plugin"], loaded["use"]) == ("parrot", "parrot")


async def test_stopping_an_answer_closes_its_generator(
    serve: Serve, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    slow = f"""
import asyncio, pathlib
async def slow(request):
    try:
        yield "begun"
        await asyncio.get_running_loop().create_future()
    finally:
        pathlib.Path({str(tmp_path)!r}, "closed").write_text("yes")
"""
    async with serve('knowledge = false\nplugins = ["./slow.py:slow"]', slow=slow) as server:
        reader = Reader(session, server.url)
        asked = asyncio.create_task(reader.ask({"message": "Hi"}))
        await reader.until(lambda reader: bool(reader.text))
        async with session.post(f"{server.url}/streams/{reader.stream}/stop") as response:
            assert (await response.json())["status"] == "stopped"
        await asked
        assert (tmp_path / "closed").read_text() == "yes"


async def test_sources_are_searched_beside_the_documents(
    serve: Serve, session: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    source = """
from fairlead.plugins import *
class Notes(Knowledge):
    async def retrieve(self, question, limit):
        return [Passage(text=f"Note {n}", title="Notes", id=str(n)) for n in range(limit + 5)]
"""
    (tmp_path / "tide.md").write_text("# Tides\n\nHigh tide is at six in the morning.\n")
    config = f'documents = ["{tmp_path}/tide.md"]\nplugins = ["./source.py:Notes"]'
    async with serve(config, upstream=upstream, source=source) as server:
        reader = Reader(session, server.url)
        await reader.ask({"message": "When is high tide?"})
        (found,) = [data for name, data, _ in reader.events if name == "sources"]
        titles = [one["title"] for one in found["sources"]]
        assert len(titles) == 5
        assert titles[0] != "Notes"
        assert titles[1] == "Notes"
        for one in found["sources"]:
            async with session.get(f"{server.url}/passages/{one['id']}") as response:
                text = (await response.json())["text"]
            assert ("Note" in text) == (one["title"] == "Notes")
        async with session.get(f"{server.url}/passages/Notes:none") as response:
            assert response.status == 404
        # The documents can be looked at as before.
        async with session.get(f"{server.url}/documents") as response:
            assert response.status == 200
