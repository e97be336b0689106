"""The operator's page: what runs, what was used, keys, the audit log; and for whom it is there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Echo, Pace, ScriptedUpstream
from tests.page.driving import STORY, WORDS, drive, serving
from tests.support.server import ServerProcess

KEYS = {name: f"{name}-{'0123456789abcdef' * 2}" for name in ("alice", "bob", "carol", "operator")}
GATED = Answer(tokens=WORDS, pace=Pace(gated=True))
BUDGET = '[[budgets]]\nname = "daily"\nlimit = 100000\nper = "day"\n'


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name]}"}


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ServerProcess]:
    tables = [BUDGET]
    for name, key in KEYS.items():
        scopes = '"ask", "read"' + (', "admin"' if name == "operator" else "")
        digest = sha256(key.encode()).hexdigest()
        tables.append(f'[[keys]]\nconsumer = "{name}"\nsha256 = "{digest}"\nscopes = [{scopes}]\n')
    config = tmp_path / "fairlead.toml"
    config.write_text("".join(tables), encoding="utf-8")
    flags = ("--config", str(config), "--max-generations", "2")
    async with serving(tmp_path / "data", upstream, *flags) as server:
        yield server


@contextlib.asynccontextmanager
async def asked(server: ServerProcess, *names: str) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """An answer for each, which is being read."""
    async with aiohttp.ClientSession(server.url) as session:
        found = []
        for name in names:
            body = {"message": f"Of {name}"}
            response = await session.post("/chat/stream", json=body, headers=bearer(name))
            assert response.status == 200
            await response.content.readline()
            found.append(response)
        yield found
        for response in found:
            response.close()


async def test_what_runs_is_seen_watched_and_stopped(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Echo(), GATED, GATED, GATED)
    async with asked(server, "alice") as (before,):
        await before.read()
    async with asked(server, "alice", "bob", "carol") as (alice, _bob, _carol):
        # That of before, and two, for which the third one waits.
        requests = [await upstream.wait_request() for _ in range(3)]
        (hers,) = [one for one in requests[1:] if "Of alice" in str(one.json["messages"])]
        hers.release(5)

        async def at(name: str) -> None:
            if name == "watching":
                hers.release(5)
            else:
                assert b'"status":"stopped"' in (await alice.read()).replace(b" ", b"")

        seen = await drive("operator.live", server.url, at, key=KEYS["operator"])
    assert [row[1] for row in seen["rows"]] == ["carol", "alice", "bob"]
    assert [row[0] for row in seen["rows"]] == ["place 1", "being written", "being written"]
    assert {row[2] for row in seen["rows"]} == {"scripted"}
    assert seen["readers"] == "SSE 1"
    assert seen["load"] == "2 answers"
    assert "100,000 tokens per day" in seen["budget"]
    assert "refills in" in seen["budget"]
    assert "alice" in seen["budget"]
    assert [row[1] for row in seen["queued"]] == ["carol"]
    assert [row[1] for row in seen["found"]] == ["alice"]
    assert STORY.startswith(seen["watched"].strip())
    assert seen["focus"] == "Watch the answer for alice"
    assert any(row.startswith("alice") for row in seen["used"])
    assert "Tokens a day over 31 days" in seen["chart"]
    assert seen["file"].startswith("usage-")
    assert ",alice,scripted," in seen["csv"]
    assert "stopped an answer" in seen["audit"][0]
    assert "operator" in seen["audit"][0]
    assert seen["foreign"] == []


async def test_what_other_nodes_write_is_listed_with_whose_it_is_and_who_reads_it_here(
    tmp_path: Path, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED, GATED, GATED)
    flags = ("--config", str(tmp_path / "fairlead.toml"))
    async with (
        serving(tmp_path / "data", upstream, *flags) as other,
        aiohttp.ClientSession() as session,
        asked(other, "alice", "bob") as (hers, his),
        asked(server, "carol"),
    ):
        stream = hers.headers["Fairlead-Stream"]
        headers = {"Accept": "text/event-stream", **bearer("alice")}
        async with session.get(f"{server.url}/streams/{stream}", headers=headers) as reading:
            await reading.content.readline()
            for _ in range(3):
                (await upstream.wait_request()).release(5)

            async def at(_: str) -> None:
                assert b'"status":"stopped"' in (await his.read()).replace(b" ", b"")
                upstream.release(1000)  # nothing that would hold it up is left
                assert await other.stop() == 0

            seen = await drive("operator.nodes", server.url, at, key=KEYS["operator"])
    assert "one of 2 that share their data" in seen["said"]
    assert "on another node" in seen["row"]
    assert "Node " in seen["row"]
    assert "scripted" in seen["row"]
    assert seen["found"] == ["alice", "bob"]
    assert (seen["readers"], seen["unknown"]) == ("SSE 1", "–")


async def test_on_ones_own_machine_it_works_at_once_and_makes_the_keys(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with serving(tmp_path, upstream) as server:
        seen = await drive("operator.keys", server.url)
    assert "This is the first key" in seen["warned"]
    assert "a consumer is named by" in seen["wrong"]
    assert len(set(seen["texts"])) == 3
    assert all(text.startswith("flk_") for text in seen["texts"])
    assert "production" in seen["listed"]
    assert "ask, read" in seen["listed"]
    assert "replaced" in seen["replaced"]
    for text in seen["texts"]:  # of which only the part that names it is public
        assert text not in seen["shown"]
        assert text not in seen["left"]
    assert seen["draft"] == "Begun before"
    assert "Begun before" not in seen["left"]
    assert "fairlead keys create" in seen["hint"]


async def test_those_who_may_not_see_it_are_told_how(
    server: ServerProcess,
) -> None:
    seen = await drive(
        "operator.refused", server.url, alice=KEYS["alice"], operator=KEYS["operator"]
    )
    assert "scope “admin”" in seen["asked"]
    assert "signed in as alice" in seen["without"]
    assert "fairlead keys create operator --scopes admin" in seen["without"]
    assert "Operator" not in seen["links"]


async def test_an_open_server_has_an_operator_under_its_own_name_alone(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="Yes."))
    seen = await drive("operator.named", url)
    assert "Operator" in seen["own"]
    assert f"{url}/#/operator" in seen["said"]
    assert "“hosts”" in seen["listed"]
    assert seen["status"] == 404
    assert seen["text"] == "Yes."


async def test_it_looks_by_itself_only_while_it_is_looked_at(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with serving(tmp_path, upstream) as server:

        async def at(name: str) -> None:
            if name == "kill":
                await server.kill()
            else:
                await server.start()

        seen = await drive("operator.looking", server.url, at)
    assert seen == {"away": 0, "paused": 0}


async def fill(server: ServerProcess, upstream: ScriptedUpstream) -> None:
    """Something for every table."""
    upstream.script(Echo(), Answer(tokens=WORDS[:5], pace=Pace(gated=True)))
    async with asked(server, "bob") as (before,):
        await before.read()
    async with aiohttp.ClientSession(server.url, headers=bearer("operator")) as session:
        for consumer in ("the-app", "the-shop"):
            async with session.post("/admin/keys", json={"consumer": consumer}) as response:
                made = await response.json()
        async with session.delete(f"/admin/keys/{made['id']}") as response:
            assert response.status == 200


async def test_the_accessibility_checker_finds_nothing_serious(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    await fill(server, upstream)
    async with asked(server, "alice"):
        requests = [await upstream.wait_request() for _ in range(2)]
        requests[1].release(3)
        seen = await drive("operator.axe", server.url, key=KEYS["operator"], other=KEYS["bob"])
    assert len(seen["found"]) == 20
    assert {state: found for state, found in seen["found"].items() if found} == {}


async def test_on_a_phone_in_chinese_and_by_keyboard(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    await fill(server, upstream)
    async with asked(server, "alice"):
        seen = await drive("operator.phone", server.url, key=KEYS["operator"])
    assert seen["title"] == "管理"
    assert seen["overflow"] == {"live": 0, "usage": 0, "keys": 0, "audit": 0}
    order = seen["order"]
    wanted = ["对话", "实时", "使用者、模型、对话、流", "Token/秒", "观看", "停止"]
    places = [next(n for n, at in enumerate(order) if one in at) for one in wanted]
    assert places == sorted(places)
