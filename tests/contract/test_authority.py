"""Authority lasts as long as the stream, on every transport: what is revoked, expired or renewed
while readers are open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from fairlead.server.config import Config
from fairlead.server.keys import issue, rotate, stored_keys
from fairlead.testing.upstream import ScriptedUpstream
from tests.acceptance.conftest import Serve, serve, session, upstream
from tests.contract.readers import PROMISE, TOKENS, Reader, all_end, all_have, begin
from tests.contract.transports import TRANSPORTS, Place
from tests.support.ports import free_port
from tests.support.server import ServerProcess

__all__ = ["serve", "session", "upstream"]


class Key(NamedTuple):
    """A stored key."""

    id: str
    text: str


class Desk:
    """Makes and takes back keys, apart from the server, as the command line does."""

    def __init__(self, data_dir: Path) -> None:
        self._config = Config(data_dir=data_dir)

    async def make(self, consumer: str = "alice", life: float | None = None) -> Key:
        async with stored_keys(self._config) as keys:
            key, text = await issue(keys, consumer, life=life)
            return Key(key.id, text)

    async def revoke(self, key: Key) -> None:
        async with stored_keys(self._config) as keys:
            await keys.revoke(key.id)

    async def rotate(self, key: Key, overlap: float) -> None:
        async with stored_keys(self._config) as keys:
            await rotate(keys, key.id, overlap=overlap)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
async def place(serve: Serve, session: aiohttp.ClientSession) -> AsyncGenerator[Place, None]:
    port = free_port()
    async with serve("--grpc-port", str(port), "--orphan-window", "60") as server:
        yield Place(server.url, port, session)


@pytest.mark.parametrize("how", ["revoked", "replaced"])
async def test_a_key_that_is_taken_back_ends_its_readers_and_nobody_elses(
    place: Place, desk: Desk, upstream: ScriptedUpstream, how: str
) -> None:
    stolen, kept = await desk.make(), await desk.make()
    stream = await begin(place, stolen.text, upstream)
    readers = [Reader(place, stream, transport, stolen.text) for transport in TRANSPORTS]
    others = [Reader(place, stream, transport, kept.text) for transport in TRANSPORTS]
    upstream.release(3)
    await all_have(readers + others, "0 1 2 ")
    if how == "revoked":
        await desk.revoke(stolen)
    else:
        await desk.rotate(stolen, 0)
    ends = await all_end(readers)
    assert set(ends.values()) <= {"revoked", "unauthenticated"}
    # A poll that comes again afterwards is told what its key is by then.
    assert {code for transport, code in ends.items() if transport != "poll"} == {"revoked"}
    # The answer goes on, and so do those who hold another key of the same consumer.
    upstream.release(len(TOKENS))
    await all_have(others, "".join(TOKENS))
    for reader in others:
        await reader.task
        assert reader.last == "done"
    assert {reader.text for reader in readers} == {"0 1 2 "}


async def test_an_expired_key_ends_its_readers_unless_they_are_renewed(
    place: Place, desk: Desk, upstream: ScriptedUpstream
) -> None:
    fresh = await desk.make()
    stream = await begin(place, fresh.text, upstream)
    short = await desk.make(life=15)
    others = await desk.make("bob")
    readers = [Reader(place, stream, transport, short.text) for transport in TRANSPORTS]
    renewable = ("sse", "ndjson", "connect", "grpc-web", "grpc")
    renewed = [Reader(place, stream, name, short.text, f"my {name}") for name in renewable]
    upstream.release(2)
    await all_have(readers + renewed, "0 1 ")
    for name in renewable:
        for key, asked, status in (
            (others, f"my {name}", 404),
            (fresh, "another", 404),
            (fresh, "", 400),
            (fresh, f"my {name}", 200),
        ):
            headers = {"Authorization": f"Bearer {key.text}", "Fairlead-Reader": asked}
            url = f"{place.url}/streams/{stream}/credential"
            async with place.session.post(url, headers=headers) as response:
                assert response.status == status
                if status == 200:
                    assert (await response.json())["readers"] == 1
    async with asyncio.timeout(15 + PROMISE):
        await asyncio.gather(*(reader.task for reader in readers))
    assert {reader.transport: reader.code for reader in readers} == dict.fromkeys(
        TRANSPORTS, "unauthenticated"
    )
    upstream.release(len(TOKENS))
    await all_have(renewed, "".join(TOKENS))
    for reader in renewed:
        await reader.task
        assert reader.last == "done"


async def test_a_socket_without_streams_is_closed_and_one_that_is_renewed_is_not(
    place: Place, desk: Desk
) -> None:
    stolen, kept = await desk.make(), await desk.make()

    async def open_socket() -> aiohttp.ClientWebSocketResponse:
        headers = {"Authorization": f"Bearer {stolen.text}"}
        return await place.session.ws_connect(f"{place.url}/ws", headers=headers)

    idle, renewed = await open_socket(), await open_socket()
    await renewed.send_json({"type": "authenticate", "token": kept.text})
    assert (await renewed.receive_json())["type"] == "authenticated"
    await desk.revoke(stolen)
    async with asyncio.timeout(PROMISE):
        told = await idle.receive_json()
        assert (told["type"], told["data"]["code"]) == ("error", "revoked")
        assert (await idle.receive()).type == aiohttp.WSMsgType.CLOSE
    assert idle.close_code == 1008
    await renewed.send_json({"type": "ping"})
    assert (await renewed.receive_json())["type"] == "pong"
    await renewed.close()


async def test_a_key_revoked_here_is_refused_there(
    serve: Serve, desk: Desk, session: aiohttp.ClientSession
) -> None:
    key = await desk.make()
    headers = {"Authorization": f"Bearer {key.text}"}

    async def status(server: ServerProcess) -> str:
        async with session.get(f"{server.url}/streams", headers=headers) as response:
            body = await response.json()
            return str(body.get("code", response.status))

    async with serve() as here, serve() as there:
        assert [await status(here), await status(there)] == ["200", "200"]
        await desk.revoke(key)
        async with asyncio.timeout(PROMISE):
            for server in (here, there):
                while (found := await status(server)) == "200":
                    pass
                assert found == "revoked"


async def test_from_the_first_key_on_nobody_is_anonymous_not_even_who_is_there(
    place: Place, desk: Desk, upstream: ScriptedUpstream
) -> None:
    stream = await begin(place, "whatever", upstream)
    reader = Reader(place, stream, "sse", "whatever")
    upstream.release(1)
    await reader.has("0 ")
    await desk.make()
    async with asyncio.timeout(PROMISE):
        await reader.task
    assert (reader.last, reader.code) == ("error", "unauthenticated")
