"""A call whose caller's authority ends while messages are still to be given."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from fairlead.errors import NotFound, Revoked
from fairlead.transports import arrival, rpc
from fairlead.transports.connections import Connections, Settings
from fairlead.transports.rpc import Call
from fairlead.transports.rpc_wire import RpcWire
from fairlead.v1.answers_pb import Event
from tests.engine.conftest import ALICE, Bench, bench

__all__ = ["bench"]


async def opened(bench: Bench) -> tuple[Call, Any]:
    """A call with several messages, of which one has been given."""
    stream = await bench.ask()
    bench.provider.say("one ", "two ", "three")
    await (await bench.read(stream)).until(lambda r: r.text == "one two three")
    reader = await bench.engine.attach(ALICE, stream, None, RpcWire)
    call = Call(reader, cast("Any", None), Connections(Settings()))
    first = await call.next()
    assert first is not None
    assert Event.from_binary(first).type == "thinking"
    return call, reader


async def test_nothing_more_is_given_and_no_position_beyond_what_was(bench: Bench) -> None:
    call, reader = await opened(bench)
    assert call.position
    reader.end(Revoked("over"))
    with pytest.raises(Revoked):
        await call.next()
    assert call.position == ""
    call.close()


async def test_what_was_taken_of_a_deleted_stream_is_given(bench: Bench) -> None:
    call, reader = await opened(bench)
    reader.end(NotFound("the stream was deleted"))
    pieces: list[str] = []

    async def drain() -> None:
        while (message := await call.next()) is not None:
            event = Event.from_binary(message).event
            assert event is not None
            pieces.append(event.value.text)  # type: ignore[union-attr]

    with pytest.raises(NotFound):
        await drain()
    assert "".join(pieces) == "one two three"
    call.close()


async def test_who_drips_a_request_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "TIMEOUT", 0.05)

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b"x", "more_body": True}

    receive = rpc._timely(drip)
    async with asyncio.timeout(90):
        while (await receive())["type"] != "http.disconnect":
            pass
