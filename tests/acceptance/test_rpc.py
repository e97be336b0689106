"""Connect, gRPC-Web and gRPC on the real server, by clients that others wrote."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from fairlead.v1.answers_pb import AskRequest, AttachRequest, Event, GetRequest, StopRequest
from fairlead.v1.answers_pb import Error as ErrorMessage
from tests.acceptance.conftest import Serve
from tests.support.ports import free_port
from tests.support.rpc import PROTOCOLS, client, failure, text
from tests.support.server import ServerProcess
from tests.support.sse import Reader

TOKENS = ("Grüße ", "aus ", "der ", "纽约 ", "🚢 ", "end.")
TEXT = "".join(TOKENS)
ROOT = Path(__file__).parents[2]

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture(autouse=True)
def scripted(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS))


@pytest.fixture
def grpc_port() -> int:
    return free_port()


@pytest.fixture
async def server(serve: Serve, grpc_port: int) -> AsyncGenerator[ServerProcess, None]:
    async with serve("--grpc-port", str(grpc_port)) as server:
        yield server


def gated(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))


async def failing(call: Any) -> tuple[Code, ErrorMessage]:
    """The code and the detail of the error that a call ends with, from whichever client."""
    try:
        await (text(call) if hasattr(call, "__aiter__") else call)
    except (ConnectError, grpc.aio.AioRpcError) as error:
        return failure(error)
    raise AssertionError("the call did not fail")


@every_protocol
async def test_an_answer_streams_with_the_same_events(
    server: ServerProcess, protocol: str, grpc_port: int, session: aiohttp.ClientSession
) -> None:
    events: list[Event] = []
    async with client(protocol, server.url, grpc_port) as answers:
        assert await text(answers.ask(AskRequest(message="Hello?")), events) == TEXT
        first, last = events[0], events[-1]
        assert first.type == "thinking"
        assert first.introduction is not None
        assert first.introduction.model == "scripted"
        assert last.type == "done"
        assert last.event is not None
        assert (last.event.value.status, last.event.value.finish) == (  # type: ignore[union-attr]
            "completed",
            "stop",
        )
        positions = [event.position for event in events]
        assert positions == sorted(set(positions))

        whole = await answers.get(GetRequest(stream=first.stream))
        assert (whole.text, whole.status, whole.position) == (TEXT, "completed", positions[-1])
        assert whole.introduction.conversation_id == first.introduction.conversation_id
    reader = Reader(session, server.url)
    reader.stream = first.stream
    assert (await reader.document())["position"] == positions[-1]


@every_protocol
async def test_reading_goes_on_after_any_position_of_another_transport(
    server: ServerProcess,
    protocol: str,
    grpc_port: int,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
) -> None:
    gated(upstream)
    upstream.release(len(TOKENS) + 1)
    reader = Reader(session, server.url)
    await reader.ask({"message": "Hello?"})
    assert reader.text == TEXT
    async with client(protocol, server.url, grpc_port) as answers:
        for number, (_, _, id) in enumerate(reader.events):
            after = id.partition(".")[2]
            follow = reader.events[number + 1 :]
            rest: list[Event] = []
            got = await text(answers.attach(AttachRequest(stream=reader.stream, after=after)), rest)
            assert got == "".join(data["token"] for name, data, _ in follow if name == "token")
            # Either may have had deltas merged, under the position of the last.
            ids = [id, *(f"{event.stream}.{event.position}" for event in rest)]
            assert ids == sorted(set(ids))
            assert ids[-1] == reader.last_id


async def test_an_answer_moves_from_sse_to_connect_to_grpc_while_it_is_written(
    server: ServerProcess,
    grpc_port: int,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
) -> None:
    gated(upstream)
    reader = Reader(session, server.url)
    reading = asyncio.create_task(reader.ask({"message": "Hello?"}))
    upstream.release(2)
    await reader.until(lambda r: r.text == "".join(TOKENS[:2]))
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)

    got = reader.text
    after = reader.last_id.partition(".")[2]
    upstream.release(2)
    async with client("connect", server.url, grpc_port) as answers:
        call = answers.attach(AttachRequest(stream=reader.stream, after=after))
        while got != "".join(TOKENS[:4]):
            event = await anext(call)
            got += event.event.value.text
            after = event.position
        await call.aclose()
    upstream.release(len(TOKENS))
    async with client("grpc", server.url, grpc_port) as answers:
        got += await text(answers.attach(AttachRequest(stream=reader.stream, after=after)))
    assert got == TEXT


@every_protocol
async def test_stop_ends_the_answer_for_readers_on_every_transport(
    server: ServerProcess,
    protocol: str,
    grpc_port: int,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
) -> None:
    gated(upstream)
    reader = Reader(session, server.url)
    reading = asyncio.create_task(reader.ask({"message": "Hello?"}))
    upstream.release(2)
    await reader.until(lambda r: r.text == "".join(TOKENS[:2]))
    events: list[Event] = []
    async with client(protocol, server.url, grpc_port) as answers:
        beside = asyncio.create_task(
            text(answers.attach(AttachRequest(stream=reader.stream)), events)
        )
        stopped = await answers.stop(StopRequest(stream=reader.stream))
        assert (stopped.status, stopped.reason) == ("stopped", "stop")
        assert stopped.text == await beside == "".join(TOKENS[:2])
        await reading
        assert reader.end == {"status": "stopped", "reason": "stop"}
        assert events[-1].type == "done"
    await upstream.wait_closed()


@every_protocol
async def test_ending_a_call_detaches_and_does_not_stop(
    server: ServerProcess, protocol: str, grpc_port: int, upstream: ScriptedUpstream
) -> None:
    gated(upstream)
    async with client(protocol, server.url, grpc_port) as answers:
        call = answers.ask(AskRequest(message="Hello?"))
        first = await anext(aiter(call))
        await end(call)
        upstream.release(len(TOKENS) + 1)
        assert await text(answers.attach(AttachRequest(stream=first.stream))) == TEXT


@every_protocol
async def test_an_ended_call_no_longer_watches(
    server: ServerProcess, protocol: str, grpc_port: int, upstream: ScriptedUpstream
) -> None:
    gated(upstream)
    async with client(protocol, server.url, grpc_port) as answers:
        call = answers.ask(AskRequest(message="Hello?", orphan_window=0.0))
        first = await anext(aiter(call))
        await end(call)
        # Nobody reads: without a window the answer ends, and the model's server is told.
        await upstream.wait_closed()
        events: list[Event] = []
        await text(answers.attach(AttachRequest(stream=first.stream)), events)
        assert events[-1].event is not None
        assert events[-1].event.value.reason == "abandoned"  # type: ignore[union-attr]


@every_protocol
async def test_a_deadline_ends_the_call_and_not_the_answer(
    server: ServerProcess, protocol: str, grpc_port: int, upstream: ScriptedUpstream
) -> None:
    gated(upstream)
    async with client(protocol, server.url, grpc_port) as answers:
        events: list[Event] = []
        call = answers.ask(AskRequest(message="Hello?"), timeout_ms=1500)
        with pytest.raises((ConnectError, grpc.aio.AioRpcError)) as caught:
            await text(call, events)
        code: Any = caught.value.code
        assert (code if isinstance(code, Code) else code()).name == "DEADLINE_EXCEEDED"
        upstream.release(len(TOKENS) + 1)
        after = events[-1].position
        rest = answers.attach(AttachRequest(stream=events[0].stream, after=after))
        assert await text(rest) == TEXT


async def end(call: Any) -> None:
    """End a stream from the client's side."""
    if isinstance(call, grpc.aio.Call):
        call.cancel()
    else:
        await call.aclose()


