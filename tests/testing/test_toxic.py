"""The toxic proxy: what each behaviour does to the bytes of a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from fairlead.testing.toxic import (
    Behaviour,
    Buffer,
    Cut,
    CutCharacter,
    Delay,
    HalfClose,
    Outcome,
    Pass,
    Reset,
    Split,
    Swallow,
    ToxicProxy,
    flow,
)

TEXT = "abc – déjà vu 🚢 end".encode()


class Server:
    """Says ``TEXT`` to each line it is sent, and ends its side after ``bye``."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[bytes] = []
        self.lost = asyncio.Queue[None]()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(TEXT)
                if line == b"bye\n":
                    break
        writer.close()
        self.lost.put_nowait(None)


@pytest.fixture
async def server() -> AsyncGenerator[Server, None]:
    server = Server()
    listener = await asyncio.start_server(server.connection, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()


class Talk:
    """What a client of the proxy heard, and how it ended."""

    def __init__(self, proxy: ToxicProxy) -> None:
        self._proxy = proxy

    async def say(self, line: bytes = b"bye\n") -> tuple[bytes, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._proxy.port)
        heard = bytearray()
        try:
            writer.write(line)
            async with asyncio.timeout(90):
                while data := await reader.read(100):
                    heard += data
            return bytes(heard), "end"
        except ConnectionError:
            return bytes(heard), "reset"
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("behaviour", "heard", "how"),
    [
        (Pass(), TEXT, "end"),
        (Split(3), TEXT, "end"),
        (Delay(0.001), TEXT, "end"),
        (Buffer(), TEXT, "end"),
        (Buffer(5), TEXT, "end"),
        (Cut(7), TEXT[:7], "reset"),
        (Cut(7, reset=False), TEXT[:7], "end"),
        (Cut(0), b"", "reset"),
        (Cut(10_000), TEXT, "end"),
        (CutCharacter(), TEXT[:5], "reset"),
        (CutCharacter(5, reset=False), TEXT[: TEXT.index("é".encode()) + 1], "end"),
        (HalfClose(4), TEXT[:4], "end"),
        (Reset(), b"", "reset"),
    ],
    ids=repr,
)
async def test_each_behaviour(server: Server, behaviour: Behaviour, heard: bytes, how: str) -> None:
    async with ToxicProxy(server.port, behaviour) as proxy:
        assert await Talk(proxy).say() == (heard, how)
        link = await proxy.wait_connections(1)
        assert link.behaviour == behaviour
        assert link.passed == len(heard)


async def test_nothing_that_passed_is_lost_in_a_reset(server: Server) -> None:
    async with ToxicProxy(server.port, *[Cut(n) for n in range(1, 20)]) as proxy:
        for n in range(1, 20):
            assert await Talk(proxy).say() == (TEXT[:n], "reset")


async def test_connections_take_their_turns_and_the_last_behaviour_repeats(server: Server) -> None:
    async with ToxicProxy(server.port, Cut(1), Reset(), Pass()) as proxy:
        heard = [(await Talk(proxy).say())[0] for _ in range(4)]
        assert heard == [TEXT[:1], b"", TEXT, TEXT]
        proxy.behave(Cut(2), Cut(3))
        assert [(await Talk(proxy).say())[0] for _ in range(3)] == [TEXT[:2], TEXT[:3], TEXT[:3]]
        assert proxy.connections == 7
    with pytest.raises(ValueError, match="at least one"):
        proxy.behave()


async def test_what_is_swallowed_was_said_and_the_connection_stays(server: Server) -> None:
    async with ToxicProxy(server.port, Swallow(3)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one\n")
        assert await reader.readexactly(3) == TEXT[:3]
        writer.write(b"two\n")
        await proxy.until_received(TEXT, 2)
        assert not proxy.links[0].closed
        assert bytes(proxy.links[0].sent) == b"one\ntwo\n"
        writer.close()
        assert await reader.read() == b""
        await proxy.wait_closed(1)


async def test_after_a_half_close_the_client_is_still_heard(server: Server) -> None:
    async with ToxicProxy(server.port, HalfClose(2)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one\n")
        assert await reader.read() == TEXT[:2]
        writer.write(b"two\n")
        await proxy.until_received(TEXT, 2)
        assert server.heard == [b"one\n", b"two\n"]
        writer.close()


@pytest.mark.parametrize("behaviour", [Cut(2), Cut(2, reset=False), CutCharacter(), Reset()])
async def test_the_server_learns_that_its_client_is_gone(
    server: Server, behaviour: Behaviour
) -> None:
    async with ToxicProxy(server.port, behaviour) as proxy:
        await Talk(proxy).say(b"stay\n")
        await asyncio.wait_for(server.lost.get(), 90)
        await proxy.wait_closed(1)


async def test_the_proxy_cuts_what_is_open_on_demand(server: Server) -> None:
    async with ToxicProxy(server.port) as proxy:
        talking = asyncio.create_task(Talk(proxy).say(b"stay\n"))
        await proxy.until_received(TEXT)
        proxy.cut()
        assert (await talking)[1] == "reset"


async def test_requests_are_kept(server: Server) -> None:
    async with ToxicProxy(server.port, Buffer()) as proxy:
        await Talk(proxy).say(b"PATCH /a?b HTTP/1.1\r\nX-Y: 1\r\n\r\nbye\n")
        [request] = proxy.requests
        assert request == ("PATCH", "/a?b", {"x-y": "1"})


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_character_is_cut_wherever_pieces_end(size: int) -> None:
    working = flow(CutCharacter(6))
    passed = bytearray()
    for at in range(0, len(TEXT), size):
        outcome = working.feed(TEXT[at : at + size])
        passed += outcome.data
        if outcome.then:
            break
    assert bytes(passed) == TEXT[: TEXT.index("é".encode()) + 1]
    with pytest.raises(UnicodeDecodeError):
        passed.decode()


def test_a_buffer_keeps_until_it_is_full() -> None:
    working = flow(Buffer(4))
    assert working.feed(b"abc") == Outcome(b"")
    assert working.feed(b"de") == Outcome(b"abcde")
    assert working.feed(b"f") == Outcome(b"")
    assert working.end() == b"f"


def test_a_buffer_that_was_full_lets_the_end_of_a_response_pass() -> None:
    working = flow(Buffer(50))
    response = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n" + b"x" * 20
    assert working.feed(response[:55]) == Outcome(response[:55])
    assert working.feed(response[55:57]) == Outcome(b"")
    assert working.feed(response[57:] + b"HTTP") == Outcome(response[55:])
    assert working.end() == b"HTTP"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_buffer_lets_whole_responses_pass(size: int) -> None:
    whole = (
        b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    )
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    working = flow(Buffer())
    data = whole + begun
    passed = b"".join(working.feed(data[at : at + size]).data for at in range(0, len(data), size))
    assert passed == whole
    assert working.end() == begun
