"""Where a connection's bytes go: straight to the socket's transport, or through ASGI ``send``.

A sink is written to without waiting. It is ``paused`` while the other side does not read; then
nothing may be written until its user is told that it can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from fairlead.transports.direct import EXTENSION, Direct

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Sink(Protocol):
    """Takes the body of one streaming response."""

    def listen(self, on_writable: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Call ``on_writable`` when a pause is over, ``on_lost`` once when the connection is
        gone."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the other side is behind."""
        ...

    def write(self, data: bytes) -> None:
        """Write now. Only while not paused."""
        ...

    def abort(self) -> None:
        """Cut the connection at once."""
        ...

    async def close(self, *, complete: bool, last: bytes = b"") -> None:
        """Stop watching the connection; with ``complete`` end the body properly, after ``last``."""
        ...


def open_sink(scope: Scope, receive: Receive, send: Send) -> Sink:
    """The best sink that the server offers for this request, whose response has been started."""
    direct = scope.get("extensions", {}).get(EXTENSION)
    if isinstance(direct, Direct) and scope["method"] != "HEAD":
        direct.send = send
        return direct
    return AsgiSink(receive, send)


class AsgiSink:
    """Writes through ASGI ``send``, for servers that offer nothing better: one task per write, and
    one that waits for the disconnect."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._on_writable: Callable[[], None] = _nothing
        self._on_lost: Callable[[], None] = _nothing
        self._send = send
        self._writing: asyncio.Task[None] | None = None
        self._lost = False
        self._watch = asyncio.create_task(self._wait_disconnect(receive))

    def listen(self, on_writable: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._on_writable = on_writable
        self._on_lost = on_lost
        if self._lost:
            on_lost()

    @property
    def paused(self) -> bool:
        return self._writing is not None or self._lost

    def write(self, data: bytes) -> None:
        self._writing = asyncio.create_task(self._write(data))

    def abort(self) -> None:
        # ASGI cannot cut a connection; ending the application without ending the body does.
        if self._writing is not None:
            self._writing.cancel()
        self._lose()

    async def close(self, *, complete: bool, last: bytes = b"") -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        if complete:
            await self._send({"type": "http.response.body", "body": last, "more_body": False})

    async def _write(self, data: bytes) -> None:
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except OSError:
            self._writing = None
            self._lose()
            return
        self._writing = None
        if not self._lost:
            self._on_writable()

    async def _wait_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._lose()

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._on_lost()


def _nothing() -> None:
    pass
