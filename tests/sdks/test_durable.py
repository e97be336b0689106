"""What OpenAI's SDK sees of restarts, killed servers and the documents."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.support.server import ServerProcess

TEXT = "Hello there, how are you?"
BODY = {"model": "m-1", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


def flags(upstream: ScriptedUpstream, *more: str) -> tuple[str, ...]:
    return ("--upstream", upstream.base_url, "--model", "m-1", *more)


async def lines(response: aiohttp.ClientResponse, until: int) -> list[tuple[str, dict[str, Any]]]:
    """So many chunks with the ids before them, or all that there are."""
    found: list[tuple[str, dict[str, Any]]] = []
    id = ""
    while len(found) < until and (line := (await response.content.readline()).decode()):
        if line.startswith("id: "):
            id = line[4:].rstrip()
        elif line.startswith("data: {"):
            found.append((id, json.loads(line[6:])))
    return found


def text_of(chunks: list[tuple[str, dict[str, Any]]]) -> str:
    return "".join(
        choice["delta"].get("content", "")
        for _, chunk in chunks
        for choice in chunk.get("choices", ())
    )


async def test_a_drain_ends_answers_with_an_error_that_says_so(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer(TEXT, pace=Pace(gated=True)))
        async with ServerProcess(
            tmp_path, *flags(upstream, "--drain-grace", "0", "--no-knowledge")
        ) as server:
            client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
            create: Any = client.chat.completions.create
            asking = asyncio.create_task(create(**BODY))
            whole = asyncio.create_task(create(**BODY | {"stream": False}))
            await upstream.wait_requests(2)
            upstream.release(2)
            stream = await asking
            server.terminate()
            with pytest.raises(openai.APIError) as raised:
                async for _ in stream:
                    pass
            assert raised.value.code == "interrupted"
            with pytest.raises(openai.InternalServerError) as failed:
                await whole
            assert failed.value.code in ("interrupted", "draining")
            await client.close()
            assert await server.wait() == 0


async def test_a_killed_server_loses_nothing_that_was_shown(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, aiohttp.ClientSession() as session:
        upstream.script(Answer(TEXT, pace=Pace(gated=True)))
        async with ServerProcess(tmp_path, *flags(upstream, "--no-knowledge")) as server:
            url = f"{server.url}/v1/chat/completions"
            asking = asyncio.create_task(session.post(url, json=BODY))
            await upstream.wait_requests(1)
            upstream.release(3)
            shown = await lines(await asking, 3)
            await server.kill()
            await server.start()
            id, _ = shown[1]
            headers = {"Last-Event-ID": id}
            async with session.post(url, json=BODY, headers=headers) as response:
                rest = await lines(response, 100)
            assert text_of(shown[:2]) + text_of(rest) == "Hello there, how "
            assert rest[-1][1]["error"]["code"] == "interrupted"
            name = f"chatcmpl-{id.partition('.')[0]}"
            assert shown[0][1]["id"] == name
            async with session.get(f"{url}/{name}") as response:
                assert response.status == 500
                assert (await response.json())["error"]["code"] == "interrupted"
        assert len(upstream.requests) == 1


async def test_the_documents_are_searched_where_the_operator_says_so(tmp_path: Path) -> None:
    asked: Any = BODY | {"messages": [{"role": "user", "content": "What is an epoch?"}]}
    async with ScriptedUpstream() as upstream, aiohttp.ClientSession() as session:
        for more, searched in (((), False), (("--vendor-documents",), True)):
            async with ServerProcess(tmp_path / str(searched), *flags(upstream, *more)) as server:
                url = f"{server.url}/v1/chat/completions"
                async with session.post(url, json=asked) as response:
                    chunks = await lines(response, 100)
            assert ("citations" in chunks[0][1]) is searched
            sent = upstream.requests[-1].json["messages"]
            assert sent[-1] == asked["messages"][0]
            assert (sent[0]["role"] == "system") is searched
