"""Asking: what is typed, attached, dropped and set; who asks; what is refused."""

from __future__ import annotations

import base64
from pathlib import Path

import aiohttp

from fairlead.testing.upstream import Answer, Echo, ScriptedUpstream, Status
from tests.page.driving import drive, serving
from tests.page.test_reading import DOCUMENT, picture
from tests.support.server import ServerProcess

KEY = "correct-horse-battery-staple-01234567"


async def test_nothing_that_was_typed_is_lost(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(400), Answer(text="Here it is."))
    seen = await drive("composing.typing", url)
    assert seen["draft"] == "One\nTwo"
    assert "did not accept the question" in seen["refused"]
    assert (seen["typed"], seen["later"]) == ("Three", "Three")
    assert seen["bubbles"] == ["One\nTwo"]
    assert seen["text"] == "Here it is."


async def test_pictures_and_texts_go_along_within_the_limits(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Echo())
    async with serving(tmp_path, upstream, "--max-attachment-bytes", "2048") as server:
        png = base64.b64encode(picture(6, 4)).decode()
        seen = await drive("composing.attachments", server.url, png=png)
    assert seen["before"] == seen["chosen"] == ["chart.png", "notes.log"]
    assert (seen["preview"], seen["left"]) == (6, 0)
    assert seen["refused"] == [
        "archive.zip is of a type that this server does not take.",
        "large.txt is larger than 2 kB.",
    ]
    assert seen["width"] == 6
    assert "notes.log" in seen["shown"]
    assert len(upstream.requests) == 2
    for asked in upstream.requests:  # an edited question keeps what came with it
        assert [one.data for one in asked.message_pictures()] == [picture(6, 4)]
        assert "The password is Fähre." in str(asked.json["messages"][-1]["content"])


async def test_a_picture_that_is_pasted_goes_along(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(text="A picture."))
    png = picture(6, 4)
    seen = await drive("composing.pasted", url, png=base64.b64encode(png).decode())
    assert seen == {"text": "A picture.", "width": 6, "focused": True}
    (asked,) = upstream.requests
    assert [one.data for one in asked.message_pictures()] == [png]


async def test_documents_that_are_dropped_are_cited_at_once(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path, "--extractive-pace", "0") as server:
        seen = await drive("composing.documents", server.url, document=DOCUMENT)
    taken, refused = seen["outcomes"]
    assert "skarvoy.md" in taken
    assert "passages" in taken
    assert "type that this server does not take" in refused
    assert "1887" in seen["text"]
    assert "Skarvoy" in seen["source"]


async def test_a_conversation_has_its_model_instructions_and_parameters(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Echo())
    config = tmp_path / "fairlead.toml"
    config.write_text(
        f'[[upstreams]]\nname = "one"\nbase_url = "{upstream.base_url}"\n'
        'models = ["main", "other"]\n',
        encoding="utf-8",
    )
    args = ("--config", str(config), "--no-knowledge")
    async with ServerProcess(tmp_path / "data", *args) as server:
        seen = await drive("composing.settings", server.url)
    assert seen == {"kept": "other", "fresh": ""}
    asked = [request.json for request in upstream.requests]
    assert [one["model"] for one in asked] == ["other", "other", "main"]
    for one in asked[:2]:
        assert one["messages"][0]["role"] == "system"
        assert "Rhyme." in one["messages"][0]["content"]
        assert one["temperature"] == 0.3
        assert one["max_tokens"] == 77
    assert "temperature" not in asked[2]
    assert all(message["role"] != "system" for message in asked[2]["messages"])


async def test_one_signs_in_where_the_server_asks_for_it(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="Welcome."))
    async with serving(tmp_path, upstream, env={"FAIRLEAD_API_KEYS": f"alice={KEY}"}) as server:
        seen = await drive("composing.key", server.url, key=KEY)
    assert "does not know this key" in seen["refused"]
    assert seen["text"] == "Welcome."
    assert "WebSocket" in seen["over"]
    assert KEY not in seen["address"]
    assert KEY not in seen["left"]


async def test_refusals_say_when_and_why(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(text="One."), Status(401))
    config = tmp_path / "fairlead.toml"
    config.write_text(
        '[[budgets]]\nname = "daily"\nlimit = 2\nunit = "requests"\nper = "day"\n',
        encoding="utf-8",
    )
    async with serving(tmp_path / "data", upstream, "--config", str(config)) as server:
        async with (
            aiohttp.ClientSession(server.url) as session,
            session.post("/chat/stream", json={"message": "Mine."}) as response,
        ):
            await response.read()
        seen = await drive("composing.refusals", server.url, count=2)
    refused, budget = seen["said"]
    assert "refused the key of this server, not yours" in refused
    assert "The budget “daily” is used up." in budget
    assert "It refills in" in budget
