"""A reader over HTTP that remembers what it saw, so that it can be compared with the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from fairlead.framing.event_stream import Parser

TERMINALS = ("done", "error")


class Reader:
    """Reads one answer, over as many connections as it takes, and checks that ids only rise.

    ``events`` are (name, data, id); ``text`` is what the tokens add up to; ``resets`` counts.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.events: list[tuple[str, dict[str, Any], str]] = []
        self._pieces: list[str] = []
        self.stream = ""
        self.last_id = ""
        self.resets = 0
        self.connections = 0
        self.notices: list[str] = []
        self.on_event: Callable[[Reader], None] = lambda _: None
        self._news = asyncio.Event()

    async def until(self, holds: Callable[[Reader], bool]) -> None:
        """Wait until ``holds``, which is asked after each event and when the stream is known."""
        async with asyncio.timeout(90):
            while not holds(self):
                self._news.clear()
                await self._news.wait()

    @property
    def text(self) -> str:
        """The answer's text so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def ended(self) -> bool:
        """Whether a terminal event has come."""
        return bool(self.events) and self.events[-1][0] in TERMINALS

    @property
    def end(self) -> dict[str, Any]:
        """The terminal event's data."""
        assert self.ended, self.events[-3:]
        return self.events[-1][1]

    async def ask(self, body: dict[str, Any], **headers: str) -> None:
        """``POST /chat/stream`` and read until the body ends or breaks (an aiohttp error)."""
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        async with self.session.post(
            f"{self.url}/chat/stream", json=body, headers=headers
        ) as response:
            await self._read(response)

    async def attach(self, stream: str = "", **headers: str) -> None:
        """``GET /streams/{id}`` from where it stands, and read until the body ends or breaks."""
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        async with self.session.get(
            f"{self.url}/streams/{stream or self.stream}",
            headers={"Accept": "text/event-stream", **headers},
        ) as response:
            await self._read(response)

    async def document(self) -> dict[str, Any]:
        """The answer as the server has it."""
        async with self.session.get(
            f"{self.url}/streams/{self.stream}", headers={"Accept": "application/json"}
        ) as response:
            assert response.status == 200, await response.text()
            document: dict[str, Any] = await response.json()
            return document

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 204:
            return
        assert response.status == 200, f"{response.status}: {await response.text()}"
        assert response.headers["Content-Type"] == "text/event-stream"
        self.connections += 1
        self.stream = response.headers["Fairlead-Stream"]
        self._news.set()
        parser = Parser()
        async for chunk in response.content.iter_any():
            for frame in parser.feed(chunk):
                self._event(frame.event, json.loads(frame.data), frame.id)

    def _event(self, name: str, data: dict[str, Any], id: str | None) -> None:
        if name == "drain":
            self.notices.append(name)
            return
        assert id is not None
        # An error that is not of the log stands where the reader does.
        assert id > self.last_id or (name == "error" and id == self.last_id), (
            f"{id} came after {self.last_id}"
        )
        assert not self.ended, f"{name} came after the end"
        self.last_id = id
        self.events.append((name, data, id))
        if name == "token":
            self._pieces.append(data["token"])
        elif name == "reset":
            self._pieces = [data["text"]]
            self.resets += 1
        self._news.set()
        self.on_event(self)
