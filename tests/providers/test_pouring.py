"""Events that are poured, in the callback in which their bytes arrived; bodies of every kind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from fairlead.errors import BudgetExhausted, UpstreamCut, UpstreamProtocol
from fairlead.events.model import Done, Event, Token
from fairlead.ports.pouring import Pouring, pour
from fairlead.ports.provider import GenerationRequest, Turn
from fairlead.providers.openai_compatible import OpenAICompatibleConfig, OpenAICompatibleProvider
from fairlead.testing.provider import ScriptedProvider

REQUEST = GenerationRequest(stream="s", turns=(Turn("user", "hello"),))
SAFETY_NET = 60
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def block(text: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()


LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Server:
    """Answers each request with what :meth:`say` is given, when it is given."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.base_url = ""
        self._said: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed = asyncio.Event()

    def say(self, *pieces: bytes | None) -> None:
        """Have these bytes sent, one write each; None ends the connection."""
        for piece in pieces:
            self._said.put_nowait(piece)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        sending: asyncio.Task[None] | None = None
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                    await reader.readexactly(length)
                    self.requests += 1
                    sending = sending or asyncio.create_task(self._send(writer))
        finally:
            self.closed.set()
            if sending is not None:
                sending.cancel()
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (data := await self._said.get()) is not None:
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    async with listening:
        made.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        yield made


@pytest.fixture
async def provider(server: Server) -> AsyncIterator[OpenAICompatibleProvider]:
    config = OpenAICompatibleConfig(
        name="vendor", model="m", base_url=server.base_url, max_retries=0
    )
    made = OpenAICompatibleProvider(config)
    yield made
    await made.close()


class Basin:
    """A sink that is full whenever the test says so."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.full = False
        self.error: Exception | None = None
        self.waited = asyncio.Event()
        self.emptied = asyncio.Event()
        self._written = asyncio.Event()

    def write(self, events: Sequence[Event]) -> bool:
        assert not self.waited.is_set() or self.emptied.is_set(), "written to while it was full"
        if self.error is not None:
            raise self.error
        self.events += events
        self._written.set()
        return not self.full

    async def room(self) -> None:
        self.waited.set()
        await self.emptied.wait()
        self.full = False

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Token))

    async def wait(self, text: str) -> None:
        while self.text != text:
            self._written.clear()
            await self._written.wait()


@contextlib.asynccontextmanager
async def pouring(
    provider: OpenAICompatibleProvider, sink: Basin
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(provider.pour(REQUEST, sink))
    async with asyncio.timeout(SAFETY_NET):
        yield task
        if not task.done():
            task.cancel()
        await asyncio.wait([task])


WHOLE = block("a") + block("b") + LAST
BODIES = {
    "one chunk": CHUNKED + chunk(WHOLE) + b"0\r\n\r\n",
    "chunks": CHUNKED + b"".join(chunk(WHOLE[i : i + 7]) for i in range(0, len(WHOLE), 7))
    + b"0\r\n\r\n",
    "chunk extensions and a trailer": CHUNKED + b"%x;a=b\r\n%b\r\n" % (len(WHOLE), WHOLE)
    + b"0\r\nX-Sum: 1\r\n\r\n",
    "a length": HEAD + b"Content-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE,
    "an early hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + CHUNKED + chunk(WHOLE)
    + b"0\r\n\r\n",
    "bare line feeds": CHUNKED.replace(b"\r\n", b"\n") + chunk(WHOLE) + b"0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("size", [1, 3, 10_000])
async def test_bodies_may_be_framed_and_split_in_any_way(
    server: Server, provider: OpenAICompatibleProvider, name: str, size: int
) -> None:
    data = BODIES[name]
    server.say(*(data[i : i + size] for i in range(0, len(data), size)))
    sink = Basin()
    async with pouring(provider, sink) as task:
        await task
    assert sink.text == "ab"
    assert isinstance(sink.events[-1], Done)


async def test_a_body_that_ends_with_its_connection(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    server.say(HEAD + b"\r\n", WHOLE, None)
    sink = Basin()
    async with pouring(provider, sink) as task:
        await task
    assert sink.text == "ab"


async def test_a_connection_whose_body_was_whole_serves_the_next_answer(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    for _ in range(3):
        server.say(BODIES["one chunk"])
        sink = Basin()
        async with pouring(provider, sink) as task:
            await task
        assert sink.text == "ab"
    assert (server.requests, server.connections) == (3, 1)


async def test_a_connection_on_which_more_comes_than_was_announced_is_dropped(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    server.say(BODIES["one chunk"] + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    sink = Basin()
    async with pouring(provider, sink) as task:
        await task
        assert sink.text == "ab"
        await server.closed.wait()


async def test_each_event_is_written_where_its_bytes_arrive(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    """No task's step lies between the bytes and the sink."""
    callers: list[bool] = []

    class Watching(Basin):
        def write(self, events: Sequence[Event]) -> bool:
            callers.append(asyncio.current_task() is None)
            return super().write(events)

    sink = Watching()
    async with pouring(provider, sink):
        for n, text in enumerate("abc"):
            server.say(chunk(block(text)) if n else CHUNKED + chunk(block(text)))
            await sink.wait("abc"[: n + 1])
    # The first one is that of the task, which may still have tried again.
    assert callers == [False, True, True]


