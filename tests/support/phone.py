"""A caller over WebRTC, by the library that the server answers with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription


def message(text: str) -> dict[str, Any]:
    """The event that adds a message of the user."""
    content = [{"type": "input_text", "text": text}]
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": content},
    }


class Phone:
    """A call. An async context manager, which hangs up."""

    def __init__(self) -> None:
        self.peer = RTCPeerConnection()
        self.channel: RTCDataChannel = self.peer.createDataChannel("oai-events")
        self._came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.channel.on("message", lambda data: self._came.put_nowait(json.loads(data)))
        self.channel.on("close", lambda: self._came.put_nowait({"type": "closed"}))

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return str(self.peer.localDescription.sdp)

    async def answered(self, sdp: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def until(self, type: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while not events or events[-1]["type"] != type:
                events.append(await self._came.get())
        return events

    def say(self, text: str) -> None:
        """Add a message, and ask for a response to it."""
        for event in (message(text), {"type": "response.create"}):
            self.channel.send(json.dumps(event))

    async def __aenter__(self) -> Phone:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.peer.close()
