"""``@microsoft/fetch-event-source`` 2.0.1 with the articles' client class, changed only in address,
key and delay, against the real server."""

from __future__ import annotations

import aiohttp

from fairlead.testing.toxic import Cut, Pass, ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, StreamError
from tests.articles.conftest import Connect, Serve, ready, until_readers
from tests.support.node import Script

#: Line ends, separators that careless clients split at, an emoji, Chinese, JSON's own characters.
TOKENS = ("断线", "之后\n", " goes on", "\u2028\u0085\x0b", "👩‍👩‍👧", ' "so"\\ ', "\r\n", "end。")
TEXT = "".join(TOKENS)
CLIENT = "fetch-event-source.mjs"


def text(script: Script) -> str:
    return "".join(report["token"] for report in script.all("token"))


async def test_an_answer_with_sources_for_a_caller_with_a_key(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    server = await serve(knowledge=True, FAIRLEAD_API_KEYS="alice=secret")
    question = "How does a client resume after a broken connection?"
    async with Script(CLIENT, url=server.url, token="secret", message=question) as script:
        done = await script.next("done")
    assert done["status"] == "completed"
    assert text(script) == TEXT
    statuses = [report["status"] for report in script.all("thinking")]
    assert statuses[0] == "retrieving"
    assert script.all("thinking")[0]["message"]
    (sources,) = script.all("sources")
    assert len(sources["sources"]) > 0
    order = [report["is"] for report in script.reports]
    assert order.index("thinking") < order.index("sources") < order.index("token")
    assert order[-1] == "done"
    assert not script.all("error")
    assert len(upstream.requests) == 1


async def test_a_refused_key_is_final(serve: Serve, upstream: ScriptedUpstream) -> None:
    server = await serve(FAIRLEAD_API_KEYS="alice=secret")
    async with Script(CLIENT, url=server.url, token="guessed", message="Hi") as script:
        error = await script.next("error")
    assert "key" in error["error"] or "credential" in error["error"]
    assert [report["status"] for report in script.all("open")] == [401]
    assert not upstream.requests


async def test_heartbeats_in_the_model_s_silence_are_no_messages(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve("--heartbeat", "0.1"))
    async with Script(CLIENT, url=line.url, message="Hi") as script:
        # Silence before the first token, then in the middle.
        await line.until_received(b": heartbeat\n", 3)
        upstream.release(2)
        await script.next("token", token=TOKENS[1])
        await line.until_received(b": heartbeat\n", 6)
        upstream.release(len(TOKENS))
        await script.next("done")
    assert text(script) == TEXT
    assert not script.all("error")
    assert len(script.all("open")) == 1


async def test_resets_in_the_middle_attach_again_and_start_nothing(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve())
    async with Script(CLIENT, url=line.url, message="Hi", retryDelay=10) as script:
        # Five breaks: more than the three retries, whose counter starts anew with each opening.
        for token in TOKENS[:5]:
            upstream.release()
            await script.next("token", token=token)
            line.cut()
        upstream.release(len(TOKENS))
        await script.next("done")
    assert text(script) == TEXT
    assert len(upstream.requests) == 1
    assert [report["status"] for report in script.all("open")] == [200] * 6
    posts = line.requests
    assert [(method, target) for method, target, _ in posts] == [("POST", "/chat/stream")] * 6
    assert all("idempotency-key" not in headers for _, _, headers in posts)
    assert "last-event-id" not in posts[0][2]
    ids = [headers["last-event-id"] for _, _, headers in posts[1:]]
    assert ids == sorted(set(ids))
    bodies = {bytes(link.sent).split(b"\r\n\r\n", 1)[1] for link in line.links}
    assert bodies == {b'{"message":"Hi"}'}


async def test_a_break_before_the_first_event_is_what_the_idempotency_key_is_for(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    line = await connect(await serve())
    line.swallow = True
    headers = {"Idempotency-Key": "once"}
    async with Script(CLIENT, url=line.url, message="Hi", retryDelay=10, headers=headers) as script:
        await line.until_received(b"event: thinking")
        line.swallow = False
        line.cut()
        await script.next("done")
    assert text(script) == TEXT
    assert len(upstream.requests) == 1
    assert len(line.requests) == 2


async def test_batches_of_five(serve: Serve, upstream: ScriptedUpstream, connect: Connect) -> None:
    upstream.script(Answer(tokens=TOKENS))
    line = await connect(await serve())
    path = "/chat/stream?batch=5&batch_ms=10000"
    async with Script(CLIENT, url=line.url, path=path, message="Hi") as script:
        await script.next("done")
    assert text(script) == TEXT
    body = bytes(line.links[0].received)
    assert body.count(b"event: token\n") == 2
    assert body.count(b'"tokens":[') == 2


async def test_an_error_in_the_middle_is_an_event(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, faults=(StreamError(after=3),)))
    server = await serve()
    async with Script(CLIENT, url=server.url, message="Hi", retryDelay=1) as script:
        error = await script.next("error")
    assert text(script) == "".join(TOKENS[:3])
    assert error["error"]
    assert len(script.all("open")) == 1, "an answer that failed is not asked for again"
    assert len(upstream.requests) == 1


async def test_a_busy_server_is_tried_three_times_more(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--max-generations", "1", "--queue", "0")
    async with Script(CLIENT, url=server.url, message="First") as first:
        await first.next("thinking")
        chinese = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
        async with (
            Script(CLIENT, url=server.url, message="Second", retryDelay=1) as second,
            Script(
                CLIENT, url=server.url, message="第三个", retryDelay=1, headers=chinese
            ) as third,
        ):
            refused = await second.next("error")
            assert "server busy, try again later" in refused["error"]
            assert "服务器繁忙，请稍后再试" in (await third.next("error"))["error"]
            opens = second.all("open")
            assert [report["status"] for report in opens] == [503] * 4
            assert int(opens[0]["headers"]["retry-after"]) >= 1
        upstream.release(len(TOKENS) + 1)
        await first.next("done")
    assert text(first) == TEXT
    assert len(upstream.requests) == 1


async def test_cancelling_leaves_the_answer_alone(
    serve: Serve, upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve()
    async with Script(CLIENT, url=server.url, message="Hi") as script:
        stream = (await script.next("thinking"))["stream"]
        upstream.release(2)
        await script.next("token", token=TOKENS[1])
        assert (await ready(http, server))["readers"] == 1
        await script.send(do="cancel")
        await until_readers(http, server, 0)
        upstream.release(len(TOKENS))
        async with http.get(f"{server.url}/streams/{stream}") as response:
            whole = (await response.read()).decode()
    assert "event: done" in whole
    assert text(script) == "".join(TOKENS[:2])
    assert not script.all("error")


async def test_a_restart_of_the_reader_s_server_loses_nothing(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """Two servers on the same files: one writes the answer, the other serves the reader and is
    drained, replaced, and found again at its address."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    writing = await serve()
    reading = await serve()
    async with (
        Script(CLIENT, url=writing.url, message="Hi") as asking,
        aiohttp.ClientSession() as http,
    ):
        stream = (await asking.next("thinking"))["stream"]
        async with http.get(f"{writing.url}/streams/{stream}") as response:
            first = (await response.content.readuntil(b"\n\n")).decode()
        last_id = next(line[4:] for line in first.split("\n") if line.startswith("id: "))
        # In the lower case in which the library keeps it up to date.
        headers = {"last-event-id": last_id}
        async with Script(
            CLIENT, url=reading.url, message="Hi", headers=headers, retryDelay=1500
        ) as script:
            upstream.release(3)
            await script.next("token", token=TOKENS[2])
            assert await reading.stop() == 0
            upstream.release(2)
            await reading.start()
            await script.next("token", token=TOKENS[4])
            upstream.release(len(TOKENS))
            await script.next("done")
        await asking.next("done")
    assert text(script) == text(asking) == TEXT
    assert len(upstream.requests) == 1


async def test_a_cut_inside_a_block_loses_nothing(serve: Serve, upstream: ScriptedUpstream) -> None:
    # The library takes an id as soon as its line has come, not when its block is whole.
    words = [f"word{n} " for n in range(150)]
    upstream.script(Answer(tokens=words, pace=Pace(delay_s=0.01)))
    server = await serve()
    cuts = [Cut(700 + 17 * n) for n in range(12)]
    async with ToxicProxy(server.port, *cuts, Pass()) as line:
        async with Script(CLIENT, url=line.url, message="?", retryDelay=1) as script:
            await script.next("done")
        assert line.connections > 5
    assert text(script) == "".join(words)
    assert len(upstream.requests) == 1
