"""One way to read a stream, for each transport, and one to send it something malformed; and one to
stop an answer, for each that can. The contract suite knows nothing else of them.

A new transport is one more adapter here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp
from connectrpc.errors import ConnectError
from grpc import StatusCode
from grpc.aio import AioRpcError, insecure_channel
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.frames import Frame, Opcode

from fairlead.framing.event_stream import Parser
from fairlead.v1.answers_pb import AttachRequest, Error, StopRequest
from tests.support.rpc import client, failure


class Seen(NamedTuple):
    """An event as a reader sees it. ``position`` is empty for what is not of the log: beside errors
    that is a ``heartbeat``, the transport's sign of life in silence, and a ``drain``, by which a
    server sends its readers away for a moment. ``code`` is empty for what is no error, ``media``
    for what carries no bytes."""

    type: str
    position: str
    text: str
    code: str = ""
    media: bytes = b""


class Place(NamedTuple):
    """Where a server is: its URL, its port for gRPC, and a session for plain HTTP. ``headers`` go
    along with every request. ``wait``: the seconds that a poll may wait. ``noise``: a connection
    that carries requests beside what is read is sent malformed ones as well."""

    url: str
    grpc_port: int
    session: aiohttp.ClientSession
    headers: Mapping[str, str] = MappingProxyType({})
    wait: int = 30
    noise: bool = False


class Refused(Exception):
    """The server refused to attach, with one of PROTOCOL.md's codes."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


#: What transports say that is not of the log.
_HEARTBEAT = Seen("heartbeat", "", "")


def _drain(retry_after: float) -> Seen:
    """Come back, after so many seconds."""
    assert 0 < retry_after < 5
    return Seen("drain", "", "")


#: How reading ends when its connection breaks, by whichever library.
BROKEN = (aiohttp.ClientError, OSError, EOFError, ConnectionClosed, ConnectError, AioRpcError)

Events = AsyncGenerator[Seen, None]
Transport = Callable[[Place, str, str], Events]


async def sse(place: Place, stream: str, after: str) -> Events:
    headers = {**place.headers, **({"Last-Event-ID": f"{stream}.{after}"} if after else {})}
    async with place.session.get(f"{place.url}/streams/{stream}", headers=headers) as response:
        await _check(place, response)
        parser = Parser()
        async for line in response.content:
            if line == b": heartbeat\n":
                yield _HEARTBEAT
            for frame in parser.feed(line):
                position = (frame.id or "").partition(".")[2]
                noticed = frame.event == "drain"
                yield _seen(frame.event, "" if noticed else position, json.loads(frame.data))


async def ndjson(place: Place, stream: str, after: str) -> Events:
    url = f"{place.url}/streams/{stream}" + (f"?after={after}" if after else "")
    headers = {"Accept": "application/x-ndjson", **place.headers}
    async with place.session.get(url, headers=headers) as response:
        await _check(place, response)
        async for line in response.content:
            yield _message(json.loads(line)) if line.strip() else _HEARTBEAT


async def poll(place: Place, stream: str, after: str) -> Events:
    closed = False
    loop = asyncio.get_running_loop()
    while not closed:
        query = f"?wait={place.wait}" + (f"&after={after}" if after else "")
        url = f"{place.url}/streams/{stream}{query}"
        asked = loop.time()
        async with place.session.get(url, headers=place.headers) as response:
            if response.status == 204:
                # One that had nothing to say and did not wait for it sends its pollers away.
                if loop.time() - asked < place.wait / 2:
                    yield _drain(1)
                    return
                yield _HEARTBEAT
                continue
            await _check(place, response)
            body = await response.json()
        after, closed = body["position"], body["closed"]
        for message in body["events"]:
            yield _message(message)


