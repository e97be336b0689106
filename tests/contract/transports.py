"""One way to read a stream, for each transport: the contract suite knows nothing else of them.

A new transport is one more function here.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncGenerator, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp
from connectrpc.errors import ConnectError
from grpc.aio import AioRpcError
from websockets.asyncio.client import connect

from fairlead.framing.event_stream import Parser
from fairlead.v1.answers_pb import AttachRequest, Error
from tests.support.rpc import client, failure


class Seen(NamedTuple):
    """An event as a reader sees it. ``position`` is empty for what is not of the log, ``code`` for
    what is no error, ``media`` for what carries no bytes."""

    type: str
    position: str
    text: str
    code: str = ""
    media: bytes = b""


class Place(NamedTuple):
    """Where a server is: its URL, its port for gRPC, and a session for plain HTTP. ``headers`` go
    along with every request."""

    url: str
    grpc_port: int
    session: aiohttp.ClientSession
    headers: Mapping[str, str] = MappingProxyType({})


class Refused(Exception):
    """The server refused to attach, with one of PROTOCOL.md's codes."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


Events = AsyncGenerator[Seen, None]
Transport = Callable[[Place, str, str], Events]


async def sse(place: Place, stream: str, after: str) -> Events:
    headers = {**place.headers, **({"Last-Event-ID": f"{stream}.{after}"} if after else {})}
    async with place.session.get(f"{place.url}/streams/{stream}", headers=headers) as response:
        await _check(place, response)
        parser = Parser()
        async for chunk in response.content.iter_any():
            for frame in parser.feed(chunk):
                position = (frame.id or "").partition(".")[2]
                noticed = frame.event == "drain"
                yield _seen(frame.event, "" if noticed else position, json.loads(frame.data))


async def ndjson(place: Place, stream: str, after: str) -> Events:
    url = f"{place.url}/streams/{stream}" + (f"?after={after}" if after else "")
    headers = {"Accept": "application/x-ndjson", **place.headers}
    async with place.session.get(url, headers=headers) as response:
        await _check(place, response)
        async for line in response.content:
            if line.strip():
                yield _message(json.loads(line))


async def poll(place: Place, stream: str, after: str) -> Events:
    closed = False
    while not closed:
        query = "?wait=10" + (f"&after={after}" if after else "")
        url = f"{place.url}/streams/{stream}{query}"
        async with place.session.get(url, headers=place.headers) as response:
            if response.status == 204:
                continue
            await _check(place, response)
            body = await response.json()
        after, closed = body["position"], body["closed"]
        for message in body["events"]:
            yield _message(message)


async def websocket(place: Place, stream: str, after: str) -> Events:
    url = place.url.replace("http", "ws", 1) + "/ws"
    async with connect(url, max_size=None, additional_headers=place.headers) as socket:
        request = {"type": "attach", "stream": stream} | ({"after": after} if after else {})
        await socket.send(json.dumps(request))
        async for frame in socket:
            binary = isinstance(frame, bytes)
            line, _, media = (
                frame.partition(b"\n") if isinstance(frame, bytes) else (frame, "", b"")
            )
            message = json.loads(line)
            if message["type"] == "attached":
                continue
            if message["type"] == "error" and "position" not in message:
                raise Refused(message["data"]["code"])
            seen = _message(message)
            yield seen._replace(media=media) if binary else seen
            if message["type"] in ("done", "error", "drain"):
                return


def _rpc(protocol: str) -> Transport:
    async def attach(place: Place, stream: str, after: str) -> Events:
        async with client(protocol, place.url, place.grpc_port) as answers:
            try:
                request = AttachRequest(stream=stream, after=after)
                headers = {name.lower(): value for name, value in place.headers.items()}
                async for event in answers.attach(request, headers=headers):
                    if event.type == "heartbeat":
                        continue
                    value = event.event.value if event.event is not None else None
                    text = getattr(value, "text", "") if event.type in ("token", "reset") else ""
                    media = _bytes(json.loads(value or "{}")) if event.type == "media" else b""
                    yield Seen(event.type, event.position, text, media=media)
            except (ConnectError, AioRpcError) as error:
                raise Refused(failure(error)[1].code) from None

    return attach


TRANSPORTS: dict[str, Transport] = {
    "sse": sse,
    "ndjson": ndjson,
    "poll": poll,
    "websocket": websocket,
    "connect": _rpc("connect"),
    "grpc-web": _rpc("grpc-web"),
    "grpc": _rpc("grpc"),
}


async def connect_json(place: Place, stream: str, after: str) -> Events:
    """Connect as a web page speaks it: its envelopes in whatever content coding was agreed on."""
    url = f"{place.url}/fairlead.v1.Answers/Attach"
    request = json.dumps({"stream": stream, "after": after}).encode()
    headers = {
        **place.headers,
        "Content-Type": "application/connect+json",
        "Connect-Protocol-Version": "1",
    }
    body = struct.pack(">BI", 0, len(request)) + request
    async with place.session.post(url, data=body, headers=headers) as response:
        _coded(place, response)
        while True:
            flags, size = struct.unpack(">BI", await response.content.readexactly(5))
            message = json.loads(await response.content.readexactly(size))
            if flags & 2:
                if "error" in message:
                    detail = message["error"]["details"][0]["value"]
                    raise Refused(Error.from_binary(base64.b64decode(detail + "==")).code)
                return
            if message["type"] != "heartbeat":
                named = message["type"] in ("token", "reset")
                text = message.get(message["type"], {}).get("text", "") if named else ""
                media = _bytes(json.loads(message["json"])) if message["type"] == "media" else b""
                yield Seen(message["type"], message.get("position", ""), text, media=media)


def _coded_as(coding: str, transport: Transport) -> Transport:
    def read(place: Place, stream: str, after: str) -> Events:
        headers = {**place.headers, "Accept-Encoding": coding}
        return transport(place._replace(headers=headers), stream, after)

    return read


#: The same with what a server compresses that has ``compression`` on.
CODED: dict[str, Transport] = {
    "sse in gzip": _coded_as("gzip", sse),
    "sse in zstd": _coded_as("zstd", sse),
    "ndjson in gzip": _coded_as("gzip", ndjson),
    "ndjson in zstd": _coded_as("zstd", ndjson),
    "poll in gzip": _coded_as("gzip", poll),
    "connect in gzip": _coded_as("gzip", connect_json),
    "connect in zstd": _coded_as("zstd", connect_json),
}


def _coded(place: Place, response: aiohttp.ClientResponse) -> None:
    """What was agreed on is what came."""
    wanted = place.headers.get("Accept-Encoding")
    if response.status == 200 and wanted not in (None, "identity"):
        small = int(response.headers.get("Content-Length", "1000")) < 256
        assert small or response.headers.get("Content-Encoding") == wanted
        assert "Accept-Encoding" in response.headers.get("Vary", "")


async def _check(place: Place, response: aiohttp.ClientResponse) -> None:
    if response.status not in (200, 204):
        raise Refused((await response.json())["code"])
    _coded(place, response)


def _message(message: dict[str, Any]) -> Seen:
    return _seen(message["type"], message.get("position", ""), message["data"])


def _seen(type: str, position: str, data: dict[str, Any]) -> Seen:
    text = data.get("token", "") if type == "token" else data.get("text", "")
    code = data.get("code", "") if type == "error" else ""
    return Seen(type, position, text, code, _bytes(data) if type == "media" else b"")


def _bytes(data: dict[str, Any]) -> bytes:
    """A media event's, where they come in its fields."""
    return base64.b64decode(data["data"])
