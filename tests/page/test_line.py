"""The line: cut it, choose another, have many at once, have none."""

from __future__ import annotations

import random

import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.page.driving import STORY, WORDS, drive, releasing

GATED = Answer(tokens=WORDS, pace=Pace(gated=True))
NAMES = {
    "sse": "SSE",
    "websocket": "WebSocket",
    "poll": "Long poll",
    "ndjson": "NDJSON",
    "connect": "Connect",
}


@pytest.mark.parametrize("transport", NAMES)
async def test_cut_at_many_moments_the_text_is_the_same(
    url: str, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(GATED)
    places = sorted(random.Random(transport).sample(range(1, 38), 6))
    steps = [b - a for a, b in zip([-1, *places], [*places, 200], strict=False)]

    def at(_: str) -> None:
        upstream.release(steps.pop(0))

    seen = await drive("line.cuts", url, at, transport=transport, places=places)
    assert seen["text"] == STORY
    assert NAMES[transport] in seen["wire"]
    if transport != "poll":  # where a poll that was cut may have been the one before
        assert "6 reconnects" in seen["wire"]
    assert "resumed after" in seen["wire"]
    assert len(upstream.requests) == 1


async def test_another_transport_takes_over_in_mid_answer(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED)
    at = releasing(upstream, asked=5, cut=100)
    seen = await drive("line.change", url, at, before="websocket", after="poll")
    assert seen["offered"] == ["Auto", *NAMES.values()]
    assert seen["text"] == STORY
    assert "Long poll" in seen["wire"]
    assert "tokens/s" in seen["wire"]
    assert "first token" in seen["wire"]
    assert seen["chosen"] == "poll"


async def test_seven_tabs_read_at_once(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(*[GATED] * 7)

    async def at(name: str) -> None:
        if name == "asked":
            for _ in range(7):
                (await upstream.wait_request()).release(2)
        else:
            upstream.release(1000)

    seen = await drive("line.tabs", url, at)
    assert seen["running"] == ["running"] * 7
    assert seen["texts"] == [STORY] * 7
    assert all("WebSocket" in wire for wire in seen["wires"])


async def test_without_a_network_a_banner_says_so_and_the_answer_catches_up(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(GATED)
    seen = await drive("line.offline", url, releasing(upstream, asked=5, offline=100))
    assert "offline" in seen["banner"]
    assert seen["meanwhile"] == "".join(WORDS[:5]).strip()
    assert seen["text"] == STORY
