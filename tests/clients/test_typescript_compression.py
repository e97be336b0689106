"""The TypeScript client before a server that compresses: it notices nothing."""

from __future__ import annotations

import aiohttp
import pytest

from fairlead.testing.toxic import Split, ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.clients.lines import TOKENS, as_recorded, exact, reader


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_cut_in_the_midst_and_in_small_pieces(
    serve: Serve,
    upstream: ScriptedUpstream,
    session: aiohttp.ClientSession,
    transport: str,
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with (
        serve("--compression", "on") as server,
        ToxicProxy(server.port, Split(7)) as line,
        reader(line.url, transport=transport, maxDelay=0) as client,
    ):
        await client.send(ask="Go on.")
        await client.next("begun")
        for _ in range(3):
            upstream.release(5)
            await upstream.wait_tokens(5)
            line.cut()
        upstream.release(len(TOKENS))
        answer = await client.next("answer")
        exact(answer)
        await as_recorded(session, server, answer)
        assert set(answer["transports"]) == {transport}
        coded = b"".join(bytes(link.received) for link in line.links)
    assert b"content-encoding: gzip" in coded
