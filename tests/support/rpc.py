"""Clients of ``fairlead.v1.Answers``: connectrpc's, and grpcio's in the same shape."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import grpc
from connectrpc.client import ConnectClient
from connectrpc.codec import proto_json_codec
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


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


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
