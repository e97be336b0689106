"""OpenAI's own SDK for Node, asking for responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from fairlead.testing.upstream import (
    Answer,
    Ending,
    Pace,
    ScriptedUpstream,
    Status,
    StreamError,
    ToolCall,
)
from tests.sdks.serving import KEY
from tests.support.node import Script
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(server: ServerProcess) -> AsyncGenerator[Script]:
    async with Script("openai-responses.mjs", url=f"{server.url}/v1", key=KEY) as script:
        yield script


async def act(node: Script, name: str, **fields: Any) -> dict[str, Any]:
    await node.send(act=name, **fields)
    return await node.next("done", act=name)


async def test_whole_and_streamed(node: Script, upstream: ScriptedUpstream) -> None:
    made = await act(node, "whole")
    assert (made["text"], made["status"]) == (TEXT, "completed")
    streamed = await act(node, "stream")
    assert streamed["text"] == TEXT
    assert streamed["numbers"] == list(range(len(streamed["numbers"])))
    assert streamed["last"] == "response.completed"
    assert (await act(node, "sum"))["text"] == TEXT


async def test_tools_in_a_dialogue(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer("", tool_calls=[ToolCall("weather", '{"city": "Paris"}')]))
    parameters = {"type": "object", "properties": {}}
    tools = [{"type": "function", "name": "weather", "parameters": parameters, "strict": False}]
    (call,) = (await act(node, "sum", tools=tools))["output"]
    assert (call["name"], call["arguments"]) == ("weather", '{"city": "Paris"}')
    made = await act(node, "whole", tools=tools)
    upstream.script(Answer("18 degrees."))
    result = {"type": "function_call_output", "call_id": "call_1", "output": "18"}
    said = await act(node, "whole", input=[result], previous_response_id=made["id"])
    assert said["text"] == "18 degrees."
    assert [m["role"] for m in upstream.requests[-1].json["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]
    (item,) = (await act(node, "items", id=said["id"]))["items"]
    assert item["output"] == "18"


async def test_errors(node: Script, upstream: ScriptedUpstream) -> None:
    await node.send(act="stream", model="none")
    unknown = await node.next("failed")
    assert (unknown["name"], unknown["code"]) == ("NotFoundError", "model_not_found")
    await node.send(act="whole", input=7)
    wrong = await node.next("failed")
    assert (wrong["name"], wrong["param"]) == ("BadRequestError", "input")
    upstream.script(Status(500))
    await node.send(act="stream", model="m-failing")
    failed = await node.next("failed")
    assert (failed["name"], failed["code"]) == ("InternalServerError", "upstream_unavailable")
    upstream.script(Answer(TEXT, faults=(StreamError(after=2),)))
    cut = await act(node, "stream")
    assert cut["text"] == "Hello there, "
    assert cut["last"] == "response.failed"
    assert cut["response"]["error"]["code"] == "upstream_unavailable"


async def test_a_cut_stream_is_read_on_exactly(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    await node.send(act="cut", after=5)
    request = await upstream.wait_requests(before + 1)
    request.release(2)
    cut = await node.next("done", act="cut")
    request.release(100)
    rest = await act(node, "resume", id=cut["id"], after=5)
    numbers = cut["numbers"] + rest["numbers"]
    assert numbers == list(range(len(numbers)))
    assert rest["text"] == "how are you?"
    assert rest["response"]["output"][0]["content"][0]["text"] == TEXT


async def test_in_the_background_and_cancelled(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    made = await act(node, "background")
    assert made["status"] == "in_progress"
    (await upstream.wait_requests(before + 1)).release(100)
    assert (await act(node, "resume", id=made["id"], after=0))["text"] == TEXT
    assert (await act(node, "retrieve", id=made["id"]))["status"] == "completed"
    await node.send(act="remove", id=made["id"])
    assert (await node.next("failed"))["name"] == "NotFoundError"
    await node.send(act="cancel")
    request = await upstream.wait_requests(before + 2)
    request.release(1)
    ended = await node.next("done", act="cancel")
    assert ended["text"] == "Hello "
    assert (ended["last"], ended["response"]["status"]) == ("response.incomplete", "cancelled")
    assert await request.wait_ended() is Ending.CLIENT_CLOSED


async def test_many_at_once(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))
    made = await act(node, "many", count=30)
    assert made["texts"] == [f"answer to question {n}" for n in range(30)]
