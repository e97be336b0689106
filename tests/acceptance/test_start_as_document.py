"""A start request that wants JSON is answered at once, for clients that then poll."""

from __future__ import annotations

import aiohttp

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve

JSON = {"Accept": "application/json", "Idempotency-Key": "once"}


async def test_answered_at_once_and_asked_once(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=("a ", "b"), pace=Pace(gated=True)))
    async with serve() as server:
        url = f"{server.url}/chat/stream"
        streams = []
        for _ in range(2):
            async with session.post(url, json={"message": "Go on."}, headers=JSON) as response:
                document = await response.json()
                assert document["status"] == "running"
                assert response.headers["Fairlead-Stream"] == document["stream"]
                streams.append(document["stream"])
        upstream.release(3)
        assert streams[0] == streams[1]
        after, text = "", ""
        while True:
            poll = f"{server.url}/streams/{streams[0]}?wait=25&after={after}"
            async with session.get(poll) as response:
                batch = await response.json()
            after = batch["position"]
            text += "".join(m["data"]["token"] for m in batch["events"] if m["type"] == "token")
            if batch["closed"]:
                break
        assert text == "a b"
        assert len(upstream.requests) == 1

        known = JSON | {"Last-Event-ID": f"{streams[0]}.{after}"}
        async with session.post(url, json={"message": "Other?"}, headers=known) as response:
            document = await response.json()
        assert (document["stream"], document["status"]) == (streams[0], "completed")
        assert len(upstream.requests) == 1