async def test_nothing_is_written_to_a_full_sink(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    sink = Basin()
    async with pouring(provider, sink) as task:
        server.say(CHUNKED + chunk(block("a")))
        await sink.wait("a")
        sink.full = True
        # Several events in one read: what comes after the first waits.
        server.say(chunk(block("b")) + chunk(block("c")), chunk(block("d")))
        await sink.waited.wait()
        server.say(chunk(LAST) + b"0\r\n\r\n")
        assert sink.text == "ab"
        sink.emptied.set()
        await task
    assert sink.text == "abcd"
    assert isinstance(sink.events[-1], Done)


async def test_an_answer_that_is_cut_while_the_sink_is_full_loses_nothing(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    sink = Basin()
    async with pouring(provider, sink) as task:
        server.say(CHUNKED + chunk(block("a")))
        await sink.wait("a")
        sink.full = True
        server.say(chunk(block("b")) + chunk(block("c")) + chunk(block("d")))
        await sink.waited.wait()
        server.say(None)
        sink.emptied.set()
        with pytest.raises(UpstreamCut):
            await task
    assert sink.text == "abcd"


async def test_closing_the_provider_while_the_upstream_has_to_wait(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    sink = Basin()
    async with pouring(provider, sink) as task:
        server.say(CHUNKED + chunk(block("a")))
        await sink.wait("a")
        sink.full = True
        server.say(chunk(block("b")) + chunk(block("c" * 1000)) * 400)
        await sink.waited.wait()
        await provider.close()
        sink.emptied.set()
        with pytest.raises(UpstreamCut):
            await task
        await server.closed.wait()
    assert sink.text.startswith("ab")


async def test_stopping_within_a_chunk(server: Server, provider: OpenAICompatibleProvider) -> None:
    sink = Basin()
    async with pouring(provider, sink) as task:
        server.say(CHUNKED + chunk(block("a")))
        await sink.wait("a")
        half = chunk(block("b"))[:20]
        server.say(half)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.closed.wait()
    assert sink.text == "a"


async def test_what_came_before_a_fault_is_written_first(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    sink = Basin()
    async with pouring(provider, sink) as task:
        server.say(CHUNKED + chunk(block("a")))
        await sink.wait("a")
        server.say(chunk(block("b") + block("c") + b"data: nonsense\n\n" + block("d")))
        with pytest.raises(UpstreamProtocol):
            await task
        await server.closed.wait()
    assert sink.text == "abc"


async def test_chunks_that_are_none_cut_the_answer(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    sink = Basin()
    async with pouring(provider, sink) as task:
        server.say(CHUNKED + chunk(block("a")))
        await sink.wait("a")
        server.say(b"not a length\r\n")
        with pytest.raises(UpstreamCut):
            await task
        await server.closed.wait()


async def test_what_the_sink_raises_ends_the_answer(
    server: Server, provider: OpenAICompatibleProvider
) -> None:
    sink = Basin()
    async with pouring(provider, sink) as task:
        server.say(CHUNKED + chunk(block("a")))
        await sink.wait("a")
        sink.error = BudgetExhausted("no more")
        server.say(chunk(block("b")))
        with pytest.raises(BudgetExhausted):
            await task
        await server.closed.wait()
    assert sink.text == "a"


async def test_a_generator_is_poured_event_by_event() -> None:
    provider = ScriptedProvider()
    assert not isinstance(provider, Pouring)
    sink = Basin()
    provider.say("a", "b")
    provider.finish()
    async with asyncio.timeout(SAFETY_NET):
        await pour(provider, REQUEST, sink)
    assert sink.text == "ab"
