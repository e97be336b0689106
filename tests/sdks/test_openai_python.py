"""OpenAI's own SDK for Python, pointed at Fairlead."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from fairlead.testing.upstream import (
    Answer,
    Close,
    Ending,
    Insert,
    Pace,
    ScriptedUpstream,
    Status,
    StreamError,
    ToolCall,
)
from tests.sdks.serving import KEY
from tests.support.attachments import PNG
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    return "".join(
        choice.delta.content or ""
        for chunk in chunks
        for choice in chunk.choices
        if choice.index == index
    )


async def test_a_whole_answer(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="fast",
        messages=ASKED,
        temperature=0.5,
        response_format={"type": "json_object"},
        extra_body={"vendor_field": {"deep": [1, None]}},
    )
    made = raw.parse()
    assert made.choices[0].message.content == TEXT
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    assert made.id == f"chatcmpl-{raw.headers['fairlead-stream']}"
    sent = upstream.requests[-1].json
    assert sent["model"] == "m-1"
    assert sent["messages"] == ASKED
    assert sent["temperature"] == 0.5
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["vendor_field"] == {"deep": [1, None]}


async def test_a_streamed_answer(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, alternatives=["Another one."], chunk_extra={"vendor": "v"}))
    stream = await client.chat.completions.create(
        model="m-1", messages=ASKED, n=2, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == TEXT
    assert text_of(chunks, 1) == "Another one."
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].model_extra == {"vendor": "v"}
    assert {c.finish_reason for chunk in chunks for c in chunk.choices} == {None, "stop"}


async def test_log_probabilities(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    told = {"token": "Hm", "logprob": -0.5, "bytes": [72, 109], "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": "Hm"}, "logprobs": {"content": [told]}}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    data = json.dumps(chunk | {"choices": [choice]}).encode()
    upstream.script(Answer(" and so", faults=(Insert(data=b"data: %b\n\n" % data),)))
    asked: Any = {"model": "m-1", "messages": ASKED, "logprobs": True, "top_logprobs": 2}
    chunks = [chunk async for chunk in await client.chat.completions.create(stream=True, **asked)]
    assert text_of(chunks) == "Hm and so"
    (found,) = [c.logprobs for chunk in chunks for c in chunk.choices if c.logprobs is not None]
    assert found.content is not None
    assert found.content[0].to_dict() == told
    sent = upstream.requests[-1].json
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 2)
    made = await client.chat.completions.create(**asked)
    assert made.choices[0].logprobs is not None
    assert made.choices[0].logprobs.content is not None
    assert made.choices[0].logprobs.content[0].to_dict() == told


async def test_a_structured_answer(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    class City(BaseModel):
        name: str
        people: int

    upstream.script(Answer('{"name": "Paris", "people": 2}'))
    made = await client.chat.completions.parse(model="m-1", messages=ASKED, response_format=City)
    assert made.choices[0].message.parsed == City(name="Paris", people=2)
    form = upstream.requests[-1].json["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "City")
    asking = client.chat.completions.stream(model="m-1", messages=ASKED, response_format=City)
    async with asking as stream:
        whole = await stream.get_final_completion()
    assert whole.choices[0].message.parsed == City(name="Paris", people=2)


async def test_usage_is_not_shown_unasked(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    stream = await client.chat.completions.create(model="m-1", messages=ASKED, stream=True)
    assert all(chunk.usage is None for chunk in [chunk async for chunk in stream])


async def test_reasoning(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, reasoning="Let me think."))
    made = await client.chat.completions.create(model="m-1", messages=ASKED)
    assert getattr(made.choices[0].message, "reasoning_content", "") == "Let me think."


async def test_tools_and_their_results(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    arguments = '{"city": "Paris"}'
    upstream.script(
        Answer("", tool_calls=[ToolCall("weather", arguments), ToolCall("time", "{}", "call_2")])
    )
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    made = await client.chat.completions.create(model="m-1", messages=ASKED, tools=tools)
    message = made.choices[0].message
    assert made.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    calls = [call.function for call in message.tool_calls if call.type == "function"]
    assert [(call.name, call.arguments) for call in calls] == [
        ("weather", arguments),
        ("time", "{}"),
    ]
    assert upstream.requests[-1].json["tools"] == tools

    stream = await client.chat.completions.create(
        model="m-1", messages=ASKED, tools=tools, stream=True
    )
    pieces: dict[int, list[str]] = {}
    async for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function is not None
            pieces.setdefault(call.index, []).append(call.function.arguments or "")
    assert {n: "".join(said) for n, said in pieces.items()} == {0: arguments, 1: "{}"}

    upstream.script(Answer("18 degrees."))
    dialogue: Any = [
        *ASKED,
        message.to_dict(),
        {"role": "tool", "tool_call_id": "call_1", "content": "18"},
        {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
    ]
    made = await client.chat.completions.create(model="m-1", messages=dialogue, tools=tools)
    assert made.choices[0].message.content == "18 degrees."
    sent = upstream.requests[-1].json["messages"]
    assert sent[1]["tool_calls"][0]["id"] == "call_1"
    assert sent[2:] == dialogue[2:]


async def test_pictures_by_their_bytes_and_by_their_address(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    content: Any = [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image_url",
            "image_url": {
                "url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}",
                "detail": "low",
            },
        },
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    await client.chat.completions.create(
        model="m-1", messages=[{"role": "user", "content": content}]
    )
    assert upstream.requests[-1].json["messages"][0]["content"] == content


# -- errors --------------------------------------------------------------------------------------


async def test_errors_before_anything_is_asked(
    client: AsyncOpenAI, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    asked = len(upstream.requests)
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="none", messages=ASKED)
    assert unknown.value.code == "model_not_found"
    assert unknown.value.param == "model"
    wrong: Any = [{"role": "user", "content": 7}]
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="m-1", messages=wrong)
    assert bad.value.param == "messages[0].content"
    assert bad.value.type == "invalid_request_error"
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="wrong") as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            await stranger.chat.completions.create(model="m-1", messages=ASKED)
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.APIStatusError) as large:
        await client.chat.completions.create(
            model="m-1", messages=[{"role": "user", "content": "x" * 2_000_000}]
        )
    assert large.value.status_code == 413
    assert len(upstream.requests) == asked


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        # Its own word: the upstream's.
        (400, openai.BadRequestError, "invalid_request_error"),
        (500, openai.InternalServerError, "upstream_unavailable"),
        (401, openai.InternalServerError, "upstream_refused_key"),
    ],
)
async def test_an_upstreams_error_before_its_first_piece_is_a_status(
    client: AsyncOpenAI,
    upstream: ScriptedUpstream,
    stream: bool,
    status: int,
    error: type[openai.APIStatusError],
    code: str,
) -> None:
    upstream.script(Status(status, "the upstream's own words"))
    with pytest.raises(error) as raised:
        await client.chat.completions.create(model="m-failing", messages=ASKED, stream=stream)
    assert raised.value.code == code
    if status != 401:
        assert "the upstream's own words" in raised.value.message


async def test_a_limit_says_when_to_come_again(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Status(429, retry_after=7))
    with pytest.raises(openai.RateLimitError) as raised:
        await client.chat.completions.create(model="m-failing", messages=ASKED)
    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("fault", [StreamError(after=2), Close(after=2)])
async def test_an_error_in_the_middle_is_raised_after_what_was_written(
    client: AsyncOpenAI, upstream: ScriptedUpstream, fault: Any
) -> None:
    upstream.script(Answer(TEXT, faults=(fault,)))
    stream = await client.chat.completions.create(model="m-1", messages=ASKED, stream=True)
    chunks = []
    with pytest.raises(openai.APIError) as raised:  # noqa: PT012 - what came before counts
        async for chunk in stream:
            chunks.append(chunk)
    assert text_of(chunks) == "Hello there, "
    assert raised.value.code in ("upstream_unavailable", "upstream_cut")
    with pytest.raises(openai.APIStatusError):
        await client.chat.completions.create(model="m-1", messages=ASKED)


# -- durable -------------------------------------------------------------------------------------


async def test_a_client_that_goes_away_for_good_stops_the_upstream(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    asking = asyncio.create_task(
        client.chat.completions.create(
            model="m-1",
            messages=ASKED,
            stream=True,
            extra_headers={"Fairlead-Orphan-Window": "0"},
        )
    )
    request = await upstream.wait_requests(before + 1)
    request.release()
    stream = await asking
    await anext(aiter(stream))
    await stream.close()
    assert await request.wait_ended() is Ending.CLIENT_CLOSED


async def test_a_cut_stream_is_read_on_exactly(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True), tool_calls=[ToolCall("f", '{"a": 1}')]))
    before = len(upstream.requests)
    headers = {"Fairlead-Orphan-Window": "60", "Idempotency-Key": "cut"}

    async def ask(**more: str) -> Any:
        return await client.chat.completions.with_streaming_response.create(
            model="m-1",
            messages=ASKED,
            stream=True,
            extra_headers=headers | more,
        ).__aenter__()

    asking = asyncio.create_task(ask())
    request = await upstream.wait_requests(before + 1)
    request.release(2)
    raw = await asking
    seen: list[str] = []
    last = ""
    async for line in raw.iter_lines():
        if line.startswith("id: "):
            last = line[4:]
        if line.startswith("data: "):
            seen.append(line[6:])
        if len(seen) == 2 and not line:
            break
    await raw.close()
    request.release(100)
    rest = await ask(**{"Last-Event-ID": last})
    assert rest.headers["fairlead-stream"] == last.partition(".")[0]
    seen += [line[6:] async for line in rest.iter_lines() if line.startswith("data: ")]
    assert seen.pop() == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(each) for each in seen]
    assert text_of(chunks) == TEXT
    calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].id == "call_1"
    assert json.loads("".join((c.function and c.function.arguments) or "" for c in calls)) == {
        "a": 1
    }
    assert len(upstream.requests) == before + 1
    again = await client.chat.completions.retrieve(f"chatcmpl-{last.partition('.')[0]}")
    assert again.choices[0].message.content == TEXT
    gone = await client.chat.completions.delete(again.id)
    assert gone.deleted
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.retrieve(again.id)


async def test_a_lost_whole_answer_is_repeated_at_no_cost(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    headers = {"Idempotency-Key": "lost", "Fairlead-Orphan-Window": "60"}

    def ask(**more: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(
            client.chat.completions.create(
                model="m-1", messages=ASKED, extra_headers=headers, **more
            )
        )

    asking = ask()
    request = await upstream.wait_requests(before + 1)
    asking.cancel()
    request.release(100)
    made = await ask()
    assert made.choices[0].message.content == TEXT
    streamed = await ask(stream=True)
    assert text_of([chunk async for chunk in streamed]) == TEXT
    assert len(upstream.requests) == before + 1
    with pytest.raises(openai.ConflictError):
        await ask(temperature=1)


async def test_many_at_once(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))

    async def one(n: int) -> str:
        asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": f"question {n}"}]
        if n % 2:
            made = await client.chat.completions.create(model="m-1", messages=asked)
            return made.choices[0].message.content or ""
        stream = await client.chat.completions.create(model="m-1", messages=asked, stream=True)
        return text_of([chunk async for chunk in stream])

    said = await asyncio.gather(*(one(n) for n in range(40)))
    assert said == [f"answer to question {n}" for n in range(40)]


# -- models, embeddings --------------------------------------------------------------------------


async def test_models(client: AsyncOpenAI) -> None:
    names = [model.id async for model in await client.models.list()]
    assert set(names) == {"m-1", "embed-1", "m-failing", "fast", "gpt-4o"}
    assert (await client.models.retrieve("fast")).id == "fast"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("none")


async def test_embeddings_with_one_of_two_upstreams_away(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    made = await client.embeddings.create(model="embed-1", input=["one", "two"], dimensions=4)
    assert [each.index for each in made.data] == [0, 1]
    assert len(made.data[0].embedding) == 4
    assert made.data[0].embedding != made.data[1].embedding
    assert made.usage.prompt_tokens == 2
    assert upstream.requests[-1].json["dimensions"] == 4
    again = await client.embeddings.create(model="embed-1", input="one", encoding_format="float")
    assert again.data[0].embedding == pytest.approx(made.data[0].embedding)


async def test_the_key_is_the_gateways_own(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    await client.chat.completions.create(model="m-1", messages=ASKED)
    assert KEY not in json.dumps(upstream.requests[-1].headers)
