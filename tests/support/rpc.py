"""Clients of ``fairlead.v1.Answers``: connectrpc's, and grpcio's in the same shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Self

import grpc
from connectrpc.client import ConnectClient
from connectrpc.code import Code
from connectrpc.codec import proto_json_codec
from connectrpc.errors import ConnectError
from connectrpc.protocol import ProtocolType

from fairlead.v1.answers_connect import AnswersClient
from fairlead.v1.answers_pb import (
    Answer,
    AskRequest,
    AttachRequest,
    Event,
    GetRequest,
    StopRequest,
)
from fairlead.v1.answers_pb import Error as ErrorMessage
from tests.support.ports import free_port as free_port

#: Protocols, and how a client speaks them.
CONNECT: dict[str, dict[str, Any]] = {
    "connect": {},
    "connect-json": {"codec": proto_json_codec()},
    "grpc-web": {"protocol": ProtocolType.GRPC_WEB},
}
PROTOCOLS = (*CONNECT, "grpc")


class Grpc:
    """grpcio's client. ``headers`` become metadata, ``timeout_ms`` the deadline."""

    def __init__(self, port: int, *options: tuple[str, Any]) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)

    def ask(self, request: AskRequest, **how: Any) -> Any:
        return self._stream("Ask", request, **how)

    def attach(self, request: AttachRequest, **how: Any) -> Any:
        return self._stream("Attach", request, **how)

    async def stop(self, request: StopRequest, **how: Any) -> Answer:
        return await self._unary("Stop", request, **how)

    async def get(self, request: GetRequest, **how: Any) -> Answer:
        return await self._unary("Get", request, **how)

    def _stream(self, name: str, request: Any, **how: Any) -> Any:
        method = self.channel.unary_stream(
            f"/fairlead.v1.Answers/{name}",
            request_serializer=_binary,
            response_deserializer=Event.from_binary,
        )
        return method(request, **_options(**how))

    async def _unary(self, name: str, request: Any, **how: Any) -> Answer:
        method = self.channel.unary_unary(
            f"/fairlead.v1.Answers/{name}",
            request_serializer=_binary,
            response_deserializer=Answer.from_binary,
        )
        answer: Answer = await method(request, **_options(**how))
        return answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()


def client(protocol: str, url: str, grpc_port: int) -> Any:
    """A client, which is an async context manager."""
    if protocol == "grpc":
        return Grpc(grpc_port)
    made: ConnectClient = AnswersClient(url, **CONNECT[protocol])
    return made


async def text(events: AsyncIterator[Event], into: list[Event] | None = None) -> str:
    """What the tokens add up to; ``into`` collects the events."""
    pieces: list[str] = []
    async for event in events:
        if into is not None:
            into.append(event)
        if event.event is not None and event.event.field == "token":
            pieces.append(event.event.value.text)
    return "".join(pieces)


def failure(error: ConnectError | grpc.aio.AioRpcError) -> tuple[Code, ErrorMessage]:
    """The code and the detail of a call's error, from whichever client."""
    if isinstance(error, ConnectError):
        detail = next(d for d in error.details if d.type_name == "fairlead.v1.Error")
        return error.code, ErrorMessage.from_binary(detail.message_bytes)
    status = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    # google.rpc.Status: 3 are the details, each an Any, of which 2 is the message.
    first = next(value for number, value in _fields(status) if number == 3)
    detail = next(value for number, value in _fields(first) if number == 2)
    name = error.code().name.replace("CANCELLED", "CANCELED")
    return Code[name], ErrorMessage.from_binary(detail)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message that holds only varints and bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        value: Any = varint()
        if tag & 7 == 2:
            value, at = message[at : at + value], at + value
        yield tag >> 3, value


def _binary(message: Any) -> bytes:
    data: bytes = message.to_binary()
    return data


def _options(
    headers: Mapping[str, str] | None = None, timeout_ms: int | None = None
) -> dict[str, Any]:
    return {
        "metadata": tuple((headers or {}).items()),
        "timeout": timeout_ms / 1000 if timeout_ms is not None else None,
    }
