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
