"""OpenAI's own SDKs in Realtime sessions over TLS, through nginx and Caddy: the one for Node, which
speaks nothing else, in its classes for servers and for browsers, and the one for Python."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from fairlead.testing.upstream import (
    Answer,
    Ending,
    Pace,
    ScriptedUpstream,
    Status,
    StreamError,
    ToolCall,
)
from tests.proxies.tls import Caddy, NginxTls
from tests.sdks.serving import AT_ONCE, KEY, serving
from tests.support.node import Script
from tests.support.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"
TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]

Proxy = NginxTls | Caddy


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[NginxTls, Caddy])
async def proxy(
    request: pytest.FixtureRequest,
    running: ScriptedUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Proxy]:
    folder: Path = tmp_path_factory.mktemp("realtime-tls")
    port = free_port()
    models = ["m-1", "m-failing"]
    upstream = {"name": "scripted", "base_url": running.base_url, "models": models, **AT_ONCE}
    flags = ("--grpc-port", str(port))
    async with serving(folder, upstream, base_path="/api", flags=flags) as server:
        (folder / "proxy").mkdir()
        async with request.param(folder / "proxy", server.port, port) as proxy:
            yield proxy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(proxy: Proxy) -> AsyncGenerator[Script]:
    options = {"url": f"{proxy.url}/v1", "key": KEY, "ca": str(proxy.certificate.file)}
    async with Script("openai-realtime.mjs", **options) as script:
        yield script


@pytest.fixture(params=["ws", "browser"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def act(node: Script, what: str, /, **fields: Any) -> dict[str, Any]:
    await node.send(act=what, **fields)
    return await node.next("done", act=what)


async def test_a_session_with_several_responses(
    node: Script, upstream: ScriptedUpstream, kind: str
) -> None:
    opened = await act(node, "open", name="a", kind=kind)
    assert "session" in opened["last"], opened
    assert opened["last"]["session"]["model"] == "m-1"
    assert opened["protocol"] == ("realtime" if kind == "browser" else "")
    session = {"type": "realtime", "instructions": "Be brief."}
    await act(node, "send", name="a", event={"type": "session.update", "session": session})
    await act(node, "until", name="a", types=["session.updated"])
    for text in (TEXT, "Fine."):
        upstream.script(Answer(text))
        made = await act(node, "ask", name="a", text="Hi")
        assert made["text"] == text
        assert made["last"]["response"]["status"] == "completed"
    assert (await act(node, "close", name="a"))["last"]["code"] in (1000, 1005)
    messages = upstream.requests[-1].json["messages"]
    assert [each["role"] for each in messages] == ["system", "user", "assistant", "user"]


async def test_functions(node: Script, upstream: ScriptedUpstream, kind: str) -> None:
    call = ToolCall("weather", '{"city": "Paris"}')
    upstream.script(Answer("", tool_calls=[call]), Answer("18 degrees."))
    await act(node, "open", name="f", kind=kind)
    made = await act(node, "ask", name="f", text="How warm?", response={"tools": TOOLS})
    (item,) = made["last"]["response"]["output"]
    assert (item["name"], item["arguments"]) == ("weather", '{"city": "Paris"}')
    result = {"type": "function_call_output", "call_id": item["call_id"], "output": "18"}
    await act(node, "send", name="f", event={"type": "conversation.item.create", "item": result})
    await act(node, "send", name="f", event={"type": "response.create"})
    said = await act(node, "until", name="f", types=["response.done"])
    assert said["text"] == "18 degrees."


async def test_errors(node: Script, upstream: ScriptedUpstream, kind: str) -> None:
    await act(node, "open", name="e", kind=kind, model="m-failing")
    wrong = {"type": "conversation.item.delete", "item_id": "none", "event_id": "mine"}
    await act(node, "send", name="e", event=wrong)
    told = (await act(node, "until", name="e", types=["error"]))["last"]["error"]
    assert (told["code"], told["event_id"]) == ("item_delete_invalid_item_id", "mine")
    upstream.script(Status(500), Answer(TEXT, faults=(StreamError(after=2),)), Answer("Again."))
    failed = await act(node, "ask", name="e", text="Hi")
    assert failed["last"]["response"]["status"] == "failed"
    cut = await act(node, "ask", name="e", text="Hi")
    assert (cut["text"], cut["last"]["response"]["status"]) == ("Hello there, ", "failed")
    assert (await act(node, "ask", name="e", text="Hi"))["text"] == "Again."


async def test_a_wrong_key_is_told(node: Script, kind: str) -> None:
    refused = await act(node, "open", name="k", kind=kind, key="wrong")
    if kind == "browser":
        assert refused["events"][0]["error"]["code"] == "invalid_api_key"
        assert refused["last"] == {"type": "closed", "code": 1008}
    else:
        assert "401" in refused["last"]["message"]


async def test_cancelled(node: Script, upstream: ScriptedUpstream, kind: str) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    await act(node, "open", name="c", kind=kind)
    await node.send(act="ask", name="c", text="Hi")
    request = await upstream.wait_requests(before + 1)
    request.release(2)
    await upstream.wait_tokens(2)
    await node.send(act="send", name="c", event={"type": "response.cancel"})
    made = await node.next("done", act="ask")
    assert made["last"]["response"]["status"] == "cancelled"
    assert await request.wait_ended() is Ending.CLIENT_CLOSED


async def test_many_at_once(node: Script, upstream: ScriptedUpstream, kind: str) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))
    made = await act(node, "many", count=20, kind=kind)
    assert made["texts"] == [f"answer to question {n}" for n in range(20)]


async def test_the_sdk_for_python(proxy: Proxy, upstream: ScriptedUpstream) -> None:
    context = ssl.create_default_context(cafile=str(proxy.certificate.file))
    trusting: Any = {"ssl": context}
    message: Any = {"type": "message", "role": "user"}
    message["content"] = [{"type": "input_text", "text": "Hi"}]
    async with (
        AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key=KEY) as client,
        client.realtime.connect(model="m-1", websocket_connection_options=trusting) as connection,
    ):
        await connection.conversation.item.create(item=message)
        await connection.response.create()
        pieces: list[str] = []
        async for event in connection:
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
            if event.type == "response.done":
                break
    assert "".join(pieces) == TEXT


async def test_another_session_after_a_restart(
    running: ScriptedUpstream, tmp_path: Path, kind: str
) -> None:
    """The SDK for Node opens none by itself: it is told that the server went, and may ask anew."""
    running.script(Answer(TEXT))
    port = free_port()
    upstream = {"name": "scripted", "base_url": running.base_url, "models": ["m-1"]}
    server = serving(tmp_path, upstream, base_path="/api", flags=("--grpc-port", str(port)))
    await server.start()
    (tmp_path / "proxy").mkdir()
    try:
        async with NginxTls(tmp_path / "proxy", server.port, port) as proxy:
            options = {"url": f"{proxy.url}/v1", "key": KEY, "ca": str(proxy.certificate.file)}
            async with Script("openai-realtime.mjs", **options) as node:
                await act(node, "open", name="before", kind=kind)
                assert (await act(node, "ask", name="before", text="Hi"))["text"] == TEXT
                assert await server.stop() == 0
                ended = await act(node, "until", name="before", types=["closed"])
                assert ended["last"]["code"] == 1012
                await server.start()
                await act(node, "open", name="after", kind=kind)
                assert (await act(node, "ask", name="after", text="Hi"))["text"] == TEXT
    finally:
        await server.kill()
