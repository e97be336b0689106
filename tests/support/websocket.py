"""A client of ``/ws`` that remembers what it saw, stream by stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TERMINALS = ("done", "error")


class Seen:
    """What has come of one stream: its messages, the text they add up to, and the position."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.position = ""
        self.resets = 0
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return "".join(self._pieces)

    def append(self, piece: str, position: str) -> None:
        """What another transport has shown."""
        self._pieces.append(piece)
        self.position = position

    @property
    def ended(self) -> bool:
        """Whether a terminal event of the log has come."""
        return bool(self.messages) and self.messages[-1]["type"] in TERMINALS

    def add(self, message: dict[str, Any]) -> None:
        """One more event of the log."""
        assert message["position"] > self.position, f"{message} came after {self.position}"
        assert not self.ended, f"{message} came after the end"
        self.messages.append(message)
        self.position = message["position"]
        if message["type"] == "token":
            self._pieces.append(message["data"]["token"])
        elif message["type"] == "reset":
            self._pieces = [message["data"]["text"]]
            self.resets += 1


class Client:
    """One socket at a time; ``streams`` outlive it. An async context manager.

    ``answers`` are the messages that are not of a log, in their order.
    """

    def __init__(self, url: str, path: str = "/ws", **options: Any) -> None:
        self.url = url.replace("http", "ws", 1) + path
        self.options = {"max_size": None, **options}
        self.streams: dict[str, Seen] = {}
        self.answers: list[dict[str, Any]] = []
        self.connection: ClientConnection
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._given = 0

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Open a socket (again)."""
        self.connection = await connect(self.url, **self.options)
        self._reading = asyncio.create_task(self._read(self.connection))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket, and wait until it is."""
        await self.connection.close(code, reason)
        if self._reading is not None:
            await self._reading

    async def cut(self) -> None:
        """Tear the connection off; what is under way is lost."""
        self.connection.transport.abort()
        assert self._reading is not None
        await self._reading

    async def closed(self) -> int:
        """Wait until the server has closed it; the code."""
        async with asyncio.timeout(90):
            await self.connection.wait_closed()
            assert self._reading is not None
            await self._reading
        code = self.connection.close_code
        assert code is not None
        return code

    async def send(self, type: str, **fields: Any) -> None:
        """Send a message."""
        await self.connection.send(json.dumps({"type": type, **fields}))

    async def upload(self, id: str, type: str, data: bytes, name: str = "") -> None:
        """Send an attachment, without waiting for the answer."""
        head = {"type": "attachment", "id": id, "data": {"content_type": type, "name": name}}
        await self.connection.send(json.dumps(head).encode() + b"\n" + data)

    async def ask(self, message: str, **fields: Any) -> str:
        """Ask, and wait until it has begun; the stream."""
        await self.send("chat", message=message, **fields)
        stream: str = (await self.answer("started"))["stream"]
        return stream

    async def answer(self, type: str, **fields: Any) -> dict[str, Any]:
        """The next answer of this type with these fields, passing over others; waits for it."""
        found: dict[str, Any] = {}

        def there() -> bool:
            while self._given < len(self.answers):
                answer = self.answers[self._given]
                self._given += 1
                if answer["type"] == type and fields.items() <= answer.items():
                    found.update(answer)
                    return True
            return False

        await self._until(there)
        return found

    async def reply(self, id: str) -> dict[str, Any]:
        """The answer to the request with this id, or the error it met; waits for it."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [answer for answer in self.answers if answer.get("id") == id]
            return bool(found)

        await self._until(there)
        return found[0]

    async def end(self, stream: str) -> dict[str, Any]:
        """The stream's terminal event, waiting for it."""
        await self._until(lambda: self.seen(stream).ended)
        message: dict[str, Any] = self.streams[stream].messages[-1]
        return message

    async def events(self, stream: str, count: int) -> None:
        """Wait until so many events of the stream have come."""
        await self._until(lambda: len(self.seen(stream).messages) >= count)

    def seen(self, stream: str) -> Seen:
        """What has come of the stream."""
        return self.streams.setdefault(stream, Seen())

    async def _until(self, there: Any) -> None:
        async with asyncio.timeout(90):
            while not there():
                assert self._reading is not None
                if self._reading.done():
                    self._reading.result()
                    raise AssertionError(f"the socket ended first: {self.answers[-5:]}")
                self._news.clear()
                await self._news.wait()

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for data in connection:
                message = json.loads(data)
                if "position" in message:
                    self.seen(message["stream"]).add(message)
                else:
                    if message["type"] == "started":  # it is read from the start
                        self.streams.pop(message["stream"], None)
                    self.answers.append(message)
                self._news.set()
        except ConnectionClosed:
            pass
        finally:
            self._news.set()
