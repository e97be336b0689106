"""OpenAI's own SDK for Python, asking for responses over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from openai.resources.responses.responses import AsyncResponsesConnection
from openai.types.websocket_reconnection import ReconnectingEvent
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fairlead.testing.upstream import Answer, Ending, Pace, ScriptedUpstream, StreamError, ToolCall
from tests.contract.test_authority import Desk
from tests.sdks.serving import KEY, OTHER_KEY, serving
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"
END = ("response.completed", "response.failed", "response.incomplete", "error")
FUNCTION: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    """With the heartbeat that a server has, which pings sockets."""
    upstream = {"name": "scripted", "base_url": running.base_url, "models": ["m-1"]}
    async with serving(
        tmp_path_factory.mktemp("socket"),
        upstream | {"max_retries": 0},
        max_body_bytes=100000,
        max_attachments=0,
        aliases=[{"name": "fast", "model": "m-1"}],
    ) as server:
        yield server


async def ask(connection: AsyncResponsesConnection, **fields: Any) -> None:
    """As ``connection.response.create``, with fields that this version of the SDK has no name
    for."""
    await connection.send_raw(json.dumps({"type": "response.create", "model": "m-1", **fields}))


async def until_end(connection: AsyncResponsesConnection, lane: str | None = None) -> list[Any]:
    """The events of a lane's response, up to its last one; those of others are passed over."""
    events: list[Any] = []
    async with asyncio.timeout(90):
        while not events or events[-1].type not in END:
            event: Any = await connection.recv()
            if getattr(event, "stream_id", None) == lane:
                events.append(event)
    return events


async def until(connection: AsyncResponsesConnection, type: str) -> Any:
    """The next event of this type."""
    async with asyncio.timeout(90):
        while True:
            event = await connection.recv()
            if event.type == type:
                return event


async def first_of(connection: AsyncResponsesConnection) -> Any:
    """The next event, after as many reconnections as it takes."""
    async for event in connection:
        return event
    raise AssertionError("the connection ended")


def text_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


@asynccontextmanager
async def opened(server: ServerProcess, key: str = KEY) -> AsyncIterator[Any]:
    """A socket without an SDK."""
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{server.url.replace('http', 'ws', 1)}/v1/responses"
    async with connect(url, additional_headers=headers, max_size=None) as socket:
        yield socket


