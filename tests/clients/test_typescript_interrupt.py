"""Interrupting an answer with the TypeScript client: what the model is told, and how often."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.toxic import ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.clients.lines import TOKENS, as_recorded, exact, reader
from tests.clients.test_typescript_nginx import spoil
from tests.proxies.nginx import Nginx

GATED = Pace(gated=True)
INTERRUPT = {"message": "From four!", "shown": 1, "after": 3}


def spoken(upstream: ScriptedUpstream) -> list[str]:
    """What the model is told that it said, in the last request."""
    turns = json.loads(upstream.requests[-1].body)["messages"]
    return [turn["content"] for turn in turns if turn["role"] == "assistant"]


@pytest.mark.parametrize("options", [{}, {"interruptible": True}], ids=["SSE", "WebSocket"])
async def test_the_next_prompt_knows_what_was_shown(
    serve: Serve,
    upstream: ScriptedUpstream,
    session: aiohttp.ClientSession,
    options: dict[str, bool],
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED), Answer(tokens=("Four ", "five")))
    async with (
        serve() as server,
        ToxicProxy(server.port) as line,
        reader(line.url, **options) as client,
    ):
        await client.send(ask="Count.", interrupt=INTERRUPT)
        for _ in range(3):
            upstream.release()
            await client.next("token")
        answers = [await client.next("answer"), await client.next("answer")]
        first, then = sorted(answers, key=lambda answer: answer["text"] == "Four five")
        assert (first["status"], first["text"]) == ("stopped", "".join(TOKENS[:3]))
        exact(then, "Four five")
        for answer in answers:
            await as_recorded(session, server, answer)
        assert spoken(upstream) == [TOKENS[0]]
        assert first["transports"] == (["websocket"] if options else ["sse"])
        assert then["transports"] == ["websocket"]
        assert line.connections == (1 if options else 2)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("options", [{}, {"transport": "poll"}], ids=["auto", "poll"])
async def test_where_no_websocket_gets_through_it_is_the_same_act(
    serve: Serve,
    upstream: ScriptedUpstream,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    options: dict[str, str],
) -> None:
    """What has been done over HTTP, a WebSocket finds done."""
    upstream.script(Answer(tokens=TOKENS, pace=GATED), Answer(tokens=("Four ", "five")))
    # Without it only who comes through nginx may see what was asked through it.
    async with serve("--base-path", "/api", "--hosts", "127.0.0.1") as server:
        nginx = Nginx(tmp_path, server.port)
        spoil(nginx, sockets=False)
        async with (
            nginx,
            reader(nginx.url, maxDelay=0, **options) as client,
            reader(server.url) as other,
        ):
            await client.send(ask="Count.", interrupt=INTERRUPT)
            for _ in range(3):
                upstream.release()
                await client.next("token")
            first, then = sorted(
                [await client.next("answer"), await client.next("answer")],
                key=lambda answer: answer["text"] == "Four five",
            )
            assert first["status"] == "stopped"
            exact(then, "Four five")
            assert list(dict.fromkeys(then["transports"])) == ["poll"]
            assert spoken(upstream) == [TOKENS[0]]

            await other.send(attach=first["stream"], interrupt=INTERRUPT)
            again = await other.next("answer")
            exact(again, "Four five")
            assert again["transports"] == ["websocket"]
            assert again["stream"] == then["stream"]
            await as_recorded(session, server, again)
    assert len(upstream.requests) == 2
