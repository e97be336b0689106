"""OpenAI's own SDK for Python, with conversations; which are the server's own."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, ToolCall
from tests.sdks.serving import KEY, OTHER_KEY
from tests.sdks.test_responses_socket_python import ask, until_end
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"
FUNCTION: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}


async def items_of(client: AsyncOpenAI, id: str) -> list[Any]:
    listed = client.conversations.items.list(id, order="asc", limit=2)
    return [item async for item in listed]


def said(upstream: ScriptedUpstream) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in upstream.requests[-1].json["messages"]]


async def test_made_noted_and_removed(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(metadata={"topic": "tea"})
    assert made.id.startswith("conv_")
    assert made.metadata == {"topic": "tea"}
    assert (await client.conversations.retrieve(made.id)).to_dict() == made.to_dict()
    assert await items_of(client, made.id) == []
    changed = await client.conversations.update(made.id, metadata={"a": "b"})
    assert changed.metadata == {"a": "b"}
    assert (await client.conversations.retrieve(made.id)).metadata == {"a": "b"}
    assert (await client.conversations.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.conversations.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.conversations.create(metadata={"x" * 65: "b"})
    assert wrong.value.param == "metadata"


async def test_items_are_added_listed_and_removed(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(
        items=[{"type": "message", "role": "developer", "content": "Be brief."}]
    )
    added = await client.conversations.items.create(
        made.id,
        items=[
            {"role": "user", "content": "Hi"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "18"},
        ],
    )
    assert [item.type for item in added.data] == [
        "message",
        "function_call",
        "function_call_output",
    ]
    items = await items_of(client, made.id)
    assert len({item.id for item in items}) == 4
    assert [item.type for item in items] == ["message", *(item.type for item in added.data)]
    assert items[1].content[0].to_dict() == {"type": "input_text", "text": "Hi"}
    newest = await client.conversations.items.list(made.id, limit=1)
    assert newest.data[0].to_dict() == items[3].to_dict()
    one = await client.conversations.items.retrieve(items[1].id, conversation_id=made.id)
    assert one.to_dict() == items[1].to_dict()
    left = await client.conversations.items.delete(items[1].id, conversation_id=made.id)
    assert left.id == made.id
    assert [item.id for item in await items_of(client, made.id)] == [
        items[0].id,
        items[2].id,
        items[3].id,
    ]
    for attempt in (
        client.conversations.items.retrieve(items[1].id, conversation_id=made.id),
        client.conversations.items.delete(items[1].id, conversation_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await attempt
    with pytest.raises(openai.BadRequestError):
        await client.conversations.items.create(
            made.id, items=[{"role": "user", "content": "x"}] * 21
        )


async def test_responses_go_on_with_a_conversation(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    made = await client.conversations.create(items=[{"role": "user", "content": "I am Ann."}])
    first = await client.responses.create(model="m-1", input="Hi", conversation=made.id)
    assert first.conversation is not None
    assert first.conversation.id == made.id
    upstream.script(Answer("Yes."))
    stream = await client.responses.create(
        model="m-1", input="Sure?", conversation={"id": made.id}, stream=True, store=False
    )
    assert [event.type async for event in stream][-1] == "response.completed"
    assert said(upstream) == [
        ("user", "I am Ann."),
        ("user", "Hi"),
        ("assistant", TEXT),
        ("user", "Sure?"),
    ]
    items = await items_of(client, made.id)
    assert [item.role for item in items] == ["user", "user", "assistant", "user", "assistant"]
    assert items[2].id == first.output[0].id
    # What is removed is spoken of no more; its response has it still.
    await client.conversations.items.delete(items[2].id, conversation_id=made.id)
    await client.responses.create(model="m-1", input="And?", conversation=made.id)
    assert said(upstream)[1:] == [
        ("user", "Hi"),
        ("user", "Sure?"),
        ("assistant", "Yes."),
        ("user", "And?"),
    ]
    assert (await client.responses.retrieve(first.id)).output_text == TEXT


async def test_tools_in_a_conversation(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    made = await client.conversations.create()
    upstream.script(Answer("", tool_calls=[ToolCall("weather", '{"city": "Paris"}')]))
    await client.responses.create(
        model="m-1", input="How is it in Paris?", conversation=made.id, tools=[FUNCTION]
    )
    upstream.script(Answer("18 degrees."))
    await client.responses.create(
        model="m-1",
        conversation=made.id,
        input=[{"type": "function_call_output", "call_id": "call_1", "output": "18"}],
    )
    messages = upstream.requests[-1].json["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "weather"
    assert [item.type for item in await items_of(client, made.id)] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]


async def test_it_is_the_servers_own_conversation(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    made = await client.conversations.create(metadata={"a": "b"})
    await client.responses.create(model="m-1", input="Where is tea from?", conversation=made.id)
    id = made.id.removeprefix("conv_")
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as http:
        talk = (await http.get(f"/conversations/{id}")).json()
        assert talk["title"] == "Where is tea from?"
        assert [(m["role"], m["text"], m["status"]) for m in talk["messages"]] == [
            ("user", "Where is tea from?", "completed"),
            ("assistant", TEXT, "completed"),
        ]
        # Natively it goes on, and is gone on with as OpenAI has it.
        asked = {"message": "And coffee?", "conversation_id": id, "model": "m-1"}
        (await http.post("/chat/stream", json=asked)).raise_for_status()
    assert said(upstream)[-3:] == [
        ("user", "Where is tea from?"),
        ("assistant", TEXT),
        ("user", "And coffee?"),
    ]
    await client.responses.create(model="m-1", input="And cocoa?", conversation=made.id)
    assert [text for _, text in said(upstream)][-5:] == [
        "Where is tea from?",
        TEXT,
        "And coffee?",
        TEXT,
        "And cocoa?",
    ]
    items = await items_of(client, made.id)
    assert [item.role for item in items] == ["user", "assistant"] * 3


async def test_one_answer_at_a_time(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    made = await client.conversations.create()
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    first = await client.responses.create(
        model="m-1", input="Hi", conversation=made.id, background=True
    )
    request = await upstream.wait_requests(before + 1)
    with pytest.raises(openai.ConflictError) as locked:
        await client.responses.create(model="m-1", input="x", conversation=made.id)
    assert (locked.value.code, locked.value.param) == ("conversation_locked", "conversation")
    assert [item.type for item in await items_of(client, made.id)] == ["message"]
    request.release(100)
    stream = await client.responses.retrieve(first.id, stream=True)
    assert [event.type async for event in stream][-1] == "response.completed"


async def test_over_a_socket(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    made = await client.conversations.create()
    async with client.responses.connect() as connection:
        await ask(connection, input="One", conversation=made.id)
        assert (await until_end(connection))[-1].type == "response.completed"
        await ask(connection, input="Two", conversation={"id": made.id}, stream_id="a")
        assert (await until_end(connection, "a"))[-1].response.conversation.id == made.id
        await ask(connection, input="x", conversation="conv_none")
        assert (await until_end(connection))[-1].param == "conversation"
    assert [text for _, text in said(upstream)] == ["One", TEXT, "Two"]


async def test_other_peoples_conversations_are_not_there(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    made = await client.conversations.create(items=[{"role": "user", "content": "Mine."}])
    asked = len(upstream.requests)
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=OTHER_KEY, max_retries=0) as other:
        for id in (made.id, "conv_none", "none"):
            attempts: list[Awaitable[Any]] = [
                other.conversations.retrieve(id),
                other.conversations.update(id, metadata={}),
                other.conversations.delete(id),
                other.conversations.items.create(id, items=[{"role": "user", "content": "x"}]),
                other.conversations.items.retrieve("msg_x", conversation_id=id),
                other.conversations.items.delete("msg_x", conversation_id=id),
                other.responses.create(model="m-1", input="x", conversation=id),
            ]
            for attempt in attempts:
                with pytest.raises(openai.NotFoundError):
                    await attempt
            with pytest.raises(openai.NotFoundError):
                await other.conversations.items.list(id)
    assert len(upstream.requests) == asked
    assert json.dumps([item.to_dict() for item in await items_of(client, made.id)])
