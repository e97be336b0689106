"""OpenAI's own SDK for Python in a Realtime session, in text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.websocket_reconnection import ReconnectingEvent
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fairlead.testing.upstream import (
    Answer,
    Ending,
    Pace,
    ReceivedRequest,
    ScriptedUpstream,
    Status,
    StreamError,
    ToolCall,
)
from tests.sdks.serving import AT_ONCE, KEY, OTHER_KEY, serving
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"
TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    models = ["m-1", "m-failing"]
    upstream = {"name": "scripted", "base_url": running.base_url, "models": models, **AT_ONCE}
    async with serving(tmp_path_factory.mktemp("realtime"), upstream) as server:
        yield server


async def until(connection: AsyncRealtimeConnection, *types: str) -> list[Any]:
    """The events up to the first one of these types."""
    events: list[Any] = []
    async with asyncio.timeout(90):
        while not events or events[-1].type not in types:
            events.append(await connection.recv())
    return events


async def say(connection: AsyncRealtimeConnection, text: str) -> str:
    """Add a message; its id."""
    content: Any = [{"type": "input_text", "text": text}]
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": content}
    )
    return str((await until(connection, "conversation.item.done"))[-1].item.id)


async def ask(connection: AsyncRealtimeConnection, text: str) -> list[Any]:
    """Add a message, and wait for the response to it."""
    await say(connection, text)
    await connection.response.create()
    return await until(connection, "response.done", "error")


def types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def text(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def roles(request: ReceivedRequest) -> list[tuple[str, Any]]:
    return [(message["role"], message.get("content")) for message in request.json["messages"]]


async def test_a_session_from_its_opening_to_several_responses(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    async with client.realtime.connect(model="m-1") as connection:
        opened: Any = await connection.recv()
        assert opened.type == "session.created"
        assert opened.session.model == "m-1"
        await connection.session.update(
            session={"type": "realtime", "instructions": "Be brief.", "max_output_tokens": 99}
        )
        updated: Any = await connection.recv()
        assert updated.type == "session.updated"
        assert updated.session.instructions == "Be brief."
        assert updated.session.output_modalities == ["text"]
        asked = await say(connection, "Hi")
        await connection.response.create()
        events = await until(connection, "response.done")
        deltas = [event for event in events if event.type == "response.output_text.delta"]
        assert [each for each in types(events) if each != "response.output_text.delta"] == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        assert text(events) == TEXT
        assert len({event.event_id for event in events}) == len(events)
        (item,) = events[-1].response.output
        assert {delta.item_id for delta in deltas} == {item.id}
        assert item.content[0].text == TEXT
        assert events[2].previous_item_id == asked
        done = events[-1].response
        assert (done.status, done.max_output_tokens) == ("completed", 99)
        assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
        upstream.script(Answer("Fine."))
        assert text(await ask(connection, "And you?")) == "Fine."
    assert roles(upstream.requests[-1]) == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", TEXT),
        ("user", "And you?"),
    ]
    assert upstream.requests[-1].json["max_completion_tokens"] == 99


async def test_a_response_is_a_stream_that_others_read(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    async with client.realtime.connect(model="m-1") as connection:
        done = (await ask(connection, "Hi"))[-1].response
    assert (await client.responses.retrieve(done.id)).output_text == TEXT
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        stream = done.id.removeprefix("resp_")
        found = await http.get(f"{server.url}/streams/{stream}", params={"wait": "0"})
    assert "how " in found.text


async def test_functions(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Answer("", tool_calls=[ToolCall("weather", '{"city": "Paris"}')]), Answer("18 degrees.")
    )
    async with client.realtime.connect(model="m-1") as connection:
        await connection.session.update(
            session={"type": "realtime", "tools": TOOLS, "tool_choice": "required"}  # type: ignore[typeddict-item]
        )
        events = await ask(connection, "How warm is it?")
        named = [event for event in events if event.type.startswith("response.function_call_arg")]
        assert "".join(event.delta for event in named[:-1]) == '{"city": "Paris"}'
        assert (named[-1].name, named[-1].arguments) == ("weather", '{"city": "Paris"}')
        (call,) = events[-1].response.output
        assert (call.type, call.call_id) == ("function_call", "call_1")
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18"}
        await connection.conversation.item.create(item=result)
        await connection.response.create(response={"tool_choice": "auto"})
        assert text(await until(connection, "response.done")) == "18 degrees."
    first, last = upstream.requests[-2:]
    assert first.json["tools"] == [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    ]
    assert (first.json["tool_choice"], last.json["tool_choice"]) == ("required", "auto")
    assert [role for role, _ in roles(last)] == ["user", "assistant", "tool"]
    assert last.json["messages"][2]["tool_call_id"] == "call_1"


async def test_cancelled_it_stops_at_once_and_what_was_shown_is_what_follows(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)), Answer("Well."))
    before = len(upstream.requests)
    async with client.realtime.connect(model="m-1") as connection:
        await say(connection, "Hi")
        await connection.response.create()
        request = await upstream.wait_requests(before + 1)
        request.release(2)
        shown = await until(connection, "response.output_text.delta")
        shown += await until(connection, "response.output_text.delta")
        await connection.response.create()  # one at a time
        refused = (await until(connection, "error"))[-1].error
        assert refused.code == "conversation_already_has_active_response"
        await connection.response.cancel()
        # Nothing need be waited for.
        await connection.response.create()
        events = await until(connection, "response.done")
        assert await request.wait_ended() is Ending.CLIENT_CLOSED
        done = events[-1].response
        assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
        assert done.output[0].status == "incomplete"
        assert text(shown + events) == done.output[0].content[0].text == "Hello there, "
        assert text(await until(connection, "response.done")) == "Well."
        assert roles(upstream.requests[-1]) == [("user", "Hi"), ("assistant", "Hello there, ")]
        await connection.response.cancel()
        failed = (await until(connection, "error"))[-1].error
        assert failed.code == "response_cancel_not_active"


async def test_truncated_the_next_prompt_holds_what_was_shown(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    async with client.realtime.connect(model="m-1") as connection:
        (item,) = (await ask(connection, "Hi"))[-1].response.output
        cut: Any = {
            "type": "conversation.item.truncate",
            "item_id": item.id,
            "content_index": 0,
            "text_end": 11,
        }
        await connection.send(cut)
        truncated = (await until(connection, "conversation.item.truncated"))[-1]
        assert (truncated.item_id, truncated.text_end) == (item.id, 11)
        await connection.conversation.item.retrieve(item_id=item.id)
        kept: Any = await connection.recv()
        assert kept.item.content[0].text == "Hello there"
        await ask(connection, "And now?")
        assert roles(upstream.requests[-1])[1] == ("assistant", "Hello there")
        # By the time after its first piece: at 0 ms hardly more than that had come.
        await connection.conversation.item.truncate(
            item_id=item.id, content_index=0, audio_end_ms=0
        )
        await until(connection, "conversation.item.truncated")


async def test_an_item_is_truncated_while_it_is_written(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    async with client.realtime.connect(model="m-1") as connection:
        await say(connection, "Hi")
        await connection.response.create()
        request = await upstream.wait_requests(before + 1)
        request.release(1)
        delta = (await until(connection, "response.output_text.delta"))[-1]
        cut: Any = {
            "type": "conversation.item.truncate",
            "item_id": delta.item_id,
            "content_index": 0,
            "text_end": 5,
        }
        await connection.send(cut)
        await until(connection, "conversation.item.truncated")
        request.release(100)
        events = await until(connection, "response.done")
        (kept,) = [event for event in events if event.type == "conversation.item.done"]
        assert kept.item.content[0].text == "Hello"
        assert events[-1].response.output[0].content[0].text == TEXT


async def test_items_have_an_order(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    async with client.realtime.connect(model="m-1") as connection:
        ids = [await say(connection, word) for word in ("one", "three")]
        content: Any = [{"type": "input_text", "text": "two"}]
        message: Any = {"type": "message", "role": "user", "id": "two", "content": content}
        await connection.conversation.item.create(item=message, previous_item_id=ids[0])
        added = (await until(connection, "conversation.item.done"))[-1]
        assert (added.item.id, added.previous_item_id) == ("two", ids[0])
        system: Any = {**message, "id": "first", "role": "system"}
        await connection.conversation.item.create(item=system, previous_item_id="root")
        assert (await until(connection, "conversation.item.done"))[-1].previous_item_id is None
        await connection.conversation.item.delete(item_id=ids[1])
        assert (await until(connection, "conversation.item.deleted"))[-1].item_id == ids[1]
        await connection.response.create()
        await until(connection, "response.done")
    assert roles(upstream.requests[-1]) == [("system", "two"), ("user", "one"), ("user", "two")]


async def test_apart_from_the_conversation(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    async with client.realtime.connect(model="m-1") as connection:
        id = await say(connection, "Hi")
        content = [{"type": "input_text", "text": "Sum it up."}]
        message = {"type": "message", "role": "user", "content": content}
        given: Any = [{"type": "item_reference", "id": id}, message]
        await connection.response.create(
            response={
                "conversation": "none",
                "metadata": {"topic": "sum"},
                "instructions": "Be brief.",
                "input": given,
            }
        )
        events = await until(connection, "response.done")
        assert not [each for each in types(events) if each.startswith("conversation.")]
        done = events[-1].response
        assert done.conversation_id is None
        assert done.metadata == {"topic": "sum"}
        await ask(connection, "And?")
    asked, after = upstream.requests[-2:]
    assert roles(asked) == [("system", "Be brief."), ("user", "Hi"), ("user", "Sum it up.")]
    assert roles(after) == [("user", "Hi"), ("user", "And?")]


async def test_what_is_wrong_is_an_event_and_the_session_goes_on(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    wrong: list[tuple[Any, str | None]] = [
        ({"type": "session.update", "session": {"output_modalities": ["audio"]}},
         "session.output_modalities"),
        ({"type": "session.update", "session": {"voice": "alloy"}}, "session"),
        ({"type": "session.update", "session": {"model": "other"}}, "session.model"),
        ({"type": "session.update", "session": {"tools": [{"type": "mcp"}]}},
         "session.tools[0].type"),
        ({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
          "content": [{"type": "input_audio", "audio": "AAAA"}]}}, None),
        ({"type": "conversation.item.retrieve", "item_id": "none"}, "item_id"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, None),
        ({"type": "nothing.like.it"}, "type"),
        ({"type": "response.create"}, None),
    ]  # fmt: skip
    async with client.realtime.connect(model="m-1") as connection:
        await connection.recv()
        for number, (event, param) in enumerate(wrong):
            numbered: Any = {**event, "event_id": f"mine-{number}"}
            await connection.send(numbered)
            told: Any = await connection.recv()
            assert told.type == "error", event
            assert told.error.event_id == f"mine-{number}"
            assert told.error.type == "invalid_request_error"
            assert told.error.param == param, event
            assert told.error.message
        audio = await connection_error(connection, {"type": "input_audio_buffer.commit"})
        assert audio.code == "audio_not_supported"
        await connection.send_raw(b"\x00binary")
        assert (await until(connection, "error"))[-1].error.type == "invalid_request_error"
        assert text(await ask(connection, "Hi")) == TEXT


async def connection_error(connection: AsyncRealtimeConnection, event: Any) -> Any:
    await connection.send(event)
    return (await until(connection, "error"))[-1].error


async def test_an_upstreams_errors(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(500), Answer(TEXT, faults=(StreamError(after=2),)), Answer("Again."))
    async with client.realtime.connect(model="m-failing") as connection:
        failed = (await ask(connection, "Hi"))[-1].response
        assert (failed.status, failed.output) == ("failed", [])
        assert failed.status_details.error.code == "upstream_unavailable"
        cut = await ask(connection, "Hi")
        assert cut[-1].response.status == "failed"
        assert text(cut) == "Hello there, "
        assert cut[-1].response.output[0].status == "incomplete"
        assert text(await ask(connection, "Hi")) == "Again."


async def test_the_length_is_a_reason(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, finish_reason="length"))
    async with client.realtime.connect(model="m-1") as connection:
        done = (await ask(connection, "Hi"))[-1].response
    assert done.status == "incomplete"
    assert done.status_details.reason == "max_output_tokens"


async def test_refused_handshakes(client: AsyncOpenAI, server: ServerProcess) -> None:
    for key, model, status in (("wrong", "m-1", 401), (KEY, "none", 404)):
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key) as other:
            with pytest.raises(InvalidStatus) as refused:
                await other.realtime.connect(model=model).enter()
        assert refused.value.response.status_code == status
        assert "error" in json.loads(refused.value.response.body or b"")
    url = server.url.replace("http", "ws") + "/v1/realtime"
    with pytest.raises(InvalidStatus) as foreign:
        await connect(url, origin="https://evil.example")  # type: ignore[arg-type]
    assert foreign.value.response.status_code == 403


async def test_a_browsers_key_is_a_subprotocol_that_is_not_echoed(server: ServerProcess) -> None:
    url = server.url.replace("http", "ws") + "/v1/realtime?model=m-1"
    offered: Any = ["realtime", f"openai-insecure-api-key.{KEY}"]
    async with connect(url, subprotocols=offered) as socket:
        assert socket.subprotocol == "realtime"
        assert json.loads(await socket.recv())["type"] == "session.created"
    offered = ["realtime", "openai-insecure-api-key.wrong"]
    async with connect(url, subprotocols=offered) as socket:
        told = json.loads(await socket.recv())
        assert (told["type"], told["error"]["code"]) == ("error", "invalid_api_key")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert socket.close_code == 1008


async def test_client_secrets(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    session: Any = {"type": "realtime", "model": "m-1", "instructions": "Be kind."}
    made = await client.realtime.client_secrets.create(
        expires_after={"anchor": "created_at", "seconds": 60}, session=session
    )
    assert made.value.startswith("ek_")
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=made.value, max_retries=0) as page:
        for _ in range(2):  # as long as it lasts
            async with page.realtime.connect() as connection:
                opened: Any = await connection.recv()
                assert (opened.session.model, opened.session.instructions) == ("m-1", "Be kind.")
                await ask(connection, "Hi")
                assert roles(upstream.requests[-1])[0] == ("system", "Be kind.")
        with pytest.raises(InvalidStatus) as other:
            await page.realtime.connect(model="m-failing").enter()
        assert other.value.response.status_code == 400
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {made.value}"}) as http:
        for path in ("/v1/models", "/streams", "/me"):
            assert (await http.get(server.url + path)).status_code == 401, path
        again = await http.post(f"{server.url}/v1/realtime/client_secrets", json={})
        assert again.status_code == 401
    url = server.url.replace("http", "ws") + "/ws"
    async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}) as socket:
        await socket.send(json.dumps({"type": "authenticate", "id": "1", "token": made.value}))
        refused: Any = json.loads(await socket.recv())
        assert (refused["id"], refused["data"]["code"]) == ("1", "unauthenticated")
    wrong: list[Any] = [
        {"expires_after": {"anchor": "created_at", "seconds": 5}},
        {"session": {"type": "transcription"}},
        {"session": {"type": "realtime", "output_modalities": ["audio"]}},
    ]
    for fields in wrong:
        with pytest.raises(BadRequestError):
            await client.realtime.client_secrets.create(**fields)


async def test_what_belongs_to_others_is_not_there(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    async with client.realtime.connect(model="m-1") as connection:
        done = (await ask(connection, "Hi"))[-1].response
        async with (
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key=OTHER_KEY) as other,
            other.realtime.connect(model="m-1") as foreign,
        ):
            await foreign.recv()
            refused = await connection_error(
                foreign, {"type": "response.cancel", "response_id": done.id}
            )
    assert refused.code == "response_cancel_not_active"


async def test_an_answer_goes_on_without_its_socket(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    again = asyncio.Event()

    def come_back(event: Any) -> None:
        again.set()

    async with client.realtime.connect(model="m-1", on_reconnecting=come_back) as connection:
        await say(connection, "Hi")
        await connection.response.create(response={})
        request = await upstream.wait_requests(before + 1)
        request.release(1)
        created = (await until(connection, "response.output_text.delta"))[0]
        connection._connection.transport.abort()
        # Another session; what was being written can be read on.
        async with asyncio.timeout(90):
            async for event in connection:
                if event.type == "session.created":
                    break
        assert again.is_set()
        stream: Any = await client.responses.retrieve(created.response.id, stream=True)
        request.release(100)
        pieces = [event.delta async for event in stream if "text.delta" in event.type]
        assert "".join(pieces) == TEXT


async def test_many_sessions_at_once(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))

    async def one(number: int) -> None:
        async with client.realtime.connect(model="m-1") as connection:
            for turn in range(3):
                said = f"{number}.{turn}"
                assert text(await ask(connection, said)) == f"answer to {said}"

    await asyncio.gather(*(one(number) for number in range(20)))


async def test_several_responses_at_once(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))
    async with client.realtime.connect(model="m-1") as connection:
        for number in range(5):
            content: Any = [{"type": "input_text", "text": f"question {number}"}]
            message: Any = {"type": "message", "role": "user", "content": content}
            await connection.response.create(
                response={
                    "conversation": "none",
                    "input": [message],
                    "metadata": {"n": f"{number}"},
                }
            )
        texts: dict[str, str] = {}
        while len(texts) < 5:
            done = (await until(connection, "response.done"))[-1].response
            texts[done.metadata["n"]] = done.output[0].content[0].text
    assert texts == {f"{n}": f"answer to question {n}" for n in range(5)}


async def opened_anew(connection: AsyncRealtimeConnection) -> None:
    """It is while its events are iterated over that the SDK opens another connection."""
    async for event in connection:
        if event.type == "session.created":
            return


async def test_the_sdk_comes_back_after_a_restart(
    running: ScriptedUpstream, tmp_path: Path
) -> None:
    """To a session that begins anew, as the vendor's do; what was said is said again."""
    running.script(Answer(TEXT))
    upstream = {"name": "scripted", "base_url": running.base_url, "models": ["m-1"]}
    server = serving(tmp_path, upstream)
    await server.start()
    codes: list[int] = []
    gone = asyncio.Event()

    def reconnecting(event: ReconnectingEvent) -> None:
        codes.append(event.close_code)
        gone.set()

    try:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY) as client:
            manager = client.realtime.connect(
                model="m-1",
                on_reconnecting=reconnecting,
                max_retries=1000,
                initial_delay=0.05,
                max_delay=0.2,
            )
            async with manager as connection:
                await say(connection, "One")
                await connection.response.create()
                await until(connection, "response.done")
                reading = asyncio.create_task(opened_anew(connection))
                assert await server.stop() == 0
                async with asyncio.timeout(90):
                    await gone.wait()
                await server.start()
                await reading
                await say(connection, "Two")
                await connection.response.create()
                (done,) = (await until(connection, "response.done"))[-1:]
                assert done.response.status == "completed"
        assert codes[0] == 1012
    finally:
        await server.kill()
    assert [m["content"] for m in running.requests[-1].json["messages"]] == ["Two"]
