"""For everybody, on every screen, however long it gets."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.page.driving import drive, releasing, serving
from tests.page.test_reading import DOCUMENT
from tests.support.server import ServerProcess


async def test_the_accessibility_checker_finds_nothing_serious(tmp_path: Path) -> None:
    document = tmp_path / "skarvoy.md"
    document.write_text(DOCUMENT, encoding="utf-8")
    async with ServerProcess(
        tmp_path / "data", "--documents", str(document), "--extractive-pace", "0"
    ) as server:
        question = "When was the lighthouse of Skarvoy built?"
        seen = await drive("access.axe", server.url, question=question)
    assert len(seen["found"]) == 18
    assert {state: found for state, found in seen["found"].items() if found} == {}


async def test_everything_is_reached_by_keyboard(url: str) -> None:
    seen = await drive("access.keyboard", url)
    assert seen["begins"] == "question"
    assert seen["search"] == "search"
    assert seen["ends"] == "question"
    order = seen["order"]
    wanted = ["New conversation", "search", "Model", "Settings of this conversation"]
    wanted += ["Transport", "Messages", "question"]
    places = [next(n for n, at in enumerate(order) if one in at) for one in wanted]
    assert places == sorted(places)


async def test_a_screen_reader_is_told_and_not_flooded(
    url: str, upstream: ScriptedUpstream
) -> None:
    tokens = tuple(f"Sentence {n}. " for n in range(500))
    upstream.script(Answer(tokens=tokens, pace=Pace(gated=True)))
    seen = await drive("access.announced", url, releasing(upstream, asked=2000))
    said = seen["said"]
    assert said[0] == "The answer is being written."
    assert said[-1].endswith("The answer is complete.")
    assert len(said) <= 6
    assert max(map(len, said)) <= 400
    assert seen["live"] == 1


async def test_a_phone_shows_all_of_it_in_its_language(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    long = "a" * 200 + "\n\n```\n" + "b" * 300 + "\n```\n\n" + "| " + "c" * 90 + " | d |\n|--|--|\n"
    upstream.script(Answer(text=long))
    async with serving(tmp_path / "data", upstream, "--base-path", "/under/here") as server:
        seen = await drive("access.phone", server.url)
    assert seen == {
        "lang": "zh-CN",
        "placeholder": "输入问题",
        "overflow": 0,
        "composer": seen["composer"],
        "hidden": True,
        "shown": True,
        "path": "/under/here/",
    }
    assert seen["composer"] <= 0


async def test_lines_stay_readable_on_a_wide_screen(url: str) -> None:
    seen = await drive("access.wide", url)
    assert seen["width"] < 900


async def test_a_conversation_of_500_messages_opens_at_its_end(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="Paragraph one.\n\n- a\n- b\n\n`code` and **more**."))
    conversation = ""
    async with aiohttp.ClientSession(url) as session:
        for n in range(250):
            body = {"message": f"Question {n}", "conversation_id": conversation or None}
            async with session.post("/chat/stream", json=body) as response:
                conversation = response.headers["Fairlead-Conversation"]
                await response.read()
    seen = await drive("access.long", url, conversation=conversation)
    assert seen["first"] == 16  # the others follow when there is time
    assert seen["end"] < 100
    assert seen["later"] < 100
    assert "Paragraph one." in seen["last"]


async def test_of_a_long_answer_only_the_end_is_made_anew(
    url: str, upstream: ScriptedUpstream
) -> None:
    words = [f"word{n} " if n % 50 else "\n\n" for n in range(1, 20_001)]
    upstream.script(Answer(tokens=tuple(words), pace=Pace(gated=True)))
    upstream.release(1500)
    seen = await drive("access.pace", url, releasing(upstream, watched=100_000))
    assert seen["kept"] == 1
    assert seen["settled"] > 300
    assert seen["behind"] == 0
    assert seen["length"] > 150_000
