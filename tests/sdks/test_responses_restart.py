"""Responses over a server that is killed, and over one that is deployed anew."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseStreamEvent

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.support.server import ServerProcess

TEXT = "Hello there, how are you?"


@pytest.mark.parametrize("how", ["killed", "drained"])
async def test_a_response_is_read_on_after_a_restart(tmp_path: Path, how: str) -> None:
    """Exactly, by number; what the server could not finish ends as failed, and says so."""
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer(TEXT, pace=Pace(gated=True)))
        server = ServerProcess(
            tmp_path, "--upstream", upstream.base_url, "--model", "m-1", "--drain-grace", "0"
        )
        async with server, AsyncOpenAI(base_url="x", api_key="none", max_retries=0) as client:
            client.base_url = f"{server.url}/v1"
            stream = await client.responses.create(input="Hi", background=True, stream=True)
            request = await upstream.wait_request()
            request.release(1)
            seen: list[ResponseStreamEvent] = []
            # A server that is killed cuts the line; one that drains says how the response ends.
            with contextlib.suppress(httpx.HTTPError, openai.APIConnectionError):
                async for event in stream:
                    seen.append(event)
                    if event.type == "response.output_text.delta":
                        if how == "killed":
                            await server.kill()
                        else:
                            server.terminate()
            assert (seen[-1].type == "response.failed") is (how == "drained")
            if how == "drained":
                await server.wait()
            await server.start()
            assert seen[0].type == "response.created"
            id = seen[0].response.id
            rest = await client.responses.retrieve(
                id, stream=True, starting_after=seen[-1].sequence_number
            )
            seen += [event async for event in rest]
            assert [event.sequence_number for event in seen] == list(range(len(seen)))
            last = seen[-1]
            assert last.type == "response.failed"
            assert last.response.error is not None
            assert str(last.response.error.code) == "interrupted"
            assert last.response.output_text == "Hello "
            assert (await client.responses.retrieve(id)).to_dict() == last.response.to_dict()


@pytest.mark.parametrize("how", ["killed", "drained"])
async def test_one_that_the_upstream_writes_in_the_background_is_finished_after_a_restart(
    tmp_path: Path, how: str
) -> None:
    """The SDK asks, the upstream is asked in the same words, and each number comes once."""
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer(TEXT, reasoning="Hm.", pace=Pace(gated=True)))
        file = tmp_path / "fairlead.toml"
        file.write_text(
            "drain_grace = 0\nknowledge = false\n"
            f'[[upstreams]]\nname = "vendor"\nbase_url = "{upstream.base_url}"\n'
            'models = ["m-1"]\napi = "responses"\nbackground = true\n'
        )
        server = ServerProcess(tmp_path, "--config", str(file))
        async with server, AsyncOpenAI(base_url="x", api_key="none", max_retries=0) as client:
            client.base_url = f"{server.url}/v1"
            stream = await client.responses.create(
                model="m-1",
                input="Hi",
                tools=[{"type": "web_search"}],
                extra_body={"vendor": [1]},
                background=True,
                stream=True,
            )
            request = await upstream.wait_request()
            request.release(2)
            seen: list[ResponseStreamEvent] = []
            with contextlib.suppress(httpx.HTTPError, openai.APIError):
                async for event in stream:
                    seen.append(event)
                    if event.type == "response.output_text.delta":
                        if how == "killed":
                            await server.kill()
                        else:
                            server.terminate()
            assert not any(event.type == "response.failed" for event in seen)
            if how == "drained":
                await server.wait()
            await server.start()
            upstream.release(20)
            assert seen[0].type == "response.created"
            id = seen[0].response.id
            rest = await client.responses.retrieve(
                id, stream=True, starting_after=seen[-1].sequence_number
            )
            seen += [event async for event in rest]
            numbered = [event.sequence_number for event in seen if event.type != "error"]
            assert numbered == list(range(len(numbered)))
            last = seen[-1]
            assert last.type == "response.completed"
            assert last.response.output_text == TEXT
            assert (await client.responses.retrieve(id)).to_dict() == last.response.to_dict()
        asked = [each for each in upstream.requests if each.path == "/v1/responses"]
        assert len(asked) == 1
        assert asked[0].json["tools"] == [{"type": "web_search"}]
        assert asked[0].json["vendor"] == [1]
