"""The Lab: one answer over all transports at once."""

from __future__ import annotations

import csv
import io

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Status
from fairlead.testing.upstream.requests import Ending
from tests.page.driving import STORY, WORDS, drive

GATED = Answer(tokens=WORDS, pace=Pace(gated=True))
NAMES = {
    "SSE": "sse",
    "WebSocket": "websocket",
    "Long poll": "poll",
    "NDJSON": "ndjson",
    "Connect": "connect",
}


async def test_one_answer_is_read_over_all_lines_and_cut_and_measured(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED)
    places = [3, 11, 25]
    steps = [b - a for a, b in zip([-1, *places], [*places, 200], strict=False)]

    def at(_: str) -> None:
        upstream.release(steps.pop(0))

    seen = await drive("lab.run", url, at, places=[f"word{n}" for n in places])
    assert len(upstream.requests) == 1
    assert list(seen["lanes"]) == list(NAMES)
    for lane in seen["lanes"].values():
        assert lane["text"].strip() == STORY
        assert "Letter for letter what the server has" in lane["end"]
        assert "healed after" in lane["end"]
    assert "Nothing lost, nothing repeated" in seen["said"]
    assert "SSE" in seen["verdict"]
    assert len(seen["rows"]) == 5
    assert seen["plots"] == 6
    assert seen["foreign"] == []
    assert seen["lazily"]

    lines = seen["json"]["lines"]
    assert [line["transport"] for line in lines] == list(NAMES.values())
    for line in lines:
        assert line["exact"] is True
        positions = [arrival["position"] for arrival in line["arrivals"]]
        assert positions == sorted(set(positions))
        assert sum(arrival["characters"] for arrival in line["arrivals"]) == len("".join(WORDS))
        assert line["cuts"]
        assert all(cut["healed"] > cut["at"] for cut in line["cuts"])
        assert line["requests"] > len(line["cuts"])
        assert line["bytes"] > len(STORY)
        assert len(line["setups"]) == 5
        assert line["figures"]["firstToken"] >= line["firstEvent"] > 0
    assert len(seen["json"]["plain"]) == 5
    rows = list(csv.DictReader(io.StringIO(seen["csv"])))
    assert {row["transport"] for row in rows} == set(NAMES.values())
    assert {row["event"] for row in rows} == {"text", "cut", "healed"}


async def test_who_leaves_ends_it(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(GATED)

    async def at(name: str) -> None:
        if name == "asked":
            upstream.release(5)
        else:
            request = await upstream.wait_request()
            assert await request.wait_ended() is Ending.CLIENT_CLOSED

    await drive("lab.left", url, at)


async def test_what_the_server_refuses_is_said(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(400), Answer(text="There."))
    seen = await drive("lab.refused", url)
    assert "did not accept the question" in seen["said"]
    assert seen["lanes"] == 5
    assert seen["verdict"]
