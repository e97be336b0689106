"""What only an upstream of Responses can be given, with OpenAI's own SDK for Python."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from fairlead.testing.upstream import ScriptedUpstream
from tests.sdks.serving import serving
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"
#: As the vendor has it: by its id, in a version of it, with what stands for its variables.
PROMPT: Any = {
    "id": "pmpt_1",
    "version": "2",
    "variables": {"city": "Paris", "map": {"type": "input_file", "file_id": "file-far"}},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    upstream = {"base_url": running.base_url, "max_retries": 0}
    async with serving(
        tmp_path_factory.mktemp("upstream"),
        {"name": "vendor", "models": ["m-1"], "api": "responses", **upstream},
        {"name": "plain", "models": ["m-chat"], **upstream},
    ) as server:
        yield server


@pytest.mark.parametrize("asked", [{}, {"input": "Hi"}, {"input": []}])
async def test_a_stored_prompt_is_carried(
    client: AsyncOpenAI, upstream: ScriptedUpstream, asked: dict[str, Any]
) -> None:
    made = await client.responses.create(model="m-1", prompt=PROMPT, **asked)
    assert made.output_text == TEXT
    sent = upstream.requests[-1].json
    assert sent["prompt"] == PROMPT
    assert ("input" in sent) is bool(asked.get("input"))
    async with client.responses.stream(model="m-1", prompt=PROMPT, **asked) as stream:
        assert (await stream.get_final_response()).output_text == TEXT
    assert upstream.requests[-1].json["prompt"] == PROMPT
    # What follows is told what was said, and need not name the prompt again.
    await client.responses.create(model="m-1", input="And?", previous_response_id=made.id)
    said = [item["content"] for item in upstream.requests[-1].json["input"]]
    assert said[-2][0]["text"] == TEXT
    assert said[-1] in ("And?", [{"type": "input_text", "text": "And?"}])


async def test_a_stored_prompt_over_a_socket(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    async with client.responses.connect() as connection:
        await connection.response.create(model="m-1", prompt=PROMPT)
        async for event in connection:
            assert event.type != "error", event
            if event.type == "response.completed":
                assert event.response.output_text == TEXT
                break
    assert upstream.requests[-1].json["prompt"] == PROMPT


@pytest.mark.parametrize("asked", [{}, {"input": "Hi"}])
async def test_a_stored_prompt_is_refused_where_nobody_knows_it(
    client: AsyncOpenAI, upstream: ScriptedUpstream, asked: dict[str, Any]
) -> None:
    before = len(upstream.requests)
    with pytest.raises(openai.BadRequestError, match="cannot be given a stored prompt") as refused:
        await client.responses.create(model="m-chat", prompt=PROMPT, **asked)
    error = refused.value
    assert (error.param, error.type, error.code) == (
        "prompt",
        "invalid_request_error",
        "bad_request",
    )
    async with client.responses.connect() as connection:
        await connection.response.create(model="m-chat", prompt=PROMPT, **asked)
        event = await connection.recv()
        assert event.type == "error"
        assert event.param == "prompt"
    assert len(upstream.requests) == before
    # One that is null asks for nothing.
    made = await client.responses.create(model="m-chat", input="Hi", prompt=None)
    assert made.output_text == TEXT
    with pytest.raises(openai.BadRequestError) as empty:
        await client.responses.create(model="m-chat", prompt=None)
    assert empty.value.param == "input"
