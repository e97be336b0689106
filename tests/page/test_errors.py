"""What goes wrong, in words that help; and nothing is lost that somebody typed or wished."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from fairlead.testing.upstream import Answer, Echo, Ending, Pace, ScriptedUpstream, Status
from tests.page.driving import STORY, WORDS, drive, releasing, serving
from tests.support.ports import free_port
from tests.support.provider import Provider
from tests.support.server import ServerProcess

GATED = Answer(tokens=WORDS, pace=Pace(gated=True))
OPERATOR = "operators-own-key-0123456789abcdef"


async def test_a_busy_server_says_when_to_come_back(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED, Answer(text="Now there is."))
    flags = ("--max-generations", "1", "--queue", "0")
    async with (
        serving(tmp_path, upstream, *flags) as server,
        aiohttp.ClientSession(server.url) as session,
        session.post("/chat/stream", json={"message": "First."}) as first,
    ):
        await upstream.wait_request()

        async def at(_: str) -> None:
            upstream.release(100)
            await first.read()
            async with asyncio.timeout(60):
                while (await (await session.get("/health/ready")).json())["generations"]:
                    pass

        seen = await drive("errors.busy", server.url, at)
    assert "The server is busy." in seen["said"]
    assert "Try again in" in seen["said"]
    assert seen["kept"] == "Is there room?"
    assert seen["text"] == "Now there is."
    assert (seen["left"], seen["draft"]) == ("", [])


async def test_a_dialogue_that_the_model_finds_too_long(
    url: str, upstream: ScriptedUpstream
) -> None:
    words = "This model's maximum context length is 4096 tokens."
    upstream.script(Status(400, message=words))
    seen = await drive("errors.long", url, question="Why?")
    assert seen["said"].startswith("The conversation is too long for this model.")
    assert words in seen["detail"]
    assert seen["bubble"] == "Why?"


async def test_a_question_that_the_server_finds_too_long(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with serving(tmp_path, upstream, "--max-prompt-chars", "20") as server:
        seen = await drive("errors.long", server.url, question="x" * 21)
    assert "too large for this server" in seen["said"]
    assert "at most 20" in seen["detail"]
    assert seen["kept"] == "x" * 21


async def test_an_attachment_that_the_server_finds_too_large(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="It is all x."))
    config = tmp_path / "fairlead.toml"
    config.write_text("max_attachment_bytes = 10000\n", encoding="utf-8")
    async with (
        serving(tmp_path / "data", upstream, "--config", str(config)) as server,
        aiohttp.ClientSession(server.url) as session,
    ):

        async def at(name: str) -> None:
            size = 1024 if name == "opened" else 10000
            config.write_text(f"max_attachment_bytes = {size}\n", encoding="utf-8")
            async with session.post("/admin/reload") as response:
                assert response.status == 200, await response.text()

        seen = await drive("errors.attachment", server.url, at)
    assert "too large for this server" in seen["said"]
    assert seen["kept"] == ["What is in it?", "notes.txt"]
    assert seen["text"] == "It is all x."


async def test_a_sign_in_that_ends_takes_nothing_along(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Echo())
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    config = tmp_path / "fairlead.toml"
    config.write_text(
        '[[keys]]\nconsumer = "operator"\nkey_env = "OPERATORS_KEY"\nscopes = ["admin"]\n',
        encoding="utf-8",
    )
    async with (
        serving(
            tmp_path / "data", upstream, "--config", str(config), env={"OPERATORS_KEY": OPERATOR}
        ) as server,
        aiohttp.ClientSession(server.url, headers=headers) as session,
    ):
        made: list[dict[str, Any]] = []
        for _ in range(2):
            async with session.post("/admin/keys", json={"consumer": "alice"}) as response:
                assert response.status == 201, await response.text()
                made.append(await response.json())

        async def at(_: str) -> None:
            async with session.delete(f"/admin/keys/{made[0]['id']}") as response:
                assert response.status == 200
            first = {"Authorization": f"Bearer {made[0]['key']}"}
            status = 200
            async with asyncio.timeout(60):
                while status == 200:
                    async with session.get("/me", headers=first) as response:
                        status = response.status

        seen = await drive(
            "errors.expired", server.url, at, first=made[0]["key"], second=made[1]["key"]
        )
    assert "Sign in" in seen["said"]
    assert seen["hidden"]
    assert seen["kept"] == ["Second question", "notes.txt"]
    assert "Second question" in seen["text"]
    assert "The code is 7." in str(upstream.requests[-1].json["messages"][-1]["content"])


async def test_what_is_asked_without_a_network_is_asked_later(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="I am."))
    seen = await drive("errors.offline", url)
    assert "You are offline." in seen["banner"]
    assert seen["draft"] == "Are you there?"
    assert seen["text"] == "I am."
    assert len(upstream.requests) == 1


async def test_a_stop_waits_for_the_line(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(GATED)
    seen = await drive("errors.stopLater", url, releasing(upstream, asked=5))
    assert "as soon as it can be" in seen["said"]
    assert seen["role"] == "status"
    assert (seen["status"], seen["ended"]) == ("running", "stopped")
    assert seen["text"] == "".join(WORDS[:5]).strip()
    assert seen["kept"] is None


async def test_a_stop_waits_for_the_next_page(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(GATED)
    at = releasing(upstream, asked=5, opened=0)
    seen = await drive("errors.stopNext", url, at)
    assert seen["status"] == "stopped"
    assert STORY.startswith(seen["text"])
    assert "word6" not in seen["text"]


async def test_a_page_that_is_closed_leaves_its_answer_to_go_on_or_to_end(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED, GATED)
    async with serving(tmp_path / "one", upstream, "--orphan-window", "0") as server:
        await drive("errors.left", server.url, releasing(upstream, asked=5))
        (going,) = upstream.requests
        going.release(100)
        assert await going.wait_ended() is Ending.COMPLETED
    # Long enough for the page to begin to read.
    window = ("--orphan-window", "2", "--no-page-background")
    async with serving(tmp_path / "two", upstream, *window) as server:
        await drive("errors.left", server.url, releasing(upstream, asked=5))
        assert await upstream.requests[1].wait_ended() is Ending.CLIENT_CLOSED


async def test_the_page_signs_in_and_out_at_a_provider(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="You are root."), Answer(text="It is 7."))
    port = free_port()
    config = tmp_path / "fairlead.toml"
    async with Provider(f"http://127.0.0.1:{port}") as provider:
        config.write_text(
            f"""
            [oidc]
            issuer = "{provider.issuer}"
            client_id = "fairlead"
            client_secret_env = "OIDC_SECRET"
            url = "http://127.0.0.1:{port}"
            scopes_claim = "groups"
            grants = {{ admins = ["admin"] }}
            """,
            encoding="utf-8",
        )
        flags = ("--upstream", upstream.base_url, "--model", "scripted", "--no-knowledge")
        server = ServerProcess(
            tmp_path / "data", "--config", str(config), *flags,
            env={"OIDC_SECRET": "the secret of fairlead"},
        )  # fmt: skip
        server.port = port
        async with server:
            seen = await drive("errors.account", server.url)
    assert seen["back"] == "/#/operator"
    assert seen["text"] == "You are root."
    assert "WebSocket" in seen["wire"]
    assert "root" in seen["who"]
    assert seen["kept"] == ["", None]
    assert seen["again"] == ["What is the code?", "notes.txt"]
    assert seen["code"] == "It is 7."
    assert "The code is 7." in str(upstream.requests[-1].json["messages"][-1]["content"])
    assert seen["out"] == "/"
    assert "My secret" not in seen["lying"]
    assert seen["seen"] == ["", 0, 0]
    assert seen["others"] == 0
    assert "Operator" not in seen["links"]


async def test_the_keys_are_told_and_a_conversation_is_saved(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="They are **sweet**."))
    seen = await drive("errors.extras", url)
    assert "Send; while an answer is being written" in seen["keys"]
    assert seen["file"] == "About pears.md"
    assert seen["text"] == (
        "# About pears\n\n## You\n\nAbout pears\n\n## Answer (scripted)\n\nThey are **sweet**.\n"
    )


async def test_a_fault_of_the_page_shows_a_way_on_and_no_trace(url: str) -> None:
    seen = await drive("errors.fault", url)
    assert seen["said"].split("\n\n") == [
        "Something went wrong in this page. Nothing is lost: the server has it all.",
        "Load the page again",
    ]
    assert seen["kept"] == "Begun before"
