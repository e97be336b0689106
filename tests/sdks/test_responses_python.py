"""OpenAI's own SDK for Python, asking for responses."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

from fairlead.testing.upstream import (
    Answer,
    Close,
    Ending,
    Pace,
    ScriptedUpstream,
    Status,
    StreamError,
    ToolCall,
)
from tests.sdks.serving import OTHER_KEY
from tests.support.attachments import PNG
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"
FUNCTION: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}


def numbers(events: list[ResponseStreamEvent]) -> list[int]:
    return [event.sequence_number for event in events]


def text_of(events: list[ResponseStreamEvent]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


async def test_a_whole_response(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    made = await client.responses.create(
        model="fast",
        input="Hi",
        instructions="Be brief.",
        temperature=0.5,
        max_output_tokens=99,
        reasoning={"effort": "low"},
        metadata={"topic": "greeting"},
        text={"format": {"type": "json_object"}},
        extra_body={"vendor_field": 7},
    )
    assert made.output_text == TEXT
    assert made.status == "completed"
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    assert made.metadata == {"topic": "greeting"}
    assert made.instructions == "Be brief."
    assert made.temperature == 0.5
    sent = upstream.requests[-1].json
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert sent["temperature"] == 0.5
    assert sent["max_completion_tokens"] == 99
    assert sent["reasoning_effort"] == "low"
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["vendor_field"] == 7
    assert not {"metadata", "input", "instructions", "text", "reasoning"} & sent.keys()
    again = await client.responses.retrieve(made.id)
    assert again.to_dict() == made.to_dict()


async def test_a_streamed_response(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, reasoning="Let me think."))
    stream = await client.responses.create(model="m-1", input="Hi", stream=True)
    events = [event async for event in stream]
    assert numbers(events) == list(range(len(events)))
    assert [event.type for event in events if not event.type.endswith("delta")] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert text_of(events) == TEXT
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == TEXT
    assert [item.type for item in last.response.output] == ["reasoning", "message"]


async def test_the_vendors_headers_tell_what_is_left(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    raw = await client.responses.with_raw_response.create(model="m-1", input="Hi")
    assert raw.headers["x-ratelimit-limit-requests"] == "100000"
    assert int(raw.headers["x-ratelimit-remaining-requests"]) < 100_000
    assert raw.headers["x-ratelimit-limit-tokens"] == "100000000"
    assert raw.headers["x-ratelimit-reset-tokens"].endswith("s")
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    chat = await client.chat.completions.with_raw_response.create(
        model="m-1", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    (await upstream.wait_requests(before + 1)).release(100)
    assert int(chat.headers["x-ratelimit-remaining-tokens"]) < 100_000_000


async def test_the_sdks_own_sum(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    async with client.responses.stream(model="m-1", input="Hi") as stream:
        async for _ in stream:
            pass
        made = await stream.get_final_response()
    assert made.output_text == TEXT


async def test_tools_and_their_results(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    arguments = '{"city": "Paris"}'
    upstream.script(
        Answer("", tool_calls=[ToolCall("weather", arguments), ToolCall("time", "{}", "call_2")])
    )
    stream = await client.responses.create(
        model="m-1",
        input="Hi",
        tools=[FUNCTION],
        tool_choice={"type": "function", "name": "weather"},
        stream=True,
    )
    events = [event async for event in stream]
    pieces: dict[int, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            pieces[event.output_index] = pieces.get(event.output_index, "") + event.delta
    assert pieces == {0: arguments, 1: "{}"}
    last = events[-1]
    assert last.type == "response.completed"
    calls = [item for item in last.response.output if item.type == "function_call"]
    assert [(c.call_id, c.name, c.arguments) for c in calls] == [
        ("call_1", "weather", arguments),
        ("call_2", "time", "{}"),
    ]
    sent = upstream.requests[-1].json
    assert sent["tools"][0]["function"]["name"] == "weather"
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "weather"}}

    upstream.script(Answer("18 degrees."))
    made = await client.responses.create(
        model="m-1",
        previous_response_id=last.response.id,
        input=[
            {"type": "function_call_output", "call_id": "call_1", "output": "18"},
            {"type": "function_call_output", "call_id": "call_2", "output": "noon"},
        ],
    )
    assert made.output_text == "18 degrees."
    messages = upstream.requests[-1].json["messages"]
    assert messages[0] == {"role": "user", "content": "Hi"}
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2"]
    assert messages[2:] == [
        {"role": "tool", "content": "18", "tool_call_id": "call_1"},
        {"role": "tool", "content": "noon", "tool_call_id": "call_2"},
    ]


async def test_custom_tools(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    code = 'print("hello")'
    arguments = json.dumps({"input": code})
    upstream.script(Answer("", tool_calls=[ToolCall("run", arguments)]))
    tool: Any = {"type": "custom", "name": "run", "description": "Runs code."}
    choice: Any = {"type": "custom", "name": "run"}
    stream = await client.responses.create(
        model="m-1", input="Run it", tools=[tool, FUNCTION], tool_choice=choice, stream=True
    )
    events = [event async for event in stream]
    deltas = [e.delta for e in events if e.type == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == code
    assert numbers(events) == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    (call,) = last.response.output
    assert call.type == "custom_tool_call"
    assert (call.name, call.input, call.call_id) == ("run", code, "call_1")
    sent = upstream.requests[-1].json
    assert [each["function"]["name"] for each in sent["tools"]] == ["run", "weather"]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "run"}}

    upstream.script(Answer("It says hello."))
    made = await client.responses.create(
        model="m-1",
        previous_response_id=last.response.id,
        input=[{"type": "custom_tool_call_output", "call_id": "call_1", "output": "hello"}],
        tools=[tool],
    )
    assert made.output_text == "It says hello."
    messages = upstream.requests[-1].json["messages"]
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"input": code}
    assert messages[2] == {"role": "tool", "content": "hello", "tool_call_id": "call_1"}
    grammar = {"type": "grammar", "syntax": "regex", "definition": "a+"}
    tool["format"] = grammar
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m-1", input="x", tools=[tool])
    assert refused.value.param == "tools[0].format"


async def test_only_allowed_tools_are_offered(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    choice: Any = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "time"}],
    }
    tools: Any = [FUNCTION, {**FUNCTION, "name": "time"}]
    await client.responses.create(model="m-1", input="Hi", tools=tools, tool_choice=choice)
    sent = upstream.requests[-1].json
    assert [each["function"]["name"] for each in sent["tools"]] == ["time"]
    assert sent["tool_choice"] == "required"


async def test_a_structured_answer(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    class Place(BaseModel):
        city: str

    upstream.script(Answer('{"city": "Paris"}'))
    made = await client.responses.parse(model="m-1", input="Where?", text_format=Place)
    assert made.output_parsed == Place(city="Paris")
    sent = upstream.requests[-1].json["response_format"]
    assert (sent["type"], sent["json_schema"]["name"]) == ("json_schema", "Place")
    assert sent["json_schema"]["schema"]["required"] == ["city"]


async def test_settings_that_are_told_again(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    made = await client.responses.create(
        model="m-1",
        input="Hi",
        safety_identifier="reader-7",
        prompt_cache_key="cache-7",
        service_tier="flex",
        truncation="disabled",
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
    )
    assert (made.safety_identifier, made.prompt_cache_key) == ("reader-7", "cache-7")
    assert (made.service_tier, made.truncation) == ("flex", "disabled")
    sent = upstream.requests[-1].json
    assert sent["safety_identifier"] == "reader-7"
    assert sent["logprobs"] is True
    assert not {"truncation", "include"} & sent.keys()


async def test_a_dialogue(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    first = await client.responses.create(model="m-1", input="One", instructions="Be brief.")
    second = await client.responses.create(model="m-1", input="Two", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    await client.responses.create(model="m-1", input="Three", previous_response_id=second.id)
    said = [(m["role"], m["content"]) for m in upstream.requests[-1].json["messages"]]
    assert said == [
        ("user", "One"), ("assistant", TEXT), ("user", "Two"), ("assistant", TEXT),
        ("user", "Three"),
    ]  # fmt: skip
    items = await client.responses.input_items.list(second.id)
    (item,) = items.data
    assert item.type == "message"
    assert item.content[0].to_dict() == {"type": "input_text", "text": "Two"}


async def test_items_may_be_named(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    first = await client.responses.create(model="m-1", input="One")
    named: Any = [
        {"role": "user", "content": "One"},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "Two"},
    ]
    second = await client.responses.create(model="m-1", input=named)
    said = [(m["role"], m["content"]) for m in upstream.requests[-1].json["messages"]]
    assert said == [("user", "One"), ("assistant", TEXT), ("user", "Two")]
    await client.responses.create(model="m-1", input="x", previous_response_id=second.id)
    assert upstream.requests[-1].json["messages"][1]["content"] == TEXT
    for id in ("msg_" + "0" * 26 + "_0", f"{first.output[0].id}7", "x"):
        named[1]["id"] = id
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model="m-1", input=named)


async def test_an_answer_of_another_dialect_is_read_but_not_gone_on_with(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    chat = await client.chat.completions.create(
        model="m-1", messages=[{"role": "user", "content": "Hi"}]
    )
    id = f"resp_{chat.id.removeprefix('chatcmpl-')}"
    assert (await client.responses.retrieve(id)).output_text == TEXT
    assert (await client.responses.input_items.list(id)).data == []
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m-1", input="x", previous_response_id=id)
    assert refused.value.param == "previous_response_id"
    made = await client.responses.create(model="m-1", input="Hi")
    same = await client.chat.completions.retrieve(f"chatcmpl-{made.id.removeprefix('resp_')}")
    assert same.choices[0].message.content == TEXT


async def test_one_that_runs_is_not_gone_on_with(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    made = await client.responses.create(model="m-1", input="Hi", background=True)
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="m-1", input="x", previous_response_id=made.id)
    (await upstream.wait_requests(before + 1)).release(100)


async def test_pictures_and_files(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    address = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    content: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": address, "detail": "auto"},
    ]
    await client.responses.create(model="m-1", input=[{"role": "user", "content": content}])
    sent = upstream.requests[-1].json["messages"][0]["content"]
    assert {"type": "image_url", "image_url": {"url": address}} in sent
    content[1]["image_url"] = "https://example.org/a.png"
    with pytest.raises(openai.APIStatusError) as refused:
        await client.responses.create(model="m-1", input=[{"role": "user", "content": content}])
    assert refused.value.status_code == 415


async def test_what_is_not_stored_is_not_found(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    made = await client.responses.create(model="m-1", input="Hi", store=False)
    assert made.output_text == TEXT
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.create(model="m-1", input="x", previous_response_id=made.id)
    assert unknown.value.param == "previous_response_id"


async def test_obfuscation_pads_the_deltas_the_same_on_every_read(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer("", tokens=("a", "little", "something longer than that")))
    plain = await client.responses.create(model="m-1", input="Hi", stream=True)
    assert all("obfuscation" not in event.to_dict() for event in [e async for e in plain])
    stream = await client.responses.create(
        model="m-1", input="Hi", stream=True, stream_options={"include_obfuscation": True}
    )
    events = [event async for event in stream]
    assert text_of(events) == "alittlesomething longer than that"
    deltas = [json.dumps(e.to_dict()) for e in events if e.type.endswith(".delta")]
    assert len(deltas) == 3
    assert all('"obfuscation"' in delta for delta in deltas)
    assert events[0].type == "response.created"
    id = events[0].response.id
    again = await client.responses.retrieve(id, stream=True, include_obfuscation=True)
    assert [event.to_dict() async for event in again] == [event.to_dict() for event in events]


async def test_what_there_is_not_says_what_to_do_instead(client: AsyncOpenAI) -> None:
    attempts: list[Awaitable[Any]] = [
        client.files.create(file=b"x", purpose="user_data"),
        client.files.retrieve("file-1"),
        client.files.delete("file-1"),
        client.responses.compact(model="m-1", input="x"),
        client.responses.input_tokens.count(model="m-1", input="x"),
    ]
    for attempt in attempts:
        with pytest.raises(openai.NotFoundError) as refused:
            await attempt
        assert "here" in refused.value.message
    part: Any = {"type": "input_file", "file_id": "file-1"}
    with pytest.raises(openai.APIStatusError) as unsupported:
        await client.responses.create(model="m-1", input=[{"role": "user", "content": [part]}])
    assert unsupported.value.status_code == 415


async def test_input_items_are_paged(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    items: Any = [{"role": "user", "content": f"{n}"} for n in range(5)]
    made = await client.responses.create(model="m-1", input=items)
    listed = client.responses.input_items.list(
        made.id, limit=2, order="asc", include=["message.input_image.image_url"]
    )
    texts = [item.to_dict()["content"] async for item in listed]
    assert [each[0]["text"] for each in texts] == ["0", "1", "2", "3", "4"]  # type: ignore[index]
    newest = await client.responses.input_items.list(made.id, limit=1)
    assert newest.has_more
    found = await client.responses.retrieve(made.id, include=["reasoning.encrypted_content"])
    assert found.id == made.id


async def test_removed(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    made = await client.responses.create(model="m-1", input="Hi")
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


# -- errors --------------------------------------------------------------------------------------


async def test_errors_before_anything_is_asked(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    asked = len(upstream.requests)
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.create(model="none", input="Hi")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        await client.responses.create(model="m-1", input=7)  # type: ignore[call-overload]
    assert bad.value.param == "input"
    refusals: list[dict[str, Any]] = [
        {"prompt": {"id": "p"}},
        {"context_management": [{"type": "compaction"}]},
        {"moderation": {"model": "m"}},
        {"truncation": "sometimes"},
        {"include": ["what.there.is.not"]},
        {"conversation": "c", "previous_response_id": "r"},
    ]
    for fields in refusals:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="m-1", input="Hi", extra_body=fields)
        assert refused.value.param in fields
    with pytest.raises(openai.BadRequestError) as tool:
        await client.responses.create(model="m-1", input="Hi", tools=[{"type": "web_search"}])
    assert tool.value.param == "tools[0].type"
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="m-1", input="Hi", background=True, store=False)
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="wrong") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.responses.create(model="m-1", input="Hi")
    assert len(upstream.requests) == asked


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstreams_error_before_its_first_piece_is_a_status(
    client: AsyncOpenAI, upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.script(Status(400, "the upstream's own words"))
    with pytest.raises(openai.BadRequestError) as raised:
        await client.responses.create(model="m-failing", input="Hi", stream=stream)
    assert raised.value.code == "invalid_request_error"
    assert "the upstream's own words" in raised.value.message


@pytest.mark.parametrize("fault", [StreamError(after=2), Close(after=2)])
async def test_an_error_in_the_middle_ends_the_response_as_failed(
    client: AsyncOpenAI, upstream: ScriptedUpstream, fault: Any
) -> None:
    upstream.script(Answer(TEXT, faults=(fault,)))
    stream = await client.responses.create(model="m-1", input="Hi", stream=True)
    events = [event async for event in stream]
    assert text_of(events) == "Hello there, "
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code in ("upstream_unavailable", "upstream_cut")
    again = await client.responses.retrieve(last.response.id)
    assert again.status == "failed"
    with pytest.raises(openai.APIStatusError):
        await client.responses.create(model="m-1", input="Hi")


async def test_a_limit_makes_it_incomplete(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, finish_reason="length"))
    made = await client.responses.create(model="m-1", input="Hi")
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"


# -- durable -------------------------------------------------------------------------------------


async def test_a_cut_stream_is_read_on_exactly(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True), tool_calls=[ToolCall("f", '{"a": 1}')]))
    before = len(upstream.requests)
    asking = asyncio.create_task(
        client.responses.create(
            model="m-1",
            input="Hi",
            stream=True,
            extra_headers={"Fairlead-Orphan-Window": "60"},
        )
    )
    request = await upstream.wait_requests(before + 1)
    request.release(2)
    stream = await asking
    seen: list[ResponseStreamEvent] = []
    async for event in stream:
        seen.append(event)
        if len(seen) == 6:
            break
    await stream.close()
    assert seen[0].type == "response.created"
    id = seen[0].response.id
    request.release(100)
    rest = await client.responses.retrieve(id, stream=True, starting_after=5)
    seen += [event async for event in rest]
    assert numbers(seen) == list(range(len(seen)))
    assert text_of(seen) == TEXT
    assert seen[-1].type == "response.completed"
    # From anywhere, the events are the same and have the same numbers.
    everything = [event.to_dict() for event in seen]
    again = await client.responses.retrieve(id, stream=True)
    assert [event.to_dict() async for event in again] == everything
    for number in range(len(everything)):
        part = await client.responses.retrieve(id, stream=True, starting_after=number)
        assert [event.to_dict() async for event in part] == everything[number + 1 :]
    with pytest.raises(openai.BadRequestError):
        await client.responses.retrieve(id, stream=True, starting_after=len(everything))
    assert len(upstream.requests) == before + 1


async def test_in_the_background(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    made = await client.responses.create(model="m-1", input="Hi", background=True)
    assert made.status == "in_progress"
    assert made.background
    request = await upstream.wait_requests(before + 1)
    request.release(100)
    stream = await client.responses.retrieve(made.id, stream=True)
    events = [event async for event in stream]
    assert text_of(events) == TEXT
    done = await client.responses.retrieve(made.id)
    assert done.status == "completed"
    assert done.output_text == TEXT


async def test_cancelled(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    stream = await client.responses.create(model="m-1", input="Hi", background=True, stream=True)
    request = await upstream.wait_requests(before + 1)
    request.release(1)
    events: list[ResponseStreamEvent] = []
    async for event in stream:
        events.append(event)
        if event.type == "response.output_text.delta":
            assert events[0].type == "response.created"
            made = await client.responses.cancel(events[0].response.id)
            assert made.status == "cancelled"
    assert await request.wait_ended() is Ending.CLIENT_CLOSED
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "cancelled"
    assert last.response.output_text == "Hello "
    assert (await client.responses.cancel(last.response.id)).status == "cancelled"


async def test_many_at_once(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))

    async def one(n: int) -> str:
        if n % 2:
            return (await client.responses.create(model="m-1", input=f"question {n}")).output_text
        stream = await client.responses.create(model="m-1", input=f"question {n}", stream=True)
        return text_of([event async for event in stream])

    said = await asyncio.gather(*(one(n) for n in range(40)))
    assert said == [f"answer to question {n}" for n in range(40)]


async def test_other_peoples_responses_are_not_found(
    server: ServerProcess, client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    made = await client.responses.create(model="m-1", input="Hi")
    asked = len(upstream.requests)
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=OTHER_KEY) as other:
        attempts: list[Awaitable[Any]] = [
            other.responses.retrieve(made.id),
            other.responses.retrieve(made.id, stream=True),
            other.responses.cancel(made.id),
            other.responses.delete(made.id),
            other.responses.create(model="m-1", input="x", previous_response_id=made.id),
        ]
        for attempt in attempts:
            with pytest.raises(openai.NotFoundError):
                await attempt
        with pytest.raises(openai.NotFoundError):
            await other.responses.input_items.list(made.id)
    assert len(upstream.requests) == asked
    assert (await client.responses.retrieve(made.id)).output_text == TEXT
