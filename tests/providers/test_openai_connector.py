"""Connections to upstreams, made in one step where there is nothing to choose."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator

import aiohappyeyeballs
import aiohttp
import pytest

from fairlead.providers.connector import Connector
from fairlead.testing.upstream import ScriptedUpstream
from tests.support.ports import free_port


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=Connector(limit=0)) as session:
        yield session


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts whose addresses aiohttp has had race each other."""
    hosts: list[str] = []
    race = aiohappyeyeballs.start_connection

    async def start(addr_infos: list[tuple[object, ...]], **more: object) -> object:
        hosts.append(str(addr_infos[0][4]))
        return await race(addr_infos, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start)
    return hosts


async def test_to_an_address_it_connects_at_once(
    http: aiohttp.ClientSession, raced: list[str]
) -> None:
    async with ScriptedUpstream() as upstream:
        assert "127.0.0.1" in upstream.base_url
        async with http.get(f"{upstream.base_url}/models") as response:
            await response.read()
        assert raced == []
        named = upstream.base_url.replace("127.0.0.1", "localhost")
        async with http.get(f"{named}/models") as response:
            await response.read()
        assert len(raced) == 1


async def test_a_connection_is_used_again(http: aiohttp.ClientSession) -> None:
    peers: set[object] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for _ in range(3):
        async with http.get(f"http://127.0.0.1:{port}/") as response:
            assert await response.read() == b"ok"
    server.close()
    assert len(peers) == 1


async def test_where_nobody_listens_it_says_so_as_aiohttp_does(http: aiohttp.ClientSession) -> None:
    port = free_port()
    with pytest.raises(aiohttp.ClientConnectorError) as refused:
        await http.get(f"http://127.0.0.1:{port}/")
    assert refused.value.errno == errno.ECONNREFUSED
    assert (refused.value.host, refused.value.port) == ("127.0.0.1", port)
