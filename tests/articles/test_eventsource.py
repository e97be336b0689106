"""npm ``eventsource`` 4 in Node: ``GET /chat/stream?message=…``, which reconnects by itself."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.articles.conftest import Connect, Serve
from tests.support.node import Script

TOKENS = ("断线", "之后\n", " goes on", "\u2028\u0085\x0b", "👩‍👩‍👧", " end。")
TEXT = "".join(TOKENS)
CLIENT = "eventsource.mjs"
ASK = "/chat/stream?message=" + quote("断线之后?")


def text(script: Script) -> str:
    return "".join(report["data"]["token"] for report in script.all("token"))


async def test_named_events_and_no_return_after_the_end(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    line = await connect(await serve())
    async with Script(CLIENT, url=line.url + ASK) as script:
        done = await script.next("done")
        assert (await script.next("broken"))["closed"] is False, "the body ended: it comes again"
        last = await script.next("broken")
    # Asked once more, from the end, and told by 204 not to come again.
    assert last == {"is": "broken", "code": 204, "closed": True}
    assert done["data"]["status"] == "completed"
    assert text(script) == TEXT
    assert not script.all("message"), "named events are none for onmessage"
    assert len(upstream.requests) == 1
    assert [headers.get("last-event-id") for _, _, headers in line.requests] == [None, done["id"]]
    assert upstream.requests[0].message_texts("user") == ["断线之后?"]


async def test_unnamed_events_for_onmessage(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS))
    server = await serve()
    async with Script(CLIENT, url=server.url + ASK + "&events=message") as script:
        while (last := await script.next("message"))["data"]["type"] != "done":
            pass
    messages = [report["data"] for report in script.all("message")]
    assert all(set(message) == {"type", "data"} for message in messages)
    assert messages[0]["type"] == "thinking"
    assert last["data"]["data"]["status"] == "completed"
    tokens = [message["data"]["token"] for message in messages if message["type"] == "token"]
    assert "".join(tokens) == TEXT
    assert not script.all("token")


async def test_it_resumes_by_itself(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve())
    async with Script(CLIENT, url=line.url + ASK) as script:
        for _ in TOKENS[:4]:
            upstream.release()
            await script.next("token")
            line.cut()
        upstream.release(len(TOKENS))
        await script.next("done")
    assert text(script) == TEXT
    assert len(upstream.requests) == 1
    assert len(script.all("open")) == 5


async def test_the_key_counts_before_the_first_event(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    line = await connect(await serve())
    line.swallow = True
    async with Script(CLIENT, url=line.url + ASK + "&key=once") as script:
        await line.until_received(b"event: thinking")
        line.swallow = False
        line.cut()
        # The client cannot have heard of `retry:` yet: its own default is 3 s.
        await script.next("done")
    assert text(script) == TEXT
    assert len(upstream.requests) == 1
    assert [headers.get("last-event-id") for _, _, headers in line.requests[:2]] == [None, None]


async def test_a_draining_server_still_serves_a_returning_reader(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect, http: aiohttp.ClientSession
) -> None:
    """The first phase: nothing new, everything else."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve()
    line = await connect(server)
    async with Script(CLIENT, url=line.url + ASK) as script:
        upstream.release(2)
        await script.next("token")
        await script.next("token")
        server.terminate()
        await server.wait_log(lambda entry: entry.get("event") == "draining")
        async with http.post(f"{server.url}/chat/stream", json={"message": "New?"}) as refused:
            assert refused.status == 503
            assert (await refused.json())["code"] == "draining"
            assert int(refused.headers["Retry-After"]) >= 1
        line.cut()
        upstream.release()
        await script.next("token")
        upstream.release(len(TOKENS))
        await script.next("done")
        assert await server.wait() == 0
    assert text(script) == TEXT
    assert len(upstream.requests) == 1


async def test_a_restart_loses_nothing(
    serve: Serve, upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    """A server on the same files writes the answer, while the reader's own is replaced at the same
    address: ``EventSource`` comes back to it by itself."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    writing = await serve()
    reading = await serve()
    body = {"message": "Hi", "background": True}
    async with http.post(f"{writing.url}/chat/stream", json=body) as asked:
        stream = asked.headers["Fairlead-Stream"]
    async with Script(CLIENT, url=f"{reading.url}/streams/{stream}") as script:
        upstream.release(2)
        assert (await script.next("token"))["data"] == {"token": TOKENS[0]}
        assert await reading.stop() == 0
        assert (await script.next("drain"))["data"]["retry_after"] > 0
        upstream.release(2)
        await reading.start()
        upstream.release(len(TOKENS))
        await script.next("done")
    assert text(script) == TEXT
    assert len(upstream.requests) == 1


async def test_an_interrupted_answer_says_so_and_is_not_asked_for_again(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--drain-grace", "0")
    line = await connect(server)
    async with Script(CLIENT, url=line.url + ASK) as script:
        upstream.release(2)
        await script.next("token")
        await script.next("token")
        assert await server.stop() == 0
        error = await script.next("error")
        await server.start()
        last = await script.next("broken", closed=True)
    assert error["data"]["code"] == "interrupted"
    assert error["data"]["retryable"] is True
    assert last["code"] == 204
    assert text(script) == "".join(TOKENS[:2])
    assert len(upstream.requests) == 1
