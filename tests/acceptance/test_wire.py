"""The wire on the real server: bad input, resuming at every place, stop, idempotency."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Silent
from tests.acceptance.conftest import Serve
from tests.support.server import ServerProcess
from tests.support.sse import Reader

TOKENS = tuple(f"t{n}·" for n in range(40))
TEXT = "".join(TOKENS)


@pytest.fixture(params=["--direct", "--no-direct"])
async def server(
    request: pytest.FixtureRequest, serve: Serve, upstream: ScriptedUpstream
) -> AsyncGenerator[ServerProcess, None]:
    upstream.script(Answer(tokens=TOKENS))
    async with serve(request.param, "--heartbeat", "0.2") as server:
        yield server


async def test_resuming_after_any_event_gives_exactly_the_rest(
    server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    whole = Reader(session, server.url)
    await whole.ask({"message": "All of it."})
    assert whole.text == TEXT
    for number, (_, _, id) in enumerate(whole.events):
        rest = Reader(session, server.url)
        rest.stream, rest.last_id = whole.stream, id
        await rest.attach()
        before = "".join(d["token"] for n, d, _ in whole.events[: number + 1] if n == "token")
        assert before + rest.text == TEXT
        if number < len(whole.events) - 1:
            assert rest.events[-1] == whole.events[-1]
        else:
            assert rest.connections == 0, "the end of a finished stream is 204"


async def test_cut_at_random_places_the_text_is_exact(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.003)))
    chance = random.Random(7)

    async def one() -> None:
        reader = Reader(session, server.url)
        body = {"message": "Go on."}
        while not reader.ended:
            more = chance.randint(1, 8)
            wanted = len(reader.events) + more

            def enough(r: Reader, wanted: int = wanted) -> bool:
                return len(r.events) >= wanted or r.ended

            # The body again, with Last-Event-ID: that attaches, it never starts a second one.
            asking = asyncio.create_task(reader.ask(body))
            await reader.until(enough)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert reader.text == TEXT

    await asyncio.gather(*(one() for _ in range(10)))
    assert len(upstream.requests) == 10


async def test_readers_of_one_stream_see_the_same_whenever_they_come(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    readers = [Reader(session, server.url)]
    tasks = [asyncio.create_task(readers[0].ask({"message": "Go on."}))]
    await readers[0].until(lambda r: r.stream != "")
    for number in range(1, 20):
        upstream.release(2)
        await upstream.wait_tokens(2 * number)
        reader = Reader(session, server.url)
        readers.append(reader)
        tasks.append(asyncio.create_task(reader.attach(readers[0].stream)))
    upstream.release(len(TOKENS))
    await asyncio.gather(*tasks)
    assert {reader.text for reader in readers} == {TEXT}
    assert len({json.dumps(reader.end) for reader in readers}) == 1


async def test_heartbeats_come_in_silence_and_stand_in_no_block(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Silent(headers=True))
    async with session.post(f"{server.url}/chat/stream", json={"message": "Hush."}) as response:
        received = b""
        async for chunk in response.content.iter_any():
            received += chunk
            if received.count(b": heartbeat\n") == 3:
                break
    head, _, beats = received.partition(b"\n\n")
    assert head.startswith(b"retry: 5000\nevent: ")
    assert beats == b": heartbeat\n" * 3


async def test_stop_closes_the_upstream_at_once_from_any_client(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    reader = Reader(session, server.url)
    reading = asyncio.create_task(reader.ask({"message": "Go on."}))
    upstream.release(5)
    await reader.until(lambda r: r.text.count("·") == 5)
    async with session.post(f"{server.url}/streams/{reader.stream}/stop") as response:
        stopped = await response.json()
    assert stopped["status"] == "stopped"
    assert stopped["text"] == "".join(TOKENS[:5])
    await upstream.wait_closed()
    await reading
    assert reader.end == {"status": "stopped", "reason": "stop"}
    async with session.post(f"{server.url}/streams/{reader.stream}/stop") as response:
        assert await response.json() == stopped


async def test_closing_the_connection_does_not_stop(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    reader = Reader(session, server.url)
    reading = asyncio.create_task(reader.ask({"message": "Go on."}))
    await reader.until(lambda r: r.stream != "")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    upstream.release(len(TOKENS) + 1)
    await reader.attach()
    assert reader.text == TEXT


async def test_batches(server: ServerProcess, session: aiohttp.ClientSession) -> None:
    async with session.post(
        f"{server.url}/chat/stream?batch=5&events=message", json={"message": "In fives."}
    ) as response:
        blocks = (await response.text()).split("\n\n")
    data = [
        json.loads(line.removeprefix("data: "))
        for block in blocks
        for line in block.split("\n")
        if line.startswith("data: ")
    ]
    assert not any("event:" in block for block in blocks)
    tokens = [item["data"]["tokens"] for item in data if item["type"] == "token"]
    assert [len(batch) for batch in tokens] == [5] * 8
    assert "".join("".join(batch) for batch in tokens) == TEXT


async def test_partial_batches_are_flushed_in_silence(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    upstream.release(7)
    async with session.post(
        f"{server.url}/chat/stream?batch=5&batch_ms=50", json={"message": "In fives."}
    ) as response:
        received = ""
        async for chunk in response.content.iter_any():
            received += chunk.decode()
            if '"t6·"' in received:
                break
    assert '{"tokens":["t0·","t1·","t2·","t3·","t4·"]}' in received
    assert '{"tokens":["t5·","t6·"]}' in received


DEEP = b'{"message": "a", "parameters": {"x": ' + b"[" * 100_000

BAD: list[tuple[str, str, dict[str, Any], int, str, str]] = [
    ("POST", "/chat/stream", {"json": {}}, 400, "bad_request", "message"),
    ("POST", "/chat/stream", {"json": {"message": 5}}, 400, "bad_request", "$.message"),
    ("POST", "/chat/stream", {"json": {"message": None}}, 400, "bad_request", "$.message"),
    ("POST", "/chat/stream", {"json": []}, 400, "bad_request", "object"),
    ("POST", "/chat/stream", {"json": {"message": "a", "question": "b"}}, 400, "bad_request", "m"),
    ("POST", "/chat/stream", {"json": {"message": "a", "model": "no"}}, 400, "bad_request", "no"),
    ("POST", "/chat/stream", {"data": b"{"}, 400, "bad_request", "JSON"),
    ("POST", "/chat/stream", {"data": DEEP}, 400, "bad_request", "nested"),
    ("POST", "/chat/stream", {"data": b"\xff\xfe"}, 400, "bad_request", "JSON"),
    ("POST", "/chat/stream", {"data": {"message": "form"}}, 400, "bad_request", "application/json"),
    ("POST", "/chat/stream", {"json": {"message": "x" * 100_001}}, 413, "too_large", "100000"),
    ("POST", "/chat/stream?batch=0", {"json": {"message": "a"}}, 400, "bad_request", "batch"),
    ("POST", "/chat/stream?batch=²", {"json": {"message": "a"}}, 400, "bad_request", "batch"),
    ("POST", "/chat/stream?events=x", {"json": {"message": "a"}}, 400, "bad_request", "events"),
    ("GET", "/chat/stream", {}, 400, "bad_request", "message"),
    ("GET", "/chat/stream?message=a&orphan_window=x", {}, 400, "bad_request", "orphan_window"),
    ("GET", "/chat/stream?message=a&key=" + "k" * 200, {}, 400, "bad_request", "idempotency"),
    ("GET", "/streams/" + "0" * 26, {}, 404, "not_found", ""),
    ("GET", "/streams/short", {}, 404, "not_found", "26"),
    ("GET", "/streams?limit=x", {}, 400, "bad_request", "limit"),
    ("GET", "/streams?cursor=x", {}, 400, "bad_request", "cursor"),
    ("GET", "/conversations?cursor=x", {}, 400, "bad_request", "cursor"),
    ("GET", "/conversations/none", {}, 404, "not_found", ""),
    ("PATCH", "/conversations/none", {"json": {"title": "x"}}, 404, "not_found", ""),
    ("GET", "/passages/none", {}, 404, "not_found", ""),
    ("GET", "/nowhere", {}, 404, "not_found", "/nowhere"),
    ("DELETE", "/info", {}, 405, "bad_request", "DELETE"),
]  # fmt: skip


async def test_bad_input_is_named_and_changes_nothing(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    for method, path, arguments, status, code, word in BAD:
        if "data" in arguments and isinstance(arguments["data"], bytes):
            arguments = {
                "data": io.BytesIO(arguments["data"]),
                "headers": {"Content-Type": "application/json"},
            }
        async with session.request(method, server.url + path, **arguments) as response:
            body = await response.json()
            assert (response.status, body["code"]) == (status, code), (method, path, body)
            assert word in body["error"], body
            assert response.headers["Cache-Control"] == "no-store"
    async with session.get(f"{server.url}/streams") as response:
        assert (await response.json())["streams"] == []
    assert upstream.requests == []


async def test_bad_positions(server: ServerProcess, session: aiohttp.ClientSession) -> None:
    reader = Reader(session, server.url)
    await reader.ask({"message": "All of it."})
    stream = reader.stream
    position = reader.last_id.partition(".")[2]
    early = reader.events[0][2]
    for header, status, code in [
        ("nonsense", 400, "bad_position"),
        (f"{stream}.", 400, "bad_position"),
        (f"{stream}.{position}x", 400, "bad_position"),
        (f"{early}-11", 400, "bad_position"),
        (f"{'0' * 26}.{position}", 404, "not_found"),
        ("x" * 10_000, 400, "bad_position"),
    ]:
        for method in ("GET", "POST"):
            async with session.request(
                method,
                f"{server.url}/chat/stream?message=x",
                json={"message": "x"},
                headers={"Last-Event-ID": header},
            ) as response:
                assert response.status == status, (header, await response.text())
                assert (await response.json())["code"] == code, header
    for after in ("nonsense", position + "x", "11zzzzzz-zzzz"):
        async with session.get(f"{server.url}/streams/{stream}?after={after}") as response:
            assert response.status == 400, await response.text()
    async with session.get(f"{server.url}/streams/{stream}?after=11zzzzzz-11") as response:
        assert response.status == 200
        text = await response.text()
        assert "event: reset" in text
        assert TEXT in text
    other = Reader(session, server.url)
    await other.ask({"message": "Another."})
    async with session.get(
        f"{server.url}/streams/{stream}", headers={"Last-Event-ID": other.last_id}
    ) as response:
        assert (await response.json())["code"] == "bad_request"


async def test_a_head_that_is_too_large_is_refused(server: ServerProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /info HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * 100_000 + b"\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


async def test_the_same_key_asks_once_and_another_question_is_a_conflict(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    readers = [Reader(session, server.url) for _ in range(5)]
    key = {"Idempotency-Key": "k-1"}
    await asyncio.gather(*(r.ask({"message": "Once?"}, **key) for r in readers))
    assert len({r.stream for r in readers}) == 1
    assert len(upstream.requests) == 1
    async with session.post(
        f"{server.url}/chat/stream", json={"message": "Twice?"}, headers=key
    ) as response:
        assert response.status == 409
        assert "another question" in (await response.json())["error"]
    async with session.get(f"{server.url}/chat/stream?message=Once%3F&key=k-1") as response:
        assert response.headers["Fairlead-Stream"] == readers[0].stream


async def test_conversations_over_http(
    server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    reader = Reader(session, server.url)
    await reader.ask({"message": "First?", "conversation_id": "mine"})
    assert reader.events[0][1]["conversation_id"] == "mine"
    await reader_of(session, server, {"message": "Second?", "conversation_id": "mine"})
    async with session.get(f"{server.url}/conversations/mine") as response:
        found = await response.json()
    assert [m["role"] for m in found["messages"]] == ["user", "assistant"] * 2
    assert found["messages"][1]["text"] == TEXT
    assert found["title"] == "First?"
    async with session.patch(
        f"{server.url}/conversations/mine", json={"title": "Mine"}
    ) as response:
        assert (await response.json())["title"] == "Mine"
    async with session.delete(f"{server.url}/conversations/mine") as response:
        assert response.status == 204
    async with session.get(f"{server.url}/streams/{reader.stream}") as response:
        assert response.status == 404


async def reader_of(
    session: aiohttp.ClientSession, server: ServerProcess, body: dict[str, Any]
) -> Reader:
    reader = Reader(session, server.url)
    await reader.ask(body)
    return reader


async def test_a_foreign_page_is_refused_by_either_header(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    own = f"http://127.0.0.1:{server.port}"
    for headers, status in [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": own}, 200),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ]:
        async with session.get(f"{server.url}/chat/stream?message=x", headers=headers) as response:
            assert response.status == status, headers
            await response.read()
    assert len(upstream.requests) == 3


async def test_who_comes_back_at_the_cap_is_told_when_to_come_again(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve("--max-readers", "1") as server:
        reader = Reader(session, server.url)
        reading = asyncio.create_task(reader.ask({"message": "Go on."}))
        await reader.until(lambda r: bool(r.events))
        url = f"{server.url}/streams/{reader.stream}"
        async with session.get(url) as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "5"
        async with session.get(url, headers={"Last-Event-ID": reader.last_id}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            block = await response.text()
        assert "retry: 5000\n" in block
        assert "event: drain\n" in block
        assert "id:" not in block
        upstream.release(len(TOKENS) + 1)
        await reading
        assert reader.text == TEXT


async def test_the_size_of_the_store_can_be_asked_by_the_operator(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with serve() as server:
        await reader_of(session, server, {"message": "One."})
        async with session.get(f"{server.url}/store") as response:
            size = await response.json()
        assert size["streams"] == 1
        assert size["records"] > len(TOKENS)
        assert size["record_bytes"] > len(TEXT)
        assert size["disk_bytes"] > size["record_bytes"]
    keyed = serve()
    keyed.env = {"FAIRLEAD_API_KEYS": "alice=a-secret-key"}
    async with keyed as server:
        headers = {"Authorization": "Bearer a-secret-key"}
        async with session.get(f"{server.url}/store", headers=headers) as response:
            assert response.status == 404


async def test_interrupting_over_http_is_one_act_and_done_once(
    server: ServerProcess, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)), Answer(tokens=("Other.",)))
    first = Reader(session, server.url)
    reading = asyncio.create_task(first.ask({"message": "Go on."}))
    upstream.release(3)
    await first.until(lambda r: r.text == "".join(TOKENS[:3]))
    # Of the three pieces that are here the person has seen one.
    shown = next(id for name, _, id in first.events if name == "token")
    url = f"{server.url}/streams/{first.stream}/interrupt"
    question = {"message": "Stop. Another one?", "shown": shown}
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"message": "", "shown": shown}, 400),
        ({"message": "And?", "shown": "nowhere"}, 400),
        ({"message": "And?", "shown": 7}, 400),
    ]
    for body, status in wrong:
        async with session.post(url, json=body) as response:
            assert response.status == status, body
    nowhere = f"{server.url}/streams/{'0' * 26}/interrupt"
    async with session.post(nowhere, json={"message": "And?"}) as response:
        assert response.status == 404
    assert (await first.document())["status"] == "running"

    streams = set()
    for _ in range(2):
        async with session.post(url, json=question) as response:
            assert response.status == 200
            streams.add(response.headers["Fairlead-Stream"])
            assert b"Other." in await response.read()
    async with session.post(url, json=question, headers={"Accept": "application/json"}) as response:
        document = await response.json()
        streams.add(document["stream"])
        assert document["text"] == "Other."
    async with session.post(url, json={"message": "Something else?"}) as response:
        assert response.status == 409
    # On a WebSocket it is the same act.
    async with session.ws_connect(f"{server.url}/ws") as socket:
        await socket.send_json({"type": "interrupt", "stream": first.stream, **question})
        started = await socket.receive_json()
        assert started["data"]["created"] is False
        streams.add(started["stream"])
    assert len(streams) == 1
    await reading
    assert first.end["status"] == "stopped"
    assert first.text == "".join(TOKENS[:3])
    assert len(upstream.requests) == 2
    turns = json.loads(upstream.requests[1].body)["messages"]
    assert [turn["content"] for turn in turns if turn["role"] == "assistant"] == [TOKENS[0]]
    async with session.get(f"{server.url}/conversations/{document['conversation_id']}") as found:
        messages = (await found.json())["messages"]
    assert [message["text"] for message in messages[1:]] == [
        "".join(TOKENS[:3]),
        "Stop. Another one?",
        "Other.",
    ]
