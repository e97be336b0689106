"""What the scripted upstream records of each request."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

# RFC 2397, as the Chat Completions dialect uses it.
_DATA = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)


class Ending(Enum):
    """How the answer to a request ended."""

    COMPLETED = "completed"
    """All that was scripted has been handed to the socket."""
    CUT = "cut"
    """The upstream closed or reset the connection: a scripted fault, or ``stop()``."""
    CLIENT_CLOSED = "client closed"
    """The client closed its socket first."""


class Changes:
    """Lets coroutines wait until something became true."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Something changed: all who wait look again."""
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until ``true()`` is."""
        while not true():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)


class Picture(NamedTuple):
    """A picture that came with a message: its media type and its bytes."""

    type: str
    data: bytes


@dataclass(eq=False)
class ReceivedRequest:
    """One request and how far its answer got.

    number: 1 for the first request this upstream received.
    headers: names in lower case. json: the decoded body, None where it is not JSON.
    tokens_sent: how many of the answer's tokens were handed to the socket.
    ending: None while the answer is under way.
    """

    number: int
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    json: Any
    tokens_sent: int = 0
    ending: Ending | None = None
    _changes: Changes = field(default_factory=Changes, repr=False)
    _release: Callable[[int], None] = field(default=lambda n: None, repr=False)

    def release(self, n: int = 1) -> None:
        """Let n more steps of this one gated answer pass; see ``Pace.gated``."""
        self._release(n)

    async def wait_tokens(self, n: int) -> None:
        """Wait until at least n tokens of the answer were handed to the socket."""
        await self._changes.until(lambda: self.tokens_sent >= n)

    async def wait_ended(self) -> Ending:
        """Wait until the answer ended, and say how."""
        await self._changes.until(lambda: self.ending is not None)
        assert self.ending is not None
        return self.ending

    # What a behaviour asks of the body; anything may stand there, so nothing is taken on trust.

    @property
    def asks_stream(self) -> bool:
        """Whether the body says ``"stream": true``."""
        return isinstance(self.json, dict) and self.json.get("stream") is True

    @property
    def asks_usage(self) -> bool:
        """Whether the body says ``"stream_options": {"include_usage": true}``."""
        options = self.json.get("stream_options") if isinstance(self.json, dict) else None
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def most(self) -> int:
        """How many tokens the body allows the answer."""
        body = self.json if isinstance(self.json, dict) else {}
        names = ("max_completion_tokens", "max_tokens", "max_output_tokens")
        return min(
            (body[name] for name in names if type(body.get(name)) is int), default=sys.maxsize
        )

    @property
    def model(self) -> str:
        """The model asked for, or ``scripted``."""
        model = self.json.get("model") if isinstance(self.json, dict) else None
        return model if isinstance(model, str) else "scripted"

    def message_texts(self, role: str | None = None) -> list[str]:
        """The texts of the messages (of that role), text parts joined."""
        return [
            _text_of(message.get("content"))
            for message in self._messages()
            if role in (None, message.get("role"))
        ]

    def message_pictures(self, role: str | None = None) -> list[Picture]:
        """The pictures in the messages (of that role) that came as ``data:`` addresses."""
        return [
            picture
            for message in self._messages()
            if role in (None, message.get("role"))
            for picture in _pictures_of(message.get("content"))
        ]

    def _messages(self) -> Iterator[dict[str, Any]]:
        """The messages of a chat, or the input of a response, which may be one text."""
        body = self.json if isinstance(self.json, dict) else {}
        given = body.get("messages", body.get("input"))
        if isinstance(given, str):
            yield {"role": "user", "content": given}
        for message in given if isinstance(given, list) else []:
            if isinstance(message, dict):
                yield message


def _pictures_of(content: Any) -> Iterator[Picture]:
    for part in content if isinstance(content, list) else []:
        image = part.get("image_url") if isinstance(part, dict) else None
        address = image.get("url") if isinstance(image, dict) else image
        found = _DATA.fullmatch(address) if isinstance(address, str) else None
        if found is not None:
            yield Picture(found[1], base64.b64decode(found[2], validate=True))


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in parts if isinstance(text, str))
    return ""
