"""Responses through nginx, at whose one path they come as events and over a WebSocket."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.proxies.tls import NginxTls
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"


async def test_both_ways(
    running: ScriptedUpstream, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    flags = ("--base-path", "/api", "--upstream", running.base_url, "--model", "m-1")
    async with (
        ServerProcess(tmp_path / "data", *flags) as server,
        NginxTls(tmp_path, server.port, grpc_port=9) as nginx,  # nobody calls over gRPC
    ):
        context = ssl.create_default_context(cafile=str(nginx.certificate.file))
        trusting: Any = {"ssl": context}
        async with AsyncOpenAI(
            base_url=f"{nginx.url}/v1",
            api_key="none",
            max_retries=0,
            http_client=httpx.AsyncClient(verify=context),
        ) as client:
            upstream.script(Answer(TEXT, pace=Pace(gated=True)))
            before = len(upstream.requests)
            stream = await client.responses.create(model="m-1", input="Hi", stream=True)
            request = await upstream.wait_requests(before + 1)
            pieces: list[str] = []
            request.release()
            async for event in stream:
                if event.type == "response.output_text.delta":
                    # Each comes through before the next one is written.
                    pieces.append(event.delta)
                    request.release()
            assert "".join(pieces) == TEXT
            upstream.script(Answer(TEXT))
            async with client.responses.connect(
                websocket_connection_options=trusting
            ) as connection:
                await connection.response.create(model="m-1", input="Hi")
                pieces = []
                async for event in connection:
                    if event.type == "response.output_text.delta":
                        pieces.append(event.delta)
                    if event.type == "response.completed":
                        break
            assert "".join(pieces) == TEXT
