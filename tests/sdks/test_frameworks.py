"""Frameworks that speak OpenAI's dialect, pointed at Fairlead: LangChain's and LlamaIndex's own
classes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI as LlamaOpenAI
from llama_index.llms.openai import OpenAIResponses as LlamaResponses
from pydantic import SecretStr

from fairlead.testing.upstream import Answer, ScriptedUpstream, ToolCall
from tests.sdks.serving import KEY
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Tea comes from China."


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    """The frameworks close none of their own."""
    async with httpx.AsyncClient() as client:
        yield client


def chat_of(server: ServerProcess, http: httpx.AsyncClient) -> ChatOpenAI:
    return ChatOpenAI(
        model="m-1",
        base_url=f"{server.url}/v1",
        api_key=SecretStr(KEY),
        max_retries=0,
        http_async_client=http,
    )


async def test_langchain_answers(
    server: ServerProcess, upstream: ScriptedUpstream, http: httpx.AsyncClient
) -> None:
    upstream.script(Answer(TEXT))
    model = chat_of(server, http)
    asked = [SystemMessage("Be brief."), HumanMessage("Where does tea come from?")]
    said = await model.ainvoke(asked)
    assert said.content == TEXT
    assert said.usage_metadata is not None
    assert said.usage_metadata["output_tokens"] > 0
    pieces = [str(piece.content) async for piece in model.astream(asked)]
    assert "".join(pieces) == TEXT
    assert len(pieces) > 2
    roles = [each["role"] for each in upstream.requests[-1].json["messages"]]
    assert roles == ["system", "user"]


async def test_langchain_calls_tools(
    server: ServerProcess, upstream: ScriptedUpstream, http: httpx.AsyncClient
) -> None:
    upstream.script(Answer("", tool_calls=[ToolCall("weather", json.dumps({"city": "Paris"}))]))
    said = await chat_of(server, http).bind_tools([weather]).ainvoke("How is it in Paris?")
    assert [(call["name"], call["args"]) for call in said.tool_calls] == [
        ("weather", {"city": "Paris"})
    ]


async def test_langchain_embeds(
    server: ServerProcess, upstream: ScriptedUpstream, http: httpx.AsyncClient
) -> None:
    model = OpenAIEmbeddings(
        model="embed-1",
        base_url=f"{server.url}/v1",
        api_key=SecretStr(KEY),
        check_embedding_ctx_length=False,
        http_async_client=http,
    )
    one, two = await model.aembed_documents(["one", "two"])
    assert len(one) == 4
    assert one != two


async def test_llama_index_answers(
    server: ServerProcess, upstream: ScriptedUpstream, http: httpx.AsyncClient
) -> None:
    upstream.script(Answer(TEXT))
    # It looks a model's context up by a name that it knows, and asks for no other.
    model = LlamaOpenAI(
        model="gpt-4o",
        api_base=f"{server.url}/v1",
        api_key=KEY,
        max_retries=0,
        async_http_client=http,
    )
    asked = [ChatMessage(role="user", content="Where does tea come from?")]
    assert (await model.achat(asked)).message.content == TEXT
    pieces = [piece.delta async for piece in await model.astream_chat(asked)]
    assert "".join(piece or "" for piece in pieces) == TEXT


async def test_langchain_asks_for_responses(
    server: ServerProcess, upstream: ScriptedUpstream, http: httpx.AsyncClient
) -> None:
    upstream.script(Answer(TEXT))
    model = ChatOpenAI(
        model="m-1",
        base_url=f"{server.url}/v1",
        api_key=SecretStr(KEY),
        max_retries=0,
        http_async_client=http,
        use_responses_api=True,
        use_previous_response_id=True,
    )
    asked = [SystemMessage("Be brief."), HumanMessage("Where does tea come from?")]
    said = await model.ainvoke(asked)
    assert said.text == TEXT
    assert said.response_metadata["id"].startswith("resp_")
    pieces = [piece.text async for piece in model.astream(asked)]
    assert "".join(pieces) == TEXT
    await model.ainvoke([*asked, said, HumanMessage("And cocoa?")])
    said_then = [each["content"] for each in upstream.requests[-1].json["messages"]]
    assert said_then == ["Be brief.", "Where does tea come from?", TEXT, "And cocoa?"]
    upstream.script(Answer("", tool_calls=[ToolCall("weather", json.dumps({"city": "Paris"}))]))
    called = await model.bind_tools([weather]).ainvoke("How is it in Paris?")
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [
        ("weather", {"city": "Paris"})
    ]


async def test_llama_index_asks_for_responses(
    server: ServerProcess, upstream: ScriptedUpstream, http: httpx.AsyncClient
) -> None:
    upstream.script(Answer(TEXT))
    model = LlamaResponses(
        model="gpt-4o",
        api_base=f"{server.url}/v1",
        api_key=KEY,
        max_retries=0,
        async_http_client=http,
    )
    asked = [ChatMessage(role="user", content="Where does tea come from?")]
    assert (await model.achat(asked)).message.content == TEXT
    pieces = [piece.delta async for piece in await model.astream_chat(asked)]
    assert "".join(piece or "" for piece in pieces) == TEXT
