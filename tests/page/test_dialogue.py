"""A conversation: stop, branches, interrupting, coming back, the list."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from fairlead.testing.upstream import Answer, Echo, Pace, ScriptedUpstream
from fairlead.testing.upstream.requests import Ending
from tests.page.driving import STORY, WORDS, drive, releasing, serving

GATED = Answer(tokens=WORDS, pace=Pace(gated=True))
BEGUN = "".join(WORDS[:5]).strip()


async def test_stop_ends_the_answer_and_keeps_what_was_written(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED, Answer(text="And more."))
    seen = await drive("dialogue.stop", url, releasing(upstream, asked=5))
    assert seen == {"text": BEGUN, "status": "stopped", "more": "And more."}
    assert upstream.requests[0].ending is Ending.CLIENT_CLOSED
    asked = upstream.requests[1].json["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    assert asked[1]["content"].strip() == BEGUN


async def test_answers_and_questions_have_versions(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(text="First."), Answer(text="Second."), Answer(text="Third."))
    seen = await drive("dialogue.branches", url)
    assert seen == {
        "regenerated": "Second.",
        "first": "First.",
        "edited": "About plums",
        "back": "About pears",
        "again": "Second.",
    }
    assert [len(request.json["messages"]) for request in upstream.requests] == [1, 1, 1]


async def test_asking_while_an_answer_runs_stops_it_and_goes_on(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED, Answer(text="Instead, this."))
    seen = await drive("dialogue.interrupt", url, releasing(upstream, asked=5))
    assert seen == {"first": BEGUN, "status": "stopped", "text": "Instead, this."}
    assert upstream.requests[0].ending is Ending.CLIENT_CLOSED
    assert upstream.requests[1].json["messages"][1]["content"].strip() == BEGUN


async def test_an_answer_goes_on_where_it_is_for_whoever_comes_back(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED)
    seen = await drive(
        "dialogue.returning", url, releasing(upstream, asked=5, closed=15, opened=100)
    )
    assert seen == {"reloaded": "running", "second": STORY, "third": STORY}
    assert len(upstream.requests) == 1


async def test_what_finished_while_one_was_away_is_marked(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED)
    seen = await drive("dialogue.away", url, releasing(upstream, asked=5, away=100))
    assert seen["title"].startswith("● ")
    assert seen["text"] == STORY


async def test_two_browsers_show_one_conversation(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(text="Echo one."), Answer(text="Echo two."))
    seen = await drive("dialogue.elsewhere", url)
    assert seen["questions"] == ["First", "Second"]


async def test_conversations_are_searched_renamed_and_deleted(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Echo())
    seen = await drive("dialogue.list", url)
    assert seen["all"] == ["About plums", "About pears", "About apples"]
    assert seen["found"] == ["About pears"]
    assert seen["renamed"] == ["About plums", "About pears", "Fruit"]
    assert seen["left"] == ["About pears", "Fruit"]
    assert seen["hash"] == "#/"


async def test_an_interrupted_answer_keeps_its_text_and_is_continued(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED, Answer(text="Going on."))
    async with serving(tmp_path, upstream) as server:

        async def at(name: str) -> None:
            if name == "asked":
                upstream.release(5)
            else:
                await server.kill()
                await server.start()

        seen = await drive("dialogue.restart", server.url, at)
    assert seen["status"] == "interrupted"
    assert seen["text"] == BEGUN
    assert "stopped in the middle" in seen["words"]
    assert seen["more"] == "Going on."


async def test_a_question_that_waits_says_as_which(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED)

    def at(name: str) -> None:
        upstream.release(3 if name == "asked" else 1000)

    async with serving(tmp_path, upstream, "--max-generations", "1") as server:
        seen = await drive("dialogue.queued", server.url, at)
    assert seen == {"waits": "Waiting, number 1 in the queue", "texts": [STORY] * 3}


async def test_escape_stops_the_answer(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(GATED)
    assert await drive("dialogue.escape", url, releasing(upstream, asked=5)) == {
        "status": "stopped"
    }


async def test_older_conversations_are_listed_and_stay_so(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="There."))
    async with aiohttp.ClientSession(url) as session:
        for n in range(45):
            async with session.post("/chat/stream", json={"message": f"Question {n}"}) as response:
                await response.read()
    seen = await drive("dialogue.older", url)
    assert (seen["first"], seen["again"]) == (40, 40)
    assert set(seen["groups"]) <= {"Today", "Yesterday"}
    assert [title.strip() for title in seen["found"]] == ["Question 7"]
