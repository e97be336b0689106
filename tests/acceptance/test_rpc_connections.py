"""gRPC connections that are used for long: retired in time, without harm to any call."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from fairlead.v1.answers_pb import AskRequest, AttachRequest, GetRequest
from tests.acceptance.conftest import Serve
from tests.support.ports import free_port
from tests.support.rpc import Grpc, text

TOKENS = ("Grüße ", "aus ", "der ", "纽约 ", "🚢 ", "end.")
TEXT = "".join(TOKENS)
#: Of one connection zttp bears 256 streams that the peer resets, and 4096 in all.
CANCELLED = 300
CALLS = 4200
AT_ONCE = 50


@pytest.mark.parametrize("use", ["calls that are cancelled", "many calls"])
async def test_a_long_call_outlives_the_limits_of_its_connection(
    serve: Serve, upstream: ScriptedUpstream, use: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    port = free_port()
    async with serve("--grpc-port", str(port)), Grpc(port) as answers:
        long = answers.ask(AskRequest(message="Hello?"))
        stream = (await anext(aiter(long))).stream

        async def cancelled() -> None:
            call = answers.attach(AttachRequest(stream=stream))
            await anext(aiter(call))
            call.cancel()

        async def called() -> None:
            assert (await answers.get(GetRequest(stream=stream))).status == "running"

        work, count = (cancelled, CANCELLED) if use != "many calls" else (called, CALLS)

        async def one_after_another() -> None:
            for _ in range(count // AT_ONCE):
                await work()

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
        upstream.release(len(TOKENS) + 1)
        assert await text(long) == TEXT


async def test_its_connections_count_with_all_others(serve: Serve) -> None:
    port = free_port()
    more = ("--max-connections", "2", "--head-timeout", "90")
    async with serve("--grpc-port", str(port), *more) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        async with asyncio.timeout(90):
            # Until the server has heard of both, there is room.
            while await served(port):
                pass
            for _, writer in silent:
                writer.close()
            while not await served(port):
                pass


async def served(port: int) -> bool:
    """Whether a call over a connection of its own comes to the server."""
    # Channels share their connections unless they are told not to.
    async with Grpc(port, ("grpc.use_local_subchannel_pool", 1)) as answers:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await answers.get(GetRequest(stream="nobody"))
    code = failed.value.code()
    assert code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)
    return code is grpc.StatusCode.NOT_FOUND
