"""The client over WebSocket: one socket for many answers, interruption, and how sockets end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from fairlead.client import websocket
from fairlead.client.answers import Event
from fairlead.client.client import Client
from fairlead.client.problems import Unreachable
from fairlead.client.sync import SyncClient
from fairlead.errors import BadRequest, NotFound, TooLarge, Unauthenticated, UpstreamProtocol
from fairlead.testing.toxic import Behaviour, Cut, Pass, Swallow, ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.client.wire import STREAM, Reply, Wire, head, problem
from tests.support.server import ServerProcess

ROOT = Path(__file__).parents[2]
TOKENS = tuple(f"{n} – déjà 🚢 船 \\n" for n in range(200))
TEXT = "".join(TOKENS)


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream, None]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncGenerator[ServerProcess, None]:
    flags = ("--no-knowledge", "--upstream", upstream.base_url, "--model", "scripted")
    async with ServerProcess(tmp_path, *flags, "--retry", "0") as process:
        yield process


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events)


async def everything(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


# -- the real server


async def test_many_answers_share_one_socket(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with (
        ToxicProxy(server.port) as proxy,
        Client(proxy.url, transport="websocket") as client,
    ):
        asking = (everything(client.ask(f"Question {n}")) for n in range(20))
        answers = await asyncio.gather(*asking)
        for events in answers:
            assert (text(events), events[-1].name) == (TEXT, "done")
        last = answers[0][-1]
        assert await everything(client.attach(last.stream, answers[0][-2].id)) == [last]
        assert await everything(client.attach(last.stream, last.position)) == []
        with pytest.raises(NotFound):
            await everything(client.attach("0" * 26))
        with pytest.raises(BadRequest, match="none"):
            await everything(client.ask("Why?", model="none"))
        assert [request.target for request in proxy.requests] == ["/ws"]
    assert len({events[0].stream for events in answers}) == 20


async def test_there_are_as_many_sockets_as_it_takes(
    server: ServerProcess, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_STREAMS", 3)
    upstream.script(Answer(tokens=TOKENS[:5], pace=Pace(gated=True)))
    async with (
        ToxicProxy(server.port) as proxy,
        Client(proxy.url, transport="websocket") as client,
    ):
        asking = [client.ask(f"Question {n}") for n in range(10)]
        await asyncio.gather(*(anext(each) for each in asking))
        assert 4 <= proxy.connections <= 10
        upstream.release(100)
        for each in asking:
            assert text(await everything(each)) == "".join(TOKENS[:5])


async def test_one_answer_is_read_twice_at_once(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS[:20], pace=Pace(gated=True)))
    async with Client(server.url, transport="websocket", sleep=at_once) as client:
        first = client.ask("Why?", key="k")
        begun = [await anext(first)]
        upstream.release(5)
        begun += [await anext(first) for _ in range(5)]
        others = [client.ask("Why?", key="k"), client.attach(first.stream)]
        heads = [await anext(other) for other in others]
        upstream.release(100)
        rest = await asyncio.gather(*(everything(each) for each in (first, *others)))
        for head_of, tail in zip([begun, *[[one] for one in heads]], rest, strict=True):
            assert text(head_of + tail) == "".join(TOKENS[:20])
    assert len(upstream.requests) == 1


async def test_leaving_detaches_and_the_answer_goes_on(
    server: ServerProcess, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "IDLE", 0.0)
    upstream.script(Answer(tokens=TOKENS[:5], pace=Pace(gated=True)))
    async with (
        ToxicProxy(server.port) as proxy,
        Client(proxy.url, transport="websocket") as client,
    ):
        async with aclosing(client.ask("Why?")) as events:
            stream = (await anext(events)).stream
        await proxy.wait_closed(1)  # nothing is read any more
        upstream.release(100)
        assert text(await everything(client.attach(stream))) == "".join(TOKENS[:5])


async def test_a_reader_that_is_slow_costs_the_others_nothing(
    server: ServerProcess, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_WAITING", 2000)
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)), Answer(tokens=TOKENS))
    async with (
        ToxicProxy(server.port) as proxy,
        Client(proxy.url, transport="websocket") as client,
    ):
        slow = client.ask("Slowly?")
        events = [await anext(slow)]
        upstream.release(1000)
        assert text(await everything(client.ask("And quickly?"))) == TEXT
        assert proxy.connections == 1
        events += await everything(slow)
    assert text(events) == TEXT
    positions = [event.position for event in events]
    assert positions == sorted(set(positions))


async def test_a_socket_that_falls_silent_is_left(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with (
        ToxicProxy(server.port, Swallow(2500), Pass()) as proxy,
        Client(proxy.url, transport="websocket", silence=3, sleep=at_once) as client,
    ):
        events = await everything(client.ask("Why?"))
        assert proxy.connections == 2
    assert text(events) == TEXT


async def test_a_draining_server_is_come_back_to(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    reasons: list[str] = []
    back = asyncio.Event()

    async def until_back(seconds: float) -> None:
        await back.wait()

    async with Client(
        server.url,
        transport="websocket",
        sleep=until_back,
        on_reconnect=lambda told: reasons.append(told.reason),
    ) as client:
        done = await everything(client.ask("Why?"))
        upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
        events = client.ask("And then?")
        seen = [await anext(events)]
        reading = asyncio.create_task(everything(events))
        stopping = asyncio.create_task(server.stop())
        await server.wait_log(lambda line: line.get("event") == "draining")
        upstream.release(1000)
        assert await stopping == 0
        await server.start()
        back.set()
        assert text(seen + await reading) == text(done) == TEXT
    assert set(reasons) <= {"the server is restarting"}


# -- interruption


def spoken(upstream: ScriptedUpstream) -> list[str]:
    """What the model was told that it had said, in the newest request."""
    turns = msgspec.json.decode(upstream.requests[-1].body)["messages"]
    return [turn["content"] for turn in turns if turn["role"] == "assistant"]


@pytest.mark.parametrize("transport", ["auto", "websocket", "poll"])
async def test_interrupting_stops_and_asks_on(
    server: ServerProcess, upstream: ScriptedUpstream, transport: Any
) -> None:
    upstream.script(
        Answer(tokens=("One ", "two ", "three "), pace=Pace(gated=True)), Answer(tokens=("Four",))
    )
    async with Client(server.url, transport=transport) as client:
        first = client.ask("Count.")
        with pytest.raises(BadRequest, match="has not begun"):
            await first.interrupt("Now?")
        begun = [await anext(first)]
        upstream.release(2)
        while len(begun) < 3:
            begun.append(await anext(first))
        assert text(begun) == "One two "
        # Of the two pieces that are here the person has seen one.
        second = await first.interrupt("From four, please.", shown=begun[1].id)
        rest = await everything(first)
        assert rest[-1].data["status"] == "stopped"
        assert text(await everything(second)) == "Four"
        assert second.stream != first.stream
    assert spoken(upstream) == ["One "]
    assert len(upstream.requests) == 2


async def test_shown_is_what_was_given_here_by_default(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=("One ", "two "), pace=Pace(gated=True)), Answer(tokens=("3",)))
    async with Client(server.url) as client:
        first = client.ask("Count.")
        await anext(first)
        upstream.release(1)
        assert (await anext(first)).text == "One "
        second = await first.interrupt("Three?")
        assert text(await everything(second)) == "3"
    assert spoken(upstream) == ["One "]


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
@pytest.mark.parametrize("after", [0, 150, 300, 330, 400, 500, 600, 900])
async def test_an_interruption_is_done_once_however_it_is_cut(
    server: ServerProcess, upstream: ScriptedUpstream, after: int, transport: Any
) -> None:
    upstream.script(Answer(tokens=("One ", "two "), pace=Pace(gated=True)), Answer(tokens=TOKENS))
    spoils: list[Behaviour] = [Cut(after), Cut(after + 60, reset=False), Cut(after + 300), Pass()]
    async with (
        Client(server.url) as straight,
        ToxicProxy(server.port, *spoils) as proxy,
        Client(proxy.url, transport=transport, sleep=at_once) as client,
    ):
        first = straight.ask("Count.")
        await anext(first)
        upstream.release(1)
        shown = (await anext(first)).position
        second = await client.interrupt(first.stream, "And then?", shown=shown)
        assert text(await everything(second)) == TEXT
        assert (await everything(first))[-1].data["status"] == "stopped"
    assert spoken(upstream) == ["One "]
    assert len(upstream.requests) == 2


async def test_sync_interrupting(server: ServerProcess, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=("One ", "two "), pace=Pace(gated=True)), Answer(tokens=TOKENS))

    loop = asyncio.get_running_loop()

    def program() -> None:
        with SyncClient(server.url, interruptible=True) as client:
            first = client.ask("Count.")
            next(first)
            loop.call_soon_threadsafe(upstream.release, 1)
            event = next(first)
            assert (event.text, first.position) == ("One ", event.position)
            second = first.interrupt("And then?")
            assert list(first)[-1].data["status"] == "stopped"
            assert text(list(second)) == TEXT
            third = client.interrupt(second.stream, "And now?", shown=second.position)
            assert third.stop().status in ("completed", "stopped")
            assert list(third)[-1].name == "done"

    await asyncio.to_thread(program)
    assert len(upstream.requests) == 3


async def test_the_example(server: ServerProcess, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Answer(tokens=("One", " two", " three"), pace=Pace(gated=True)), Answer(tokens=TOKENS)
    )
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "examples/interrupt.py"),
        "Count.",
        "And then?",
        server.url,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    upstream.release(1)
    out, _ = await program.communicate()
    assert program.returncode == 0
    assert out.decode() == "One –\n" + TEXT
    assert spoken(upstream) == ["One"]


# -- how sockets end, against exact messages


class Peer:
    """The server's side of the sockets, by a script: what is done with each of them, in order."""

    def __init__(self, *acts: Callable[[ServerConnection], Awaitable[None]]) -> None:
        self.url = ""
        self.waits: list[float] = []
        self.headers: list[str | None] = []
        self.came: list[dict[str, Any]] = []
        self._acts = list(acts)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Peer, None]:
        async with serve(self._connected, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            yield self

    async def _connected(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers.append(connection.request.headers.get("Authorization"))
        await self._acts.pop(0)(connection)

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def heard(self, connection: ServerConnection) -> dict[str, Any]:
        message: dict[str, Any] = msgspec.json.decode(await connection.recv())
        self.came.append(message)
        return message


def said(type: str, position: str = "", **more: Any) -> str:
    message = {"type": type, "stream": STREAM, "data": {}, **more}
    return msgspec.json.encode(message | ({"position": position} if position else {})).decode()


def closing(code: int, *, at_once: bool = False) -> Callable[[ServerConnection], Awaitable[None]]:
    async def act(connection: ServerConnection) -> None:
        if not at_once:
            await connection.recv()
        await connection.close(code)

    return act


async def answering(connection: ServerConnection) -> None:
    request = msgspec.json.decode(await connection.recv())
    reply = "attached" if request["type"] == "attach" else "started"
    await connection.send(said(reply, id=request["id"]))
    if "after" not in request:
        await connection.send(said("token", "1", data={"token": "a"}))
    await connection.send(said("done", "2", data={"status": "completed"}))
    await connection.wait_closed()


async def ask(peer: Peer, api_key: Any = None) -> list[Event]:
    async with (
        peer.serving(),
        Client(
            peer.url, api_key, transport="websocket", random=lambda: 0.0, sleep=peer.wait
        ) as client,
    ):
        return await everything(client.ask("hi"))


@pytest.mark.parametrize(
    ("code", "waits"), [(1012, [1.0, 1.0, 1.0]), (1013, [1.0, 2.0, 4.0]), (1011, [1.0, 2.0, 4.0])]
)
async def test_close_codes_that_ask_to_come_back(code: int, waits: list[float]) -> None:
    peer = Peer(closing(code), closing(code, at_once=True), closing(code), answering)
    assert text(await ask(peer)) == "a"
    assert peer.waits == waits


async def test_it_gives_up_a_server_that_is_always_full() -> None:
    peer = Peer(*[closing(1013)] * 20)
    with pytest.raises(Unreachable, match="too many connections"):
        await ask(peer)


async def test_a_refused_credential_is_not_tried_again() -> None:
    async def refusing(connection: ServerConnection) -> None:
        data = {"error": "no such key", "code": "unauthenticated", "retryable": False}
        await connection.send(msgspec.json.encode({"type": "error", "data": data}).decode())
        await connection.close(1008, "unauthenticated")

    peer = Peer(refusing)
    with pytest.raises(Unauthenticated, match="no such key"):
        await ask(peer, "k-1")
    assert (peer.headers, peer.waits) == (["Bearer k-1"], [])


async def test_another_credential_is_asked_for_when_one_expires() -> None:
    async def expiring(connection: ServerConnection) -> None:
        request = await peer.heard(connection)
        await connection.send(said("started", id=request["id"]))
        await connection.send(said("token", "1", data={"token": "a"}))
        await connection.close(1008, "the credential has expired")

    keys = iter(["k-1", "k-2", "k-3"])

    async def key() -> str:
        return next(keys)

    peer = Peer(expiring, answering)
    assert text(await ask(peer, key)) == "a"
    assert peer.headers == ["Bearer k-1", "Bearer k-2"]
    assert peer.waits == []


async def test_another_credential_that_is_refused_as_well_ends_it() -> None:
    peer = Peer(closing(1008), closing(1008))
    with pytest.raises(Unauthenticated):
        await ask(peer, lambda: "k-1")
    assert len(peer.headers) == 2


async def test_a_question_too_long_is_not_sent_again() -> None:
    with pytest.raises(TooLarge):
        await ask(Peer(closing(1009)))


async def test_what_is_no_message_of_ours_is_said_so() -> None:
    async def foreign(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send("[1]")
        await connection.wait_closed()

    with pytest.raises(UpstreamProtocol, match="is it a Fairlead server"):
        await ask(Peer(foreign))


async def test_media_bytes_come_as_on_every_transport() -> None:
    data = bytes(range(256)) + b"\n\n"

    async def drawing(connection: ServerConnection) -> None:
        request = msgspec.json.decode(await connection.recv())
        await connection.send(said("started", id=request["id"]))
        line = said("media", "1", data={"content_type": "image/png", "data": "", "part": 1})
        await connection.send(line.encode() + b"\n" + data)
        await connection.send(said("done", "2"))
        await connection.wait_closed()

    picture, _ = await ask(Peer(drawing))
    assert picture.media == data
    assert picture.data["content_type"] == "image/png"


async def test_a_server_that_cannot_speak_it() -> None:
    html = Reply([head("200 OK", "text/html"), b"<html></html>"])
    for reply, kind in (
        (html, Unreachable),
        (problem("404 Not Found", "not_found", False), NotFound),
    ):
        async with (
            Wire([reply]).serving() as wire,
            Client(wire.url, transport="websocket") as client,
        ):
            with pytest.raises(kind):
                await everything(client.ask("hi"))


# -- finding a way by itself


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_auto_falls_from_one_to_the_next_and_climbs_back(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS[:9]))
    clock = Clock()
    async with (
        ToxicProxy(server.port, Swallow(), Swallow(), Pass()) as proxy,
        Client(proxy.url, interruptible=True, patience=2, clock=clock, sleep=at_once) as client,
    ):

        async def used() -> list[str]:
            """How an answer was read: the requests that it took, by their kinds."""
            before = len(proxy.requests)
            assert text(await everything(client.ask("Why?"))) == "".join(TOKENS[:9])
            kinds = (
                "poll" if "wait=" in each.target else each.headers.get("accept", each.target)
                for each in proxy.requests[before:]
            )
            return list(dict.fromkeys(kinds))

        assert await used() == ["/ws", "text/event-stream", "application/json", "poll"]
        assert await used() == ["application/json", "poll"]
        clock.now += 61
        assert await used() == ["/ws"]


async def test_auto_goes_round_what_answers_in_the_servers_place(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    """A proxy that knows no WebSocket answers for the server."""
    upstream.script(Answer(tokens=TOKENS[:9]))

    class Ignorant(Wire):
        async def _connection(
            self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            asked = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in asked.lower():
                self.refused = True
                writer.write(head("400 Bad Request", "text/html") + b"no")
                writer.close()
                return
            there, server_side = await asyncio.open_connection("127.0.0.1", server.port)
            server_side.write(asked)

            async def up() -> None:
                while data := await reader.read(65536):
                    server_side.write(data)

            pumping = asyncio.create_task(up())
            try:
                while data := await there.read(65536):
                    writer.write(data)
            finally:
                pumping.cancel()
                writer.close()
                server_side.close()

    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async with (
        Ignorant([]).serving() as wire,
        Client(wire.url, interruptible=True, sleep=wait) as client,
    ):
        assert text(await everything(client.ask("Why?"))) == "".join(TOKENS[:9])
        assert waits == []
        assert cast("Ignorant", wire).refused
