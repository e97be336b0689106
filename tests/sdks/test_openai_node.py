"""OpenAI's own SDK for Node, pointed at Fairlead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
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
    async with Script("openai.mjs", url=f"{server.url}/v1", key=KEY) as script:
        yield script


async def act(node: Script, name: str, **fields: Any) -> dict[str, Any]:
    await node.send(act=name, **fields)
    return await node.next("done", act=name)


async def test_whole_and_streamed(node: Script, upstream: ScriptedUpstream) -> None:
    made = await act(node, "whole")
    assert made["content"] == TEXT
    assert made["finish"] == "stop"
    assert made["usage"]["total_tokens"] > 0
    assert (await act(node, "stream"))["text"] == TEXT


async def test_tools(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer("", tool_calls=[ToolCall("weather", '{"city": "Paris"}')]))
    function = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    (call,) = (await act(node, "whole", tools=tools))["tool_calls"]
    made = await act(node, "runner", tools=tools)
    assert made["finish"] == "tool_calls"
    for each in (call, *made["calls"]):
        assert each["function"] == {"name": "weather", "arguments": '{"city": "Paris"}'}
        assert each["id"] == "call_1"


async def test_errors(node: Script, upstream: ScriptedUpstream) -> None:
    await node.send(act="stream", model="none")
    unknown = await node.next("failed")
    assert (unknown["name"], unknown["code"]) == ("NotFoundError", "model_not_found")
    await node.send(act="whole", messages="none")
    wrong = await node.next("failed")
    assert (wrong["name"], wrong["param"]) == ("BadRequestError", "messages")
    upstream.script(Status(500))
    await node.send(act="stream", model="m-failing")
    failed = await node.next("failed")
    assert (failed["name"], failed["code"]) == ("InternalServerError", "upstream_unavailable")
    upstream.script(Answer(TEXT, faults=(StreamError(after=2),)))
    cut = await act(node, "stream")
    assert cut["text"] == "Hello there, "
    assert cut["failed"]["code"] == "upstream_unavailable"


async def test_a_client_that_cancels_for_good(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    await node.send(act="cancel", headers={"Fairlead-Orphan-Window": "0"})
    request = await upstream.wait_requests(before + 1)
    request.release()
    assert (await node.next("done", act="cancel"))["text"] == "Hello "
    assert await request.wait_ended() is Ending.CLIENT_CLOSED


async def test_many_at_once(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))
    made = await act(node, "many", count=30)
    assert made["texts"] == [f"answer to question {n}" for n in range(30)]


async def test_reading_on(node: Script, server: ServerProcess, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    headers = {"Authorization": f"Bearer {KEY}", "Fairlead-Orphan-Window": "60"}
    body = {"model": "m-1", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with aiohttp.ClientSession(headers=headers) as session:
        url = f"{server.url}/v1/chat/completions"
        asking = asyncio.create_task(session.post(url, json=body))
        request = await upstream.wait_requests(before + 1)
        request.release(2)
        ids: list[str] = []
        async with await asking as response:
            while len(ids) < 2:
                line = (await response.content.readline()).decode().rstrip()
                if line.startswith("id: "):
                    ids.append(line[4:])
    request.release(100)
    rest = await act(node, "resume", stream=f"chatcmpl-{ids[0].partition('.')[0]}", after=ids[1])
    assert rest["text"] == "how are you?"


async def test_models_and_embeddings(node: Script, upstream: ScriptedUpstream) -> None:
    assert "m-1" in (await act(node, "models"))["names"]
    assert (await act(node, "embed", input=["a", "b"]))["sizes"] == [4, 4]
