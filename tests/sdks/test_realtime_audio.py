"""Audio in Realtime sessions: carried to an upstream that does audio, and charged for."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fairlead.testing.upstream import ScriptedUpstream
from tests.sdks.serving import KEY, OTHER_KEY, serving
from tests.support.server import ServerProcess
from tests.support.speaking import SpeakingUpstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOUND = base64.b64encode(b"\x00\x01" * 50_000).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def speaking() -> AsyncGenerator[SpeakingUpstream]:
    async with SpeakingUpstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    speaking: SpeakingUpstream,
    running: ScriptedUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[ServerProcess]:
    model = {"models": ["speaks"], "realtime": True}
    async with serving(
        tmp_path_factory.mktemp("audio"),
        {"name": "away", "base_url": "http://127.0.0.1:9/v1", **model},
        {
            "name": "speaking",
            "base_url": speaking.base_url,
            "api_key_env": "UPSTREAM_KEY",
            **model,
        },
        {"name": "keeper", "base_url": running.base_url, "models": ["m-1"], "files": True},
        aliases=[{"name": "gpt-realtime", "model": "speaks"}],
        budgets=[{"name": "words", "limit": 250, "per": "month"}],
    ) as server:
        yield server


async def until(connection: AsyncRealtimeConnection, *types: str) -> list[Any]:
    events: list[Any] = []
    async with asyncio.timeout(60):
        while not events or events[-1].type not in types:
            events.append(await connection.recv())
    return events


async def used(server: ServerProcess, key: str) -> int:
    """The tokens that are entered in the ledger."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        rows = (await http.get(f"{server.url}/usage")).json()["usage"]
    return sum(row["input_tokens"] + row["output_tokens"] for row in rows)


async def test_audio_goes_both_ways_and_is_charged(
    server: ServerProcess, speaking: SpeakingUpstream, client: AsyncOpenAI
) -> None:
    async with client.realtime.connect(model="gpt-realtime") as connection:
        opened: Any = await connection.recv()
        assert opened.session.model == "speaks"
        await connection.session.update(
            session={"type": "realtime", "output_modalities": ["audio"]}
        )
        await until(connection, "session.updated")
        await connection.input_audio_buffer.append(audio=SOUND)
        await connection.input_audio_buffer.commit()
        events = await until(connection, "response.done")
        (delta,) = [event for event in events if event.type == "response.output_audio.delta"]
        assert delta.delta == "UklGRg=="
        await connection.response.create()
        await until(connection, "response.done")
    assert speaking.heard[-1][1]["audio"] == SOUND
    assert speaking.models[-1] == "speaks"
    assert speaking.headers[-1]["Authorization"] == "Bearer upstream-secret"
    assert await used(server, KEY) == 200


async def test_a_used_up_budget_asks_for_no_response(
    server: ServerProcess, speaking: SpeakingUpstream
) -> None:
    async with (
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key=OTHER_KEY) as client,
        client.realtime.connect(model="speaks") as connection,
    ):
        for _ in range(3):
            await connection.response.create()
            await until(connection, "response.done")
        asked: Any = {"type": "response.create", "event_id": "mine"}
        await connection.send(asked)
        told = (await until(connection, "error"))[-1].error
        assert (told.code, told.event_id) == ("rate_limit_exceeded", "mine")
        assert [each["type"] for each in speaking.heard[-1]] == ["response.create"] * 3
        # One that the upstream begins by itself is cancelled.
        await connection.input_audio_buffer.commit()
        await until(connection, "error")
        await until(connection, "response.done")
    assert speaking.heard[-1][-1]["type"] == "response.cancel"
    assert await used(server, OTHER_KEY) == 300


async def test_an_event_that_names_somebody_elses_file(
    server: ServerProcess, speaking: SpeakingUpstream, client: AsyncOpenAI
) -> None:
    id = (await client.files.create(file=("a", b"a"), purpose="user_data")).id
    variables: Any = {"paper": {"type": "input_file", "file_id": id}}
    update: Any = {"type": "realtime", "prompt": {"id": "p", "variables": variables}}
    async with (
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key=OTHER_KEY) as other,
        other.realtime.connect(model="speaks") as connection,
    ):
        await connection.send({"type": "session.update", "session": update, "event_id": "mine"})
        told = (await until(connection, "error"))[-1].error
        assert (told.code, told.event_id) == ("not_found", "mine")
        assert speaking.heard[-1] == []
    async with client.realtime.connect(model="speaks") as connection:
        await connection.session.update(session=update)
        await until(connection, "session.updated")
    assert speaking.heard[-1][0]["session"]["prompt"]["variables"] == variables


async def test_close_codes_and_secrets(
    server: ServerProcess, speaking: SpeakingUpstream, client: AsyncOpenAI
) -> None:
    session: Any = {"type": "realtime", "model": "speaks", "output_modalities": ["audio"]}
    made: Any = await client.realtime.client_secrets.create(session=session)
    assert made.session.model == "speaks"
    url = server.url.replace("http", "ws") + "/v1/realtime"
    offered: Any = ["realtime", f"openai-insecure-api-key.{made.value}"]
    async with connect(url, subprotocols=offered) as socket:
        types = [json.loads(await socket.recv())["type"] for _ in range(2)]
        assert types == ["session.created", "session.updated"]
        assert speaking.heard[-1][0]["session"] == {
            "type": "realtime",
            "output_modalities": ["audio"],
        }
        await socket.send(json.dumps({"type": "hang.up"}))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert (socket.close_code, socket.close_reason) == (4001, "enough")


async def test_an_upstream_that_refuses(
    server: ServerProcess, speaking: SpeakingUpstream, client: AsyncOpenAI
) -> None:
    for status, code in ((401, "upstream_refused_key"), (503, "upstream_unavailable")):
        speaking.status = status
        try:
            async with client.realtime.connect(model="speaks") as connection:
                told = (await until(connection, "error"))[-1].error
                assert told.code == code
                with pytest.raises(ConnectionClosed):
                    await connection.recv()
        finally:
            speaking.status = 0