@every_protocol
async def test_errors_have_codes_and_say_whose_fault_they_are(
    serve: Serve, protocol: str, grpc_port: int
) -> None:
    alice = {"authorization": "Bearer one"}
    bob = {"authorization": "Bearer two"}
    async with (
        ServerWithKeys(serve, grpc_port) as server,
        client(protocol, server.url, grpc_port) as answers,
    ):
        events: list[Event] = []
        asked = answers.ask(AskRequest(message="Hello?", key="k"), headers=alice)
        assert await text(asked, events) == TEXT
        stream = events[0].stream

        async def fails(call: Any) -> tuple[Code, str]:
            code, detail = await failing(call)
            return code, detail.code

        assert await fails(answers.ask(AskRequest(message="Hello?"))) == (
            Code.UNAUTHENTICATED,
            "unauthenticated",
        )
        assert await fails(answers.get(GetRequest(stream=stream), headers=bob)) == (
            Code.NOT_FOUND,
            "not_found",
        )
        assert await fails(answers.attach(AttachRequest(stream=stream), headers=bob)) == (
            Code.NOT_FOUND,
            "not_found",
        )
        assert await fails(answers.stop(StopRequest(stream="none"), headers=alice)) == (
            Code.NOT_FOUND,
            "not_found",
        )
        for after in ("nonsense", f"{stream}.nonsense", "\n"):
            request = AttachRequest(stream=stream, after=after)
            assert await fails(answers.attach(request, headers=alice)) == (
                Code.INVALID_ARGUMENT,
                "bad_position",
            )
        assert await fails(answers.ask(AskRequest(), headers=alice)) == (
            Code.INVALID_ARGUMENT,
            "bad_request",
        )
        other = AskRequest(message="Another?", key="k")
        assert await fails(answers.ask(other, headers=alice)) == (
            Code.ALREADY_EXISTS,
            "conflict",
        )
        # The same question with the same key finds the same answer.
        again: list[Event] = []
        same = AskRequest(message="Hello?", key="k")
        assert await text(answers.ask(same, headers=alice), again) == TEXT
        assert again[0].stream == stream
        long = AskRequest(message="x" * 200_000)
        code, detail = await failing(answers.ask(long, headers=alice))
        assert (code, detail.code) == (Code.RESOURCE_EXHAUSTED, "too_large")


