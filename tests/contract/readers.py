"""Readers who show a credential, and what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.contract.transports import TRANSPORTS, Place, Refused

TOKENS = tuple(f"{n} " for n in range(8))
#: What the project promises, in seconds.
PROMISE = 5.0


class Reader:
    """Reads a stream with a credential until that ends, in whatever way."""

    def __init__(
        self, place: Place, stream: str, transport: str, credential: str, name: str = ""
    ) -> None:
        headers = {"Authorization": f"Bearer {credential}"}
        if name:
            headers["Fairlead-Reader"] = name
        self.transport = transport
        self.text = ""
        self.last = ""
        self.code = ""
        self._events = TRANSPORTS[transport](place._replace(headers=headers), stream, "")
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async with contextlib.aclosing(self._events) as events:
                async for event in events:
                    self.last, self.code = event.type, event.code
                    self.text += event.text if event.type == "token" else ""
                    self._news.set()
        except Refused as refused:
            self.last, self.code = "refused", refused.code
        finally:
            self._news.set()

    async def has(self, text: str) -> None:
        async with asyncio.timeout(90):
            while self.text != text:
                assert not self.task.done(), (self.transport, self.last, self.code)
                self._news.clear()
                await self._news.wait()


async def begin(place: Place, credential: str, upstream: ScriptedUpstream) -> str:
    """Ask, and leave: the stream of an answer whose tokens the upstream is told to release."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    headers = {"Authorization": f"Bearer {credential}"}
    body = {"message": "Go on."}
    async with place.session.post(
        f"{place.url}/chat/stream", json=body, headers=headers
    ) as response:
        assert response.status == 200, await response.text()
        return response.headers["Fairlead-Stream"]


async def all_have(readers: list[Reader], text: str) -> None:
    """Wait until each has read this."""
    await asyncio.gather(*(reader.has(text) for reader in readers))


async def all_end(readers: list[Reader]) -> dict[str, str]:
    """Wait for each to end, no longer than is promised; each transport's last word."""
    async with asyncio.timeout(PROMISE):
        await asyncio.gather(*(reader.task for reader in readers))
    return {reader.transport: reader.code for reader in readers}
