"""A WebRTC peer whose data channel is used as a WebSocket is.

It is given as the two functions that ASGI gives a WebSocket, so that what carries a session there
carries it here. The extra ``webrtc`` installs what this needs; importing it takes time and memory,
which a server spends when it is first called.

Only host candidates are offered, and no other server is asked for an address (STUN, TURN): the
caller must be able to reach one of this machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import MutableMapping
from typing import Any

from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

from fairlead.errors import BadRequest, TooLarge

Message = MutableMapping[str, Any]

#: The name of the data channel that a session is carried on.
CHANNEL = "oai-events"

#: Messages and characters that may wait to be taken: who sends more without waiting is cut off.
_MOST, _MOST_CHARS = 4096, 16 << 20
#: The largest offer, and the addresses that it may name: each is tried.
_LONGEST_OFFER, _MOST_CANDIDATES = 64 * 1024, 100
#: Bytes that may wait to be sent.
_BUFFERED = 64 * 1024
#: Seconds that closing may take: what has been said is sent first.
_LAST_WORDS = 5.0

# They log each pair of addresses that is tried.
for _name in ("aioice", "aiortc"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class Peer:
    """One call. ``longest``: characters of one message; a longer one is given cut, which is enough
    to be refused."""

    def __init__(self, longest: int) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._longest = longest
        self._channel: RTCDataChannel | None = None
        self._opened = asyncio.Event()
        self._gone = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._waiting: deque[str | bytes] = deque()
        self._chars = 0
        self._connection.on("datachannel", self._found)
        self._connection.on("connectionstatechange", self._changed)

    async def answer(self, offer: str) -> str:
        """The answer to an offer (SDP, RFC 8866). Audio and video are not taken. Raises
        :class:`~fairlead.errors.BadRequest` for an offer that cannot be read, and
        :class:`~fairlead.errors.TooLarge`."""
        candidates = offer.count("a=candidate")
        if len(offer) > _LONGEST_OFFER or candidates > _MOST_CANDIDATES:
            raise TooLarge(
                f"an offer has {_LONGEST_OFFER} characters and {_MOST_CANDIDATES} candidates at "
                "most",
                param="sdp",
            )
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for transceiver in self._connection.getTransceivers():
                transceiver.direction = "inactive"
            if self._connection.sctp is None:
                raise BadRequest(
                    f"the offer has no data channel: create one called {CHANNEL!r} before it",
                    param="sdp",
                )
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except (ValueError, IndexError, KeyError, AttributeError, AssertionError) as error:
            # What the parser of the library raises for texts that are no descriptions.
            raise BadRequest(
                f"the offer cannot be read as SDP ({type(error).__name__})", param="sdp"
            ) from None
        except InvalidStateError:
            raise BadRequest("the offer is none that can be answered", param="sdp") from None
        return str(self._connection.localDescription.sdp)

    async def opened(self) -> bool:
        """Wait until the data channel is there; whether it is, or the caller has gone."""
        await self._opened.wait()
        return self._channel is not None and not self._gone

    async def close(self) -> None:
        """End the call. Idempotent."""
        self._end()
        await self._connection.close()

    # -- as ASGI has a WebSocket

    async def receive(self) -> Message:
        """The next message, or that the caller has gone."""
        while not self._waiting:
            if self._gone:
                return {"type": "websocket.disconnect", "code": 1006}
            self._news.clear()
            await self._news.wait()
        message = self._waiting.popleft()
        self._chars -= len(message)
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def send(self, message: Message) -> None:
        """Send a message, waiting while too much waits to be sent; or end the call. Raises
        :class:`OSError` when the caller has gone."""
        channel = self._channel
        if channel is None or self._gone:
            raise ConnectionResetError("the call has ended")
        if message["type"] == "websocket.close":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await self._drained(channel, 0)
            await self.close()
            return
        try:
            channel.send(message["text"])
        except InvalidStateError:
            raise ConnectionResetError("the data channel is closed") from None
        await self._drained(channel, _BUFFERED)

    async def _drained(self, channel: RTCDataChannel, most: int) -> None:
        channel.bufferedAmountLowThreshold = most
        while channel.bufferedAmount > most and not self._gone:
            self._room.clear()
            await self._room.wait()

    # -- told by the library

    def _found(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._came)
        channel.on("bufferedamountlow", self._room.set)
        channel.on("close", self._end)
        self._opened.set()

    def _came(self, message: str | bytes) -> None:
        message = message[: self._longest + 1]
        self._waiting.append(message)
        self._chars += len(message)
        if len(self._waiting) > _MOST or self._chars > _MOST_CHARS:
            self._waiting.clear()
            self._end()
        self._news.set()

    def _changed(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._end()

    def _end(self) -> None:
        self._gone = True
        for event in (self._opened, self._news, self._room):
            event.set()