class ServerWithKeys:
    """A server that alice and bob may ask."""

    def __init__(self, serve: Serve, grpc_port: int) -> None:
        self.server = serve("--grpc-port", str(grpc_port))
        self.server.env = {"FAIRLEAD_API_KEYS": "alice=one,bob=two"}

    async def __aenter__(self) -> ServerProcess:
        return await self.server.start()

    async def __aexit__(self, *_: object) -> None:
        await self.server.__aexit__()


@every_protocol
async def test_a_request_beyond_the_limit_is_refused_unread(
    server: ServerProcess, protocol: str, grpc_port: int
) -> None:
    # Random enough not to fit compressed either.
    large = AskRequest(message="Hello?", system="".join(map(str, range(400_000))))
    async with client(protocol, server.url, grpc_port) as answers:
        with pytest.raises((ConnectError, grpc.aio.AioRpcError)) as caught:
            await text(answers.ask(large))
        code: Any = caught.value.code
        assert (code if isinstance(code, Code) else code()).name == "RESOURCE_EXHAUSTED"
        assert await text(answers.ask(AskRequest(message="Hello?"))) == TEXT


@every_protocol
async def test_large_messages_come_whole(
    server: ServerProcess, protocol: str, grpc_port: int, upstream: ScriptedUpstream
) -> None:
    tokens = ("纽" * 200_000, "x" * 500_000, "🚢" * 100_000)
    upstream.script(Answer(tokens=tokens))
    async with client(protocol, server.url, grpc_port) as answers:
        assert await text(answers.ask(AskRequest(message="Hello?"))) == "".join(tokens)


async def test_parameters_reach_the_model_with_whole_numbers(
    server: ServerProcess, grpc_port: int, upstream: ScriptedUpstream
) -> None:
    request = AskRequest.from_json(
        '{"message": "Hi", "parameters": {"max_tokens": 7, "temperature": 0.5, "stop": ["a", 1]}}'
    )
    async with client("grpc", server.url, grpc_port) as answers:
        await text(answers.ask(request))
    sent = json.loads(upstream.requests[-1].body)
    assert (sent["max_tokens"], sent["temperature"], sent["stop"]) == (7, 0.5, ["a", 1])
    assert isinstance(sent["max_tokens"], int)


@every_protocol
async def test_answers_end_before_their_server_and_nothing_new_is_begun(
    serve: Serve, protocol: str, grpc_port: int, upstream: ScriptedUpstream
) -> None:
    gated(upstream)
    async with (
        serve("--grpc-port", str(grpc_port)) as server,
        client(protocol, server.url, grpc_port) as answers,
    ):
        call = answers.ask(AskRequest(message="Hello?"))
        await anext(aiter(call))
        server.terminate()
        await server.wait_log(lambda line: line["event"] == "draining")
        code, detail = await failing(answers.ask(AskRequest(message="New?")))
        assert (code, detail.code) == (Code.UNAVAILABLE, "draining")
        upstream.release(len(TOKENS) + 1)
        assert await text(call) == TEXT
        assert await server.wait() == 0