async def test_a_response_and_one_after_it(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    async with client.responses.connect() as connection:
        await connection.response.create(model="fast", input="One", instructions="Be brief.")
        events = await until_end(connection)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert text_of(events) == TEXT
        first = events[-1].response
        assert first.output_text == TEXT
        await connection.response.create(
            model="m-1", input="Two", previous_response_id=first.id, metadata={"a": "b"}
        )
        second = (await until_end(connection))[-1].response
    said = [(m["role"], m["content"]) for m in upstream.requests[-1].json["messages"]]
    assert said == [("user", "One"), ("assistant", TEXT), ("user", "Two")]
    # It is the same response that HTTP shows.
    found = await client.responses.retrieve(second.id)
    assert found.to_dict() == second.to_dict()
    stream = await client.responses.retrieve(first.id, stream=True)
    assert [event.to_dict() async for event in stream] == [event.to_dict() for event in events]


async def test_tools(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer("", tool_calls=[ToolCall("weather", '{"city": "Paris"}')]))
    async with client.responses.connect() as connection:
        await connection.response.create(model="m-1", input="Hi", tools=[FUNCTION], store=False)
        events = await until_end(connection)
        (call,) = events[-1].response.output
        assert (call.name, call.arguments) == ("weather", '{"city": "Paris"}')
        upstream.script(Answer("18 degrees."))
        await connection.response.create(
            model="m-1",
            store=False,
            previous_response_id=events[-1].response.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "18"}],
        )
        assert text_of(await until_end(connection)) == "18 degrees."
    assert [m["role"] for m in upstream.requests[-1].json["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]


async def test_what_is_not_stored_is_known_while_the_socket_lasts(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    async with client.responses.connect() as connection:
        previous = None
        for text in ("One", "Two", "Three"):
            await ask(connection, input=text, store=False, previous_response_id=previous)
            previous = (await until_end(connection))[-1].response.id
    said = [m["content"] for m in upstream.requests[-1].json["messages"]]
    assert said == ["One", TEXT, "Two", TEXT, "Three"]
    async with client.responses.connect() as connection:
        await ask(connection, input="Four", previous_response_id=previous)
        (error,) = await until_end(connection)
        assert (error.code, error.param) == ("previous_response_not_found", "previous_response_id")
        # The socket goes on.
        await ask(connection, input="Four")
        assert text_of(await until_end(connection)) == TEXT


async def test_what_is_only_prepared_says_nothing_and_is_gone_on_with(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    asked = len(upstream.requests)
    async with client.responses.connect() as connection:
        await ask(connection, input="Know this.", generate=False)
        prepared = (await until_end(connection))[-1]
        assert prepared.type == "response.completed"
        assert prepared.response.output == []
        assert len(upstream.requests) == asked
        await ask(connection, input="Now say.", previous_response_id=prepared.response.id)
        assert text_of(await until_end(connection)) == TEXT
    said = [m["content"] for m in upstream.requests[-1].json["messages"]]
    assert said == ["Know this.", "Now say."]


async def test_lanes_run_at_once_and_each_in_order(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(
        lambda request: Answer(
            f"to {request.message_texts('user')[-1]}", pace=Pace(gated=request.json["temperature"])
        )
    )
    before = len(upstream.requests)
    async with client.responses.connect() as connection:
        await ask(connection, input="a1", stream_id="a", temperature=1)
        first = await upstream.wait_requests(before + 1)
        await ask(connection, input="a2", stream_id="a", temperature=0)
        await ask(connection, input="b1", stream_id="b", temperature=0)
        await ask(connection, input="c1", temperature=0)
        ends: list[tuple[str | None, str]] = []
        texts: dict[str | None, str] = {}
        while len(ends) < 4:
            event: Any = await connection.recv()
            lane = getattr(event, "stream_id", None)
            if event.type == "response.output_text.delta":
                texts[lane] = texts.get(lane, "") + event.delta
            elif event.type in END:
                ends.append((lane, texts.pop(lane)))
                if len(ends) == 2:
                    # The others have ended while it has not: now it may.
                    first.release(100)
        assert sorted(ends[:2], key=str) == [("b", "to b1"), (None, "to c1")]
        assert ends[2:] == [("a", "to a1"), ("a", "to a2")]


async def test_a_branch_of_a_dialogue_in_another_lane(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    async with client.responses.connect() as connection:
        await ask(connection, input="Plan.", stream_id="planner", store=False)
        plan = (await until_end(connection, "planner"))[-1].response.id
        await ask(
            connection, input="Find gaps.", stream_id="critic", store=False,
            previous_response_id=plan,
        )  # fmt: skip
        assert (await until_end(connection, "critic"))[-1].type == "response.completed"
        said = [m["content"] for m in upstream.requests[-1].json["messages"]]
        assert said == ["Plan.", TEXT, "Find gaps."]


async def test_cancelled_from_the_socket_and_from_elsewhere(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    async with client.responses.connect() as connection:
        for elsewhere in (False, True):
            before = len(upstream.requests)
            await connection.response.create(model="m-1", input="Hi")
            request = await upstream.wait_requests(before + 1)
            made = (await until(connection, "response.created")).response
            request.release(1)
            await until(connection, "response.output_text.delta")
            if elsewhere:
                await client.responses.cancel(made.id)
            else:
                await connection.send_raw(json.dumps({"type": "response.cancel"}))
            last = (await until_end(connection))[-1]
            assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
            assert last.response.output_text == "Hello "
            assert await request.wait_ended() is Ending.CLIENT_CLOSED
        await connection.send_raw(json.dumps({"type": "response.cancel", "response_id": made.id}))
        assert (await until_end(connection))[-1].param == "response_id"


async def test_errors_are_messages_and_change_nothing_else(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    async with client.responses.connect() as connection:
        wrong: list[tuple[dict[str, Any], str, str | None]] = [
            ({"input": 7}, "bad_request", "input"),
            ({"model": "none", "input": "x"}, "model_not_found", "model"),
            ({"input": "x", "stream_id": "a b"}, "invalid_stream_id", "stream_id"),
            ({"input": "x", "tools": [{"type": "web_search"}]}, "bad_request", "tools[0].type"),
            ({}, "bad_request", "input"),
        ]
        for fields, code, param in wrong:
            await ask(connection, **fields)
            (error,) = await until_end(connection)
            assert (error.type, error.code, error.param) == ("error", code, param)
            assert error.message
        await connection.send_raw("no JSON")
        assert (await until_end(connection))[-1].code == "bad_request"
        upstream.script(Answer(TEXT, faults=(StreamError(after=2),)))
        await connection.response.create(model="m-1", input="Hi")
        events = await until_end(connection)
        assert text_of(events) == "Hello there, "
        assert events[-1].type == "response.failed"
        assert events[-1].response.error.code == "upstream_unavailable"
        upstream.script(Answer(TEXT))
        await connection.response.create(model="m-1", input="Hi")
        assert text_of(await until_end(connection)) == TEXT


async def test_many_lanes_of_many_sockets(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))

    async def one(socket: int) -> None:
        async with client.responses.connect() as connection:
            for lane in range(20):
                await ask(connection, input=f"{socket}.{lane}", stream_id=f"l{lane}")
            texts: dict[str, str] = {}
            ended = 0
            while ended < 20:
                event: Any = await connection.recv()
                if event.type == "response.output_text.delta":
                    texts[event.stream_id] = texts.get(event.stream_id, "") + event.delta
                ended += event.type in END
            assert texts == {f"l{lane}": f"answer to {socket}.{lane}" for lane in range(20)}

    await asyncio.gather(*(one(socket) for socket in range(5)))


async def test_after_a_lost_connection_it_is_read_on_over_http(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    headers = {"Fairlead-Orphan-Window": "60"}
    events: list[Any] = []
    async with client.responses.connect(extra_headers=headers) as connection:
        await connection.response.create(model="m-1", input="Hi")
        request = await upstream.wait_requests(before + 1)
        request.release(1)
        while not events or events[-1].type != "response.output_text.delta":
            events.append(await connection.recv())
    request.release(100)
    rest = await client.responses.retrieve(
        events[0].response.id, stream=True, starting_after=events[-1].sequence_number
    )
    events += [event async for event in rest]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert text_of(events) == TEXT
    # The dialogue goes on on another socket.
    upstream.script(Answer("Well."))
    async with client.responses.connect() as connection:
        await connection.response.create(
            model="m-1", input="And?", previous_response_id=events[0].response.id
        )
        assert text_of(await until_end(connection)) == "Well."


async def test_the_handshake_is_refused_in_openais_words(server: ServerProcess) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(server, "wrong"):
            pass
    assert refused.value.response.status_code == 401
    told = json.loads(refused.value.response.body or b"")
    assert told["error"]["code"] == "invalid_api_key"


async def test_other_peoples_responses_are_not_there(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    made = await client.responses.create(model="m-1", input="Hi")
    async with (
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key=OTHER_KEY) as other,
        other.responses.connect() as connection,
    ):
        await connection.response.create(model="m-1", input="x", previous_response_id=made.id)
        assert (await until_end(connection))[-1].code == "previous_response_not_found"
        await connection.send_raw(json.dumps({"type": "response.cancel", "response_id": made.id}))
        assert (await until_end(connection))[-1].code == "not_found"


async def test_a_restart_closes_with_its_code_and_the_sdk_comes_back(
    running: ScriptedUpstream, tmp_path: Path
) -> None:
    running.script(Answer(TEXT))
    flags = ("--upstream", running.base_url, "--model", "m-1", "--no-knowledge")
    server = ServerProcess(tmp_path, *flags)
    await server.start()
    codes: list[int] = []
    gone = asyncio.Event()

    def reconnecting(event: ReconnectingEvent) -> None:
        codes.append(event.close_code)
        gone.set()

    try:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            manager = client.responses.connect(
                on_reconnecting=reconnecting, max_retries=100, initial_delay=0.05, max_delay=0.2
            )
            async with manager as connection:
                await connection.response.create(model="m-1", input="One")
                first = (await until_end(connection))[-1].response.id
                reading: asyncio.Task[Any] = asyncio.create_task(first_of(connection))
                assert await server.stop() == 0
                async with asyncio.timeout(90):
                    await gone.wait()
                # The SDK keeps it until there is a connection.
                await connection.response.create(
                    model="m-1", input="Two", previous_response_id=first
                )
                await server.start()
                event: Any = await reading
                assert event.type == "response.created"
                assert text_of(await until_end(connection)) == TEXT
        assert codes[0] == 1012
    finally:
        await server.kill()
    said = [m["content"] for m in running.requests[-1].json["messages"]]
    assert said == ["One", TEXT, "Two"]


async def test_the_end_of_a_credential_ends_the_socket(
    running: ScriptedUpstream, tmp_path: Path
) -> None:
    running.script(Answer(TEXT, pace=Pace(gated=True)))
    desk = Desk(tmp_path)
    key = await desk.make()
    flags = ("--upstream", running.base_url, "--model", "m-1", "--no-knowledge")
    async with ServerProcess(tmp_path, *flags) as server, opened(server, key.text) as socket:
        before = len(running.requests)
        await socket.send(json.dumps({"type": "response.create", "input": "Hi"}))
        (await running.wait_requests(before + 1)).release(1)
        while json.loads(await socket.recv())["type"] != "response.output_text.delta":
            pass
        await desk.revoke(key)
        told: list[dict[str, Any]] = []
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                told.append(json.loads(message))
        assert told[-1]["code"] == "invalid_api_key"
        assert socket.close_code == 1008


async def test_too_large_a_message_ends_the_socket(server: ServerProcess) -> None:
    async with opened(server) as socket:
        await socket.send("x" * 100_001)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1009
