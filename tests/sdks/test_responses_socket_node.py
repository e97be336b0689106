"""OpenAI's own SDK for Node, asking for responses over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, StreamError, ToolCall
from tests.sdks.serving import KEY, serving
from tests.sdks.test_responses_socket_python import (
    server,  # noqa: F401 - with the heartbeat that a server has
)
from tests.support.node import Script
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(server: ServerProcess) -> AsyncGenerator[Script]:  # noqa: F811
    async with Script("openai-responses-socket.mjs", url=f"{server.url}/v1", key=KEY) as script:
        yield script


async def act(node: Script, name: str, **fields: Any) -> dict[str, Any]:
    await node.send(act=name, **fields)
    return await node.next("done", act=name)


async def test_a_dialogue(node: Script, upstream: ScriptedUpstream) -> None:
    assert (await act(node, "dialogue"))["texts"] == [TEXT, TEXT]
    said = [m["content"] for m in upstream.requests[-1].json["messages"]]
    assert said == ["One", TEXT, "Two"]


async def test_several_at_once(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))
    made = await act(node, "lanes", count=20)
    assert made["texts"] == {f"l{n}": f"answer to question {n}" for n in range(20)}


async def test_an_error_and_then_an_answer(node: Script, upstream: ScriptedUpstream) -> None:
    made = await act(node, "refused", input="x", previous_response_id="resp_none")
    assert made["error"]["error"]["code"] == "previous_response_not_found"
    assert made["text"] == TEXT


async def test_tools(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer("", tool_calls=[ToolCall("weather", '{"city": "Paris"}')]), Answer(TEXT))
    function = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    made = await act(node, "tools", tools=[function])
    assert (made["type"], made["name"]) == ("function_call", "weather")
    assert (made["given"], made["text"]) == ('{"city": "Paris"}', TEXT)
    assert upstream.requests[-1].json["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "18 °C",
    }


async def test_an_error_in_the_middle(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, faults=(StreamError(after=2),)), Answer(TEXT))
    made = await act(node, "failed")
    assert (made["text"], made["status"]) == ("Hello there, ", "failed")
    assert (made["code"], made["then"]) == ("upstream_unavailable", TEXT)


async def test_it_comes_back_after_a_restart(running: ScriptedUpstream, tmp_path: Path) -> None:
    running.script(Answer(TEXT))
    upstream = {"name": "scripted", "base_url": running.base_url, "models": ["m-1"]}
    restarted = serving(tmp_path, upstream)
    await restarted.start()
    try:
        async with Script(
            "openai-responses-socket.mjs", url=f"{restarted.url}/v1", key=KEY
        ) as script:
            await script.send(act="comeBack")
            await script.next("answered")
            assert await restarted.stop() == 0
            assert (await script.next("reconnecting"))["code"] == 1012
            await restarted.start()
            assert (await script.next("done", act="comeBack"))["text"] == TEXT
    finally:
        await restarted.kill()
    said = [m["content"] for m in running.requests[-1].json["messages"]]
    assert said == ["One", TEXT, "Two"]


async def test_cancelled(node: Script, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    await node.send(act="cancel")
    (await upstream.wait_requests(before + 1)).release(1)
    assert (await node.next("done", act="cancel"))["status"] == "cancelled"