PIECE = 10_000


@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
async def test_a_connection_that_does_not_read_is_cut_as_well(
    serve: Serve, direct: str, upstream: ScriptedUpstream
) -> None:
    tokens = tuple(f"{n:07d} {'x' * (PIECE - 8)}" for n in range(2000))
    upstream.script(Answer(tokens=tokens))
    async with serve("--stall-timeout", "1", direct) as server:
        request = AskRequest(message="Hello?", background=True).to_json().encode()
        envelope = b"\0" + len(request).to_bytes(4, "big") + request
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(
                b"POST /fairlead.v1.Answers/Ask HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/connect+json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(envelope), envelope)
            )
            await server.wait_log(lambda line: line["event"] == "reader_cut")
        # What was cut holds nothing up.
        assert await server.stop() == 0


@pytest.mark.parametrize("protocol", ["connect", "grpcweb", "grpc"])
async def test_buf_curl(server: ServerProcess, protocol: str, grpc_port: int) -> None:
    url = f"http://127.0.0.1:{grpc_port}" if protocol == "grpc" else server.url
    buf = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "buf"),
        "curl",
        *("--schema", str(ROOT / "proto"), "--protocol", protocol),
        *("--data", '{"message": "Hello?", "orphanWindow": 5}'),
        f"{url}/fairlead.v1.Answers/Ask",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await buf.communicate()
    assert buf.returncode == 0, err.decode()
    decoder = json.JSONDecoder()
    shown, events = out.decode().strip(), []
    while shown:
        event, at = decoder.raw_decode(shown)
        events.append(event)
        shown = shown[at:].lstrip()
    assert "".join(e["token"]["text"] for e in events if e["type"] == "token") == TEXT
    assert events[-1]["done"] == {"status": "completed", "finish": "stop"}


@pytest.mark.parametrize("protocol", ["connect", "grpc-web"])
async def test_under_a_base_path_and_for_pages_of_allowed_origins_alone(
    serve: Serve, protocol: str, grpc_port: int, session: aiohttp.ClientSession
) -> None:
    flags = ("--base-path", "/api", "--cors-origins", "https://app.example")
    async with serve(*flags) as server:
        assert server.url.endswith("/api")
        async with client(protocol, server.url, grpc_port) as answers:
            assert await text(answers.ask(AskRequest(message="Hello?"))) == TEXT
        url = f"{server.url}/fairlead.v1.Answers/Get"
        foreign = {"Origin": "https://other.example"}
        async with session.post(url, json={"stream": "x"}, headers=foreign) as response:
            assert response.status == 403
            assert (await response.json())["code"] == "forbidden"
        asked = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": (
                "content-type,connect-protocol-version,connect-timeout-ms,x-grpc-web,x-user-agent"
            ),
        }
        async with session.options(url, headers=asked) as response:
            assert response.status == 200, await response.text()


async def test_the_example_hangs_up_and_reads_everything_once(server: ServerProcess) -> None:
    example = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "examples/rpc_client.py"), "Hello?", server.url),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await example.communicate()
    assert example.returncode == 0
    assert out.decode().replace("|", "").strip() == TEXT


async def test_an_unknown_procedure_is_not_found(
    server: ServerProcess, session: aiohttp.ClientSession
) -> None:
    async with session.post(f"{server.url}/fairlead.v1.Answers/Nothing", json={}) as response:
        assert response.status == 404


async def test_silent_and_foreign_connections_to_the_grpc_port_do_no_harm(
    server: ServerProcess, grpc_port: int
) -> None:
    for data in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 1000):
        reader, writer = await asyncio.open_connection("127.0.0.1", grpc_port)
        writer.write(data)
        if data:
            await asyncio.wait_for(reader.read(), 90)
        writer.close()
    async with client("grpc", server.url, grpc_port) as answers:
        assert await text(answers.ask(AskRequest(message="Hello?"))) == TEXT