class _Socket(ClientConnection):
    """Tells of the server's pings, which its library answers without a word."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pinged = asyncio.Event()

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self._pinged.set()
        super().process_event(event)

    async def heard(self) -> AsyncGenerator[str | bytes | None, None]:
        """What comes, until the other side closes; None for a ping."""
        receiving: asyncio.Task[str | bytes] | None = None
        pinged = asyncio.create_task(self._pinged.wait())
        try:
            while True:
                receiving = receiving or asyncio.create_task(self.recv())
                await asyncio.wait([receiving, pinged], return_when=asyncio.FIRST_COMPLETED)
                if receiving.done():
                    received, receiving = receiving, None
                    yield received.result()
                elif pinged.done():
                    self._pinged.clear()
                    pinged = asyncio.create_task(self._pinged.wait())
                    yield None
        except ConnectionClosedOK:
            return
        finally:
            pinged.cancel()
            if receiving is not None:
                receiving.cancel()


async def websocket(place: Place, stream: str, after: str) -> Events:
    async with _connected(place) as socket:
        request = {"type": "attach", "stream": stream} | ({"after": after} if after else {})
        await socket.send(json.dumps(request))
        noise: list[str | bytes] = list(_NOISE) if place.noise else []
        for one in noise:
            await socket.send(one)
        assert isinstance(socket, _Socket)
        async for frame in socket.heard():
            if frame is None:
                yield _HEARTBEAT
                continue
            binary = isinstance(frame, bytes)
            line, _, media = (
                frame.partition(b"\n") if isinstance(frame, bytes) else (frame, "", b"")
            )
            message = json.loads(line)
            if message["type"] == "attached":
                continue
            if message["type"] == "error" and "position" not in message:
                if noise and "stream" not in message:
                    assert message["data"]["code"] == "bad_request"
                    noise.pop()
                    continue
                raise Refused(message["data"]["code"])
            seen = _message(message)
            yield seen._replace(media=media) if binary else seen
            if message["type"] in ("done", "error", "drain"):
                assert not noise
                return


#: What no client says on a WebSocket.
_NOISE: tuple[str | bytes, ...] = (
    "",
    "{",
    "[]",
    '{"type": "dance"}',
    '{"type": 1}',
    b"",
    b"\n",
    b"\xff\0\n\xff",
    b"{}\n",
)


def _connected(place: Place) -> connect:
    url = place.url.replace("http", "ws", 1) + "/ws"
    return connect(
        url,
        max_size=None,
        additional_headers=place.headers,
        create_connection=_Socket,
    )


def _rpc(protocol: str) -> Transport:
    async def attach(place: Place, stream: str, after: str) -> Events:
        async with client(protocol, place.url, place.grpc_port) as answers:
            try:
                request = AttachRequest(stream=stream, after=after)
                headers = {name.lower(): value for name, value in place.headers.items()}
                async for event in answers.attach(request, headers=headers):
                    if event.type == "heartbeat":
                        yield _HEARTBEAT
                        continue
                    value = event.event.value if event.event is not None else None
                    text = getattr(value, "text", "") if event.type in ("token", "reset") else ""
                    media = _bytes(json.loads(value or "{}")) if event.type == "media" else b""
                    yield Seen(event.type, event.position, text, media=media)
            except (ConnectError, AioRpcError) as error:
                try:
                    detail = failure(error)[1]
                except (LookupError, StopIteration):  # not the server's own words
                    raise error from None
                if detail.code != "draining":
                    raise Refused(detail.code) from None
                yield _drain(detail.retry_after)

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


# -- something malformed ---------------------------------------------------------------------------

Malformed = Callable[[Place, str], Awaitable[None]]


def _malformed_http(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Malformed:
    async def send(place: Place, stream: str) -> None:
        async with place.session.request(
            method,
            place.url + path.format(stream=stream),
            headers={**place.headers, **headers},
            data=body or None,
        ) as response:
            assert response.status == 400
            assert (await response.json())["code"] in ("bad_request", "bad_position")

    return send


async def _malformed_websocket(place: Place, stream: str) -> None:
    async with _connected(place) as socket:
        for noise in _NOISE:
            await socket.send(noise)
            answer = json.loads(await socket.recv())
            assert (answer["type"], answer["data"]["code"]) == ("error", "bad_request")


def _malformed_rpc(content_type: str) -> Malformed:
    """An envelope around what is no message, and one that is shorter than it says."""

    async def send(place: Place, stream: str) -> None:
        headers = {
            **place.headers,
            "Content-Type": content_type,
            "Connect-Protocol-Version": "1",
        }
        for body in (struct.pack(">BI", 0, 3) + b"\xff\xff\xff", struct.pack(">BI", 0, 9) + b"\0"):
            url = f"{place.url}/fairlead.v1.Answers/Attach"
            async with place.session.post(url, data=body, headers=headers) as response:
                said = await response.read() + str(response.headers).encode()
                assert b"invalid_argument" in said or b"grpc-status" in said.lower(), said
                assert b"grpc-status: 0" not in said

    return send


async def _malformed_grpc(place: Place, stream: str) -> None:
    async with insecure_channel(f"127.0.0.1:{place.grpc_port}") as channel:
        call = channel.unary_stream("/fairlead.v1.Answers/Attach")(b"\xff\xff\xff")
        assert await call.code() in (StatusCode.INVALID_ARGUMENT, StatusCode.INTERNAL)


_BAD_JSON = {"Content-Type": "application/json"}

#: Sends something malformed by the transport, and sees it refused.
MALFORMED: dict[str, Malformed] = {
    "sse": _malformed_http("GET", "/streams/{stream}", {"Last-Event-ID": "{stream}.?"}, b""),
    "ndjson": _malformed_http(
        "POST", "/chat/stream", {"Accept": "application/x-ndjson", **_BAD_JSON}, b'{"message": "'
    ),
    "poll": _malformed_http("GET", "/streams/{stream}?wait=for+ever", {}, b""),
    "websocket": _malformed_websocket,
    "connect": _malformed_rpc("application/connect+proto"),
    "grpc-web": _malformed_rpc("application/grpc-web+proto"),
    "grpc": _malformed_grpc,
}

# -- stopping --------------------------------------------------------------------------------------

Stop = Callable[[Place, str], Awaitable[str]]


async def _stop_by_http(place: Place, stream: str) -> str:
    url = f"{place.url}/streams/{stream}/stop"
    async with place.session.post(url, headers=place.headers) as response:
        return str((await response.json())["status"])


async def _stop_by_websocket(place: Place, stream: str) -> str:
    async with _connected(place) as socket:
        await socket.send(json.dumps({"type": "stop", "stream": stream}))
        return str(json.loads(await socket.recv())["data"]["status"])


def _stop_by_rpc(protocol: str) -> Stop:
    async def stop(place: Place, stream: str) -> str:
        async with client(protocol, place.url, place.grpc_port) as answers:
            return str((await answers.stop(StopRequest(stream=stream))).status)

    return stop


#: Stops an answer and tells its status. Server-Sent Events, NDJSON and polls have one way for that.
STOPS: dict[str, Stop] = {
    "http": _stop_by_http,
    "websocket": _stop_by_websocket,
    "connect": _stop_by_rpc("connect"),
    "grpc-web": _stop_by_rpc("grpc-web"),
    "grpc": _stop_by_rpc("grpc"),
}

# -- compressed ------------------------------------------------------------------------------------


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
                    told = Error.from_binary(base64.b64decode(detail + "=="))
                    if told.code != "draining":
                        raise Refused(told.code)
                    yield _drain(told.retry_after)
                return
            if message["type"] == "heartbeat":
                yield _HEARTBEAT
            else:
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
    if type == "drain":
        return _drain(data["retry_after"])
    text = data.get("token", "") if type == "token" else data.get("text", "")
    code = data.get("code", "") if type == "error" else ""
    return Seen(type, position, text, code, _bytes(data) if type == "media" else b"")


def _bytes(data: dict[str, Any]) -> bytes:
    """A media event's, where they come in its fields."""
    return base64.b64decode(data["data"])
