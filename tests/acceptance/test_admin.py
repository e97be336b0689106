"""What an operator sees and changes while the server runs, and what is told of it: ``/admin``,
``/metrics``, traces and the log."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.otlp import Collector
from tests.support.server import ServerProcess
from tests.support.sse import Reader
from tests.support.websocket import Client

OPERATOR, ALICE, BOB = "operators-own-key", "alices-own-key", "bobs-own-key"
_KEY = """
[[keys]]
consumer = "{}"
sha256 = "{}"
scopes = [{}]
"""
CONFIG = (
    "".join(
        _KEY.format(name, hashlib.sha256(key.encode()).hexdigest(), scopes)
        for name, key, scopes in (
            ("operator", OPERATOR, '"admin"'),
            ("alice", ALICE, '"ask", "read"'),
            ("bob", BOB, '"ask", "read"'),
        )
    )
    + """
[[budgets]]
name = "daily"
limit = 1000
per = "month"

[[budgets]]
name = "tiny"
limit = 1
unit = "requests"
per = "month"
keyed_by = []
"""
)


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more}


@pytest.fixture
async def server(serve: Serve, tmp_path: Path) -> AsyncGenerator[ServerProcess]:
    text = CONFIG.replace("limit = 1\n", "limit = 1000\n")
    async with started(serve, tmp_path, text, "--max-generations", "2") as server:
        yield server


def started(serve: Serve, tmp_path: Path, text: str, *flags: str) -> ServerProcess:
    (tmp_path / "fairlead.toml").write_text(text)
    return serve("--config", str(tmp_path / "fairlead.toml"), *flags)


class Operator:
    """Asks ``/admin``."""

    def __init__(self, session: aiohttp.ClientSession, server: ServerProcess) -> None:
        self._session = session
        self._url = f"{server.url}/admin"

    async def __call__(
        self, path: str, method: str = "GET", status: int = 200, key: str = OPERATOR, **more: Any
    ) -> Any:
        async with self._session.request(
            method, f"{self._url}/{path}", headers=bearer(key), **more
        ) as response:
            assert response.status == status, await response.text()
            return await response.json()


@pytest.fixture
def admin(session: aiohttp.ClientSession, server: ServerProcess) -> Operator:
    return Operator(session, server)


async def asking(
    session: aiohttp.ClientSession, server: ServerProcess, key: str, **body: Any
) -> tuple[Reader, asyncio.Task[None]]:
    """A reader that has asked, and whose stream is known."""
    reader = Reader(session, server.url)
    task = asyncio.create_task(reader.ask({"message": "Why?", **body}, **bearer(key)))
    await reader.until(lambda r: bool(r.stream))
    return reader, task


async def until(ask: Any, holds: Any) -> Any:
    """Ask until it holds."""
    async with asyncio.timeout(90):
        while not holds(found := await ask()):
            pass
        return found


PATHS = [
    ("GET", "consumers"), ("GET", "keys"), ("POST", "keys"), ("POST", "keys/0123456789/rotate"),
    ("DELETE", "keys/0123456789"), ("GET", "budgets"), ("GET", "usage"), ("GET", "upstreams"),
    ("GET", "streams"), ("GET", "queue"), ("POST", "streams/x/stop"), ("GET", "audit"),
    ("GET", "overview"), ("POST", "reload"),
]  # fmt: skip


async def test_to_others_there_is_nothing(
    session: aiohttp.ClientSession, server: ServerProcess
) -> None:
    for method, path in [*(("/admin/" + p, m) for m, p in PATHS), ("/metrics", "GET")]:
        for headers in (bearer(ALICE), bearer("wrong"), {}):
            async with session.request(path, server.url + method, headers=headers) as response:
                assert response.status == 404, (path, method)
                body = await response.json()
                assert body["code"] == "not_found"
                assert body["error"].startswith("there is nothing at /")


async def test_a_key_is_made_used_rotated_and_revoked(
    session: aiohttp.ClientSession, server: ServerProcess, admin: Operator
) -> None:
    made = await admin(
        "keys", "POST", 201, json={"consumer": "carol", "name": "page", "expires_in": 3600}
    )
    text, id = made["key"], made["id"]
    assert (made["consumer"], made["scopes"], made["alive"]) == ("carol", ["ask", "read"], True)
    async with session.get(f"{server.url}/me", headers=bearer(text)) as response:
        assert (await response.json())["consumer"] == "carol"
    second = await admin(f"keys/{id}/rotate", "POST", 201, json={"overlap": 0})
    assert second["consumer"] == "carol"
    revoked = await admin(f"keys/{second['id']}", "DELETE")
    assert not revoked["alive"]
    listed = (await admin("keys"))["keys"]
    assert [each["id"] for each in listed] == [second["id"], id]
    assert (await admin("keys?consumer=dave"))["keys"] == []
    for body, wrong in (
        ({"consumer": "b ob"}, "letters"),
        ({"consumer": "bob", "scopes": ["fly"]}, "fly"),
        ({"consumer": "bob", "what": 1}, "what"),
        ({}, "consumer"),
        ({"consumer": "bob", "expires_in": 1e300}, "hundred years"),
    ):
        assert wrong in (await admin("keys", "POST", 400, json=body))["error"]
    await admin("keys/0123456789/rotate", "POST", 404)
    await admin("keys/0123456789", "DELETE", 404)

    entries = (await admin("audit"))["entries"]
    assert [(each["action"], each["target"], each["consumer"]) for each in entries] == [
        ("key.revoked", second["id"], "operator"),
        ("key.rotated", id, "operator"),
        ("key.created", id, "operator"),
    ]
    assert all(each["address"] == "127.0.0.1" for each in entries)
    assert entries[0]["details"] == {"consumer": "carol"}
    assert text[15:] not in str(entries) + str(listed)
    assert [each["action"] for each in (await admin("audit?action=key.created"))["entries"]] == [
        "key.created"
    ]


async def test_what_runs_waits_and_is_read_is_seen_and_stopped(
    session: aiohttp.ClientSession,
    server: ServerProcess,
    admin: Operator,
    upstream: ScriptedUpstream,
) -> None:
    upstream.script(Answer(tokens=["word "] * 50, pace=Pace(gated=True)))
    one, first = await asking(session, server, ALICE)
    _two, second = await asking(session, server, ALICE)
    three, third = await asking(session, server, BOB)
    upstream.release(4)
    await until(lambda: admin("streams"), lambda s: sum(x["tokens"] for x in s["streams"]) >= 2)
    async with Client(server.url, additional_headers=bearer(BOB)) as socket:
        await socket.send("attach", stream=three.stream)
        await socket.answer("attached")
        seen = await until(
            lambda: admin("streams"), lambda s: s["readers"] == {"sse": 3, "websocket": 1}
        )
    assert (seen["writing"], seen["queued"]) == (2, 1)
    by_stream = {each["stream"]: each for each in seen["streams"]}
    waiting, writing = by_stream[three.stream], by_stream[one.stream]
    assert seen["streams"][0] == waiting, "the queue stands first"
    assert (waiting["state"], waiting["place"], waiting["consumer"]) == ("queued", 1, "bob")
    assert waiting["readers"] == {"sse": 1, "websocket": 1}
    assert (writing["state"], writing["model"], writing["readers"]) == (
        "writing", "scripted", {"sse": 1},
    )  # fmt: skip
    assert writing["age"] >= 0
    assert [each["stream"] for each in (await admin("queue"))["queue"]] == [three.stream]
    look = await admin("overview?search=alice&sort=tokens&limit=1")
    assert (look["writing"], look["queued"], look["matching"]) == (2, 1, 2)
    (shown,) = look["streams"]
    assert shown["consumer"] == "alice"
    assert [each["name"] for each in look["upstreams"]] == ["upstream"]
    assert [each["stream"] for each in (await admin("overview?state=queued"))["streams"]] == [
        three.stream
    ]
    for wrong in ("state=odd", "sort=-rate", "limit=0", "backwards=1", f"search={'x' * 201}"):
        await admin(f"overview?{wrong}", status=400)
    consumers = {c["consumer"]: c for c in (await admin("consumers"))["consumers"]}
    assert (consumers["alice"]["writing"], consumers["alice"]["readers"]) == (2, 2)
    assert consumers["bob"]["queued"] == 1

    stopped = await admin(f"streams/{one.stream}/stop", "POST")
    assert stopped["status"] == "stopped"
    await first
    assert one.end["status"] == "stopped"
    (entry,) = (await admin("audit"))["entries"]
    assert (entry["action"], entry["target"]) == ("stream.stopped", one.stream)
    assert entry["details"] == {"consumer": "alice"}
    # The room goes to whoever waited.
    upstream.release(200)
    await asyncio.gather(second, third)
    await until(lambda: admin("streams"), lambda s: s["writing"] == s["queued"] == 0)
    await admin("streams/0123/stop", "POST", 404)
    # Who stops its own answer changes nothing of anybody else's.
    async with session.post(
        f"{server.url}/streams/{three.stream}/stop", headers=bearer(BOB)
    ) as response:
        assert response.status == 200
    assert len((await admin("audit"))["entries"]) == 1


async def test_usage_and_budgets_of_everybody(
    session: aiohttp.ClientSession,
    server: ServerProcess,
    admin: Operator,
    upstream: ScriptedUpstream,
) -> None:
    upstream.script(
        Answer(text="One two three.", usage={"prompt_tokens": 7, "completion_tokens": 3})
    )
    for key in (ALICE, ALICE, BOB):
        _, task = await asking(session, server, key)
        await task
    rows = (await admin("usage"))["usage"]
    assert [(r["consumer"], r["model"], r["requests"], r["output_tokens"]) for r in rows] == [
        ("alice", "scripted", 2, 6),
        ("bob", "scripted", 1, 3),
    ]
    (total,) = (await admin("usage?by=model"))["usage"]
    assert (total["requests"], total["input_tokens"], total["consumer"]) == (3, 21, "")
    assert [r["consumer"] for r in (await admin("usage?consumer=bob"))["usage"]] == ["bob"]
    async with session.get(
        f"{server.url}/admin/usage?format=csv", headers=bearer(OPERATOR)
    ) as response:
        assert response.content_type == "text/csv"
        table = list(csv.DictReader(io.StringIO(await response.text())))
    assert [(row["consumer"], row["output_tokens"]) for row in table] == [
        ("alice", "6"), ("bob", "3"),
    ]  # fmt: skip
    budgets = {each["name"]: each for each in (await admin("budgets"))["budgets"]}
    assert [(k["key"], k["used"]) for k in budgets["daily"]["keys"]] == [
        ("'alice'", 20), ("'bob'", 10),
    ]  # fmt: skip
    (upstream_,) = (await admin("upstreams"))["upstreams"]
    assert (upstream_["answered"], upstream_["state"], upstream_["usable"]) == (3, "closed", True)
    for query in ("since=x", "since=2026-11-20&until=2026-11-19", "by=hat", "format=xml"):
        await admin(f"usage?{query}", status=400)


async def metrics(session: aiohttp.ClientSession, server: ServerProcess, **headers: str) -> Any:
    """Every sample, by its name and labels."""
    async with session.get(f"{server.url}/metrics", headers=headers) as response:
        assert response.status == 200
        text = await response.text()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_happened(
    session: aiohttp.ClientSession,
    serve: Serve,
    tmp_path: Path,
    upstream: ScriptedUpstream,
) -> None:
    upstream.script(
        Answer(
            tokens=["word "] * 30,
            pace=Pace(gated=True),
            usage={"prompt_tokens": 9, "completion_tokens": 30},
        )
    )
    flags = ("--metrics-addresses", "127.0.0.0/8")
    async with started(serve, tmp_path, CONFIG, *flags) as server:
        reader, task = await asking(session, server, ALICE)
        upstream.release(3)
        await reader.until(lambda r: "word" in r.text)
        found = await metrics(session, server)
        assert found["fairlead_streams", "writing"] == 1
        assert found["fairlead_readers", "sse"] == 1
        assert found["fairlead_upstream_in_flight", "upstream"] == 1
        upstream.release(100)
        await task
        # 'tiny' is used up by now.
        async with session.post(
            f"{server.url}/chat/stream", json={"message": "Why?"}, headers=bearer(ALICE)
        ) as response:
            assert response.status == 429
        found = await until(
            lambda: metrics(session, server), lambda m: m["fairlead_streams", "writing"] == 0
        )
    for name in ("time_to_first_token", "generation", "inter_token"):
        assert found[f"fairlead_{name}_seconds_count", "scripted"] >= 1, name
    assert found["fairlead_tokens_total", "input", "scripted"] == 9
    assert found["fairlead_tokens_total", "output", "scripted"] == 30
    assert found["fairlead_generations_total", "", "completed", "scripted"] == 1
    assert found["fairlead_refused_questions_total", "budget_exhausted"] == 1
    assert found["fairlead_budget_exhausted_total", "tiny"] == 1
    assert found["fairlead_budget_limit", "daily", "month", "tokens"] == 1000
    assert found["fairlead_upstream_questions_total", "answered", "upstream"] == 1
    assert found["fairlead_upstream_breaker", "closed", "upstream"] == 1
    assert found["fairlead_http_requests_total", "200", "POST"] == 1
    assert found["fairlead_http_requests_total", "429", "POST"] == 1
    assert found["fairlead_store_commit_seconds_count",] > 1
    assert found["process_resident_memory_bytes",] > 0
    # No label says who asked.
    assert not any("alice" in str(key) for key in found)


async def test_every_request_has_an_id(
    session: aiohttp.ClientSession, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="So."))
    async with session.post(
        f"{server.url}/chat/stream",
        json={"message": "Why?"},
        headers=bearer(ALICE, **{"X-Request-Id": "trace-7:a"}),
    ) as response:
        assert response.headers["X-Request-Id"] == "trace-7:a"
        stream = response.headers["Fairlead-Stream"]
        await response.read()
    line = await server.wait_log(lambda line: line["event"] == "generation_ended")
    assert (line["request"], line["stream"], line["consumer"]) == ("trace-7:a", stream, "alice")
    assert (line["status"], line["model"], line["provider"]) == (
        "completed",
        "scripted",
        "upstream",
    )
    assert line["output_tokens"] > 0
    assert line["seconds"] >= line["first_token"] >= 0
    for wrong in ("x" * 129, "a b", "é"):
        async with session.get(
            f"{server.url}/info", headers=bearer("wrong", **{"X-Request-Id": wrong})
        ) as response:
            id = response.headers["X-Request-Id"]
            assert re.fullmatch("[0-9a-z]{26}", id)
            await server.wait_log(lambda line, id=id: line.get("request") == id)  # type: ignore[misc]


async def test_a_reload_is_told_of(server: ServerProcess, admin: Operator, tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text(file.read_text() + "\nmax_nonsense = 7\n")
    refused = await admin("reload", "POST", 400)
    assert "max_nonsense" in refused["error"]
    file.write_text("queue = 7\n" + CONFIG)
    await admin("reload", "POST")
    entries = (await admin("audit?action=configuration"))["entries"]
    assert "queue" in {name for each in entries for name in each["details"]["changed"].split()}


async def test_traces_reach_a_collector(
    session: aiohttp.ClientSession, serve: Serve, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(
        Answer(text="One two three.", usage={"prompt_tokens": 7, "completion_tokens": 3})
    )
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with Collector() as collector:
        text = (
            f'[traces]\nendpoint = "{collector.address}"\nauthorization_env = "COLLECTOR"\n'
            'service = "answers"\n'
        )
        (tmp_path / "fairlead.toml").write_text(text)
        server = serve("--config", str(tmp_path / "fairlead.toml"))
        server.env["COLLECTOR"] = "Bearer collectors-own"
        async with server:
            reader = Reader(session, server.url)
            await reader.ask({"message": "Why?"}, traceparent=f"00-{trace}-{parent}-01")
            (request,) = upstream.requests
            # What has not been handed over yet is when the server ends.
            assert await server.stop() == 0
            span = await collector.span()
    assert (span["trace"], span["parent"]) == (trace, parent)
    assert request.headers["traceparent"] == f"00-{trace}-{span['id']}-01"
    assert (span["service"], span["name"]) == ("answers", "chat scripted")
    assert (span["authorization"], span["path"]) == ("Bearer collectors-own", "/v1/traces")
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 3
    assert span["events"] == ["turn", "first token"]
    assert not span["failed"]


async def test_base_path_and_rules_hold_here_as_well(
    session: aiohttp.ClientSession, serve: Serve, tmp_path: Path
) -> None:
    rule = '[[rules]]\nname = "no scrapes"\nact = "deny"\npaths = ["/metrics"]\n'
    async with started(serve, tmp_path, rule + CONFIG, "--base-path", "/ai") as server:
        root = server.url.removesuffix("/ai")
        for path, status in (
            ("/ai/admin/queue", 200), ("/admin/queue", 404), ("/ai/metrics", 403),
        ):  # fmt: skip
            async with session.get(root + path, headers=bearer(OPERATOR)) as response:
                assert response.status == status, path
                assert response.headers["X-Request-Id"]
        async with session.get(f"{server.url}/openapi.json") as response:
            assert (await response.json())["servers"] == [{"url": "/ai"}]
