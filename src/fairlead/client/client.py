"""The client: ask, attach, stop; the connection may break, the answer does not.

Source: PROTOCOL.md. An answer is a stream on the server; this client reads it over as many
connections as it takes and gives every event exactly once, in order. It reads Server-Sent Events;
where something on the way holds them back, it polls.
"""

from __future__ import annotations

import asyncio
import os
import random as random_module
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from fairlead import __version__
from fairlead.client.answers import Answer, Event, Reconnecting
from fairlead.client.place import Place
from fairlead.client.problems import (
    LONGEST_RETRY_AFTER,
    Unreachable,
    bounded_body,
    error_of,
    not_understood,
)
from fairlead.errors import BadRequest, FairleadError
from fairlead.framing.event_stream import Frame, Parser

#: The server sends something at least every 30 s; after twice that the connection is dead.
SILENCE = 60.0
CONNECT_TIMEOUT = 10.0
#: A new answer's first event comes at once: seconds until the path is taken to hold it back. Longer
#: than a connection may take, so that the two are told apart.
PATIENCE = 15.0
#: Seconds that a poll waits for something to come.
POLL_WAIT = 25
#: Seconds until a path that held events back is tried again.
SECOND_CHANCE = 300.0
#: Tries in a row without a single byte of an answer, before giving up.
MAX_FAILURES = 8
_MAX_ANSWER = 64 * 1024 * 1024
_MAX_EVENT = 16 * 1024 * 1024
_NOBODY_THERE = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class Client:
    """Talks to one server. An asynchronous context manager: leaving it closes its connections.

    ``base_url``: where the server is, with its path prefix if it has one. ``api_key`` is sent as a
    bearer credential. ``on_reconnect`` is told whenever a connection broke. ``silence``: seconds
    without a byte after which a connection counts as dead; ``patience``: the same for the first
    byte of a new answer, which comes at once. ``transport``: ``sse``, ``poll`` (long polling), or
    ``auto``, which begins with the first and takes the other where nothing at all comes through.
    ``random`` (from [0, 1)) and ``sleep`` are for the waits between tries.

    Every verb raises the errors of :mod:`fairlead.errors` that the server states, and
    :class:`~fairlead.client.problems.Unreachable` when nothing (more) answers.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        on_reconnect: Callable[[Reconnecting], None] | None = None,
        silence: float = SILENCE,
        patience: float = PATIENCE,
        transport: Literal["auto", "sse", "poll"] = "auto",
        random: Callable[[], float] = random_module.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.base_url = _checked(base_url)
        self._headers = {"User-Agent": f"fairlead/{__version__}"}
        if api_key:
            if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
                raise BadRequest(
                    "the API key holds a blank, a line end or a character beyond ASCII"
                )
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._on_reconnect = on_reconnect
        self._timeout = _timeout(silence)
        self._silence = silence
        self._patience = min(patience, silence)
        self._transport = transport
        self._held_back = -SECOND_CHANCE
        self._random = random
        self._sleep = sleep
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Answers go on without us. Idempotent."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    # -- verbs

    def ask(
        self, message: str = "", *, key: str | None = None, **fields: Any
    ) -> AsyncGenerator[Event, None]:
        """Ask, and follow the answer to its end: ``done`` or ``error`` is the last event.

        ``fields`` are further ones of ``POST /chat/stream``: ``conversation_id``, ``model``,
        ``system``, ``parent``, ``regenerate``, ``parameters``, ``orphan_window``, ``background``;
        None leaves one out. ``key`` is the idempotency key, by default a random one, so that a
        question whose connection broke is never asked twice. Closing the generator detaches; it
        does not stop the answer.
        """
        return self._follow(Place(_question(message, fields), key or secrets.token_urlsafe(24)))

    async def start(self, message: str = "", *, key: str | None = None, **fields: Any) -> str:
        """Ask as :meth:`ask` does, without following: the stream's id, for :meth:`attach`.

        Unless ``background`` is true, an answer that nobody attaches to ends after its orphan
        window.
        """
        place = Place(_question(message, fields), key or secrets.token_urlsafe(24))
        events = self._follow(place)
        try:
            await anext(events, None)
        finally:
            await events.aclose()
        if not place.stream:
            raise not_understood("no stream's id")
        return place.stream

    def attach(self, stream: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """Follow an answer from after a position (None: from its start) to its end; nothing if it
        ended there. ``after`` may be an event's position or its whole id."""
        for name, text in (("stream", stream), ("after", after or "0")):
            if not (text.isascii() and text.isprintable() and text.strip()):
                raise BadRequest(f"{name!r} is not one that a server gave you")
        place = Place()
        place.stream = stream
        if after:
            place.last_id = f"{stream}.{after.removeprefix(stream + '.')}"
        return self._follow(place)

    async def stop(self, stream: str) -> Answer:
        """Stop an answer; what was written stays. Idempotent."""
        return await self._document("POST", f"/streams/{quote(stream, safe='')}/stop")

    async def answer(self, stream: str) -> Answer:
        """The answer as a whole, so far."""
        return await self._document("GET", f"/streams/{quote(stream, safe='')}")

    # -- one answer over many connections

    async def _follow(self, place: Place) -> AsyncGenerator[Event, None]:
        while True:
            place.polling = self._polls(place)
            try:
                async with self._open(place) as response:
                    place.reached = True
                    if response.status in (200, 204):
                        reading = self._read_poll if place.polling else self._read
                        async with aclosing(reading(place, response)) as events:
                            async for event in events:
                                yield event
                                if event.ends:
                                    return
                        if place.over:
                            return
                    else:
                        error, retryable = await error_of(response)
                        if not retryable:
                            raise error
                        place.failed(error.message, error.retry_after)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not place.reached and isinstance(error, _NOBODY_THERE):
                    # Waiting will hardly help, saying so does.
                    raise self._unreachable(error) from None
                place.failed(_reason(error), None)
                if isinstance(error, TimeoutError) and not (place.heard or place.polling):
                    place.held_back = True
                    self._held_back = time.monotonic()
            if place.failures > MAX_FAILURES:
                raise Unreachable(
                    f"gave up after {MAX_FAILURES} tries: {place.reason}",
                    retry_after=place.retry_after,
                )
            if place.at_once:
                continue
            wait = place.wait(self._random())
            if self._on_reconnect is not None:
                self._on_reconnect(Reconnecting(place.reason, wait))
            await self._sleep(wait)

    def _polls(self, place: Place) -> bool:
        """Whether the next connection is a poll."""
        if self._transport != "auto":
            return self._transport == "poll"
        return place.held_back or time.monotonic() - self._held_back < SECOND_CHANCE

    @asynccontextmanager
    async def _open(self, place: Place) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        place.begin()
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        timeout = self._timeout
        if place.polling:
            headers = {"Accept": "application/json"}
            timeout = _timeout(POLL_WAIT + self._silence)
        elif place.last_id:
            headers["Last-Event-ID"] = place.last_id
        if place.stream:
            path = f"/streams/{quote(place.stream, safe='')}"
            if place.polling:
                path += f"?wait={POLL_WAIT}"
                path += f"&after={quote(place.position, safe='')}" if place.position else ""
            request = self._session().get(
                self.base_url + path, headers=headers, allow_redirects=False, timeout=timeout
            )
        else:
            headers["Idempotency-Key"] = place.key
            headers["Content-Type"] = "application/json"
            request = self._session().post(
                f"{self.base_url}/chat/stream",
                data=place.question,
                headers=headers,
                allow_redirects=False,
                timeout=timeout,
            )
        async with asyncio.timeout(self._first(place)):
            response = await request
        async with response:
            yield response

    def _first(self, place: Place) -> float:
        """Seconds until the first byte: after a position there may rightly be nothing for a
        while."""
        if place.polling:
            return POLL_WAIT + self._silence
        return self._silence if place.last_id else self._patience

    async def _read(
        self, place: Place, response: aiohttp.ClientResponse
    ) -> AsyncGenerator[Event, None]:
        """The events of one connection, until its body ends."""
        if response.status == 204:
            place.over = True
            return
        if response.content_type != "text/event-stream":
            raise not_understood("something other than an event stream")
        place.stream = place.stream or response.headers.get("Fairlead-Stream", "")
        parser = Parser(max_event_bytes=_MAX_EVENT)
        async with asyncio.timeout(self._first(place)):
            data = await response.content.readany()
        while data:
            place.went_on()
            for frame in parser.feed(data):
                if parser.retry is not None:
                    place.retry = min(parser.retry / 1000, LONGEST_RETRY_AFTER)
                event = _event(frame)
                place.last_id = event.id or place.last_id
                place.stream = place.stream or event.stream
                if event.name == "drain":
                    place.drained(event.data.get("retry_after"))
                    return
                yield event
            data = await response.content.readany()
        parser.feed(b"")  # raises what a line too long left behind
        place.failed("the connection ended", None)

    async def _read_poll(
        self, place: Place, response: aiohttp.ClientResponse
    ) -> AsyncGenerator[Event, None]:
        """The events of one poll; or the stream's id, of a start."""
        if response.status == 204:
            if place.lasted < POLL_WAIT / 2:  # a server that is restarting does not wait
                place.drained(None)
            else:
                place.went_on()
                place.at_once = True
            return
        body = await bounded_body(response, _MAX_ANSWER, place.went_on)
        place.at_once = True
        if not place.stream:
            place.stream = _document_of(body).stream
            return
        try:
            polled = msgspec.json.decode(body, type=_Polled)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise not_understood("something other than a poll's answer") from None
        for message in polled.events:
            if message.position:
                place.last_id = f"{place.stream}.{message.position}"
            yield Event(message.type, message.data, place.last_id if message.position else "")
        place.over = polled.closed
        if polled.position:
            place.last_id = f"{place.stream}.{polled.position}"

    # -- plain requests

    async def _document(self, method: str, path: str) -> Answer:
        try:
            async with self._session().request(
                method,
                self.base_url + path,
                headers={"Accept": "application/json"},
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    error, _ = await error_of(response)
                    raise error
                body = await bounded_body(response, _MAX_ANSWER)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from None
        return _document_of(body)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                headers=self._headers,
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._opened

    def _unreachable(self, error: Exception) -> FairleadError:
        return Unreachable(f"no answer from {self.base_url}: {_reason(error)}")


def _question(message: str, fields: dict[str, Any]) -> bytes:
    given = {name: value for name, value in fields.items() if value is not None}
    return msgspec.json.encode({"message": message, **given})


def _document_of(body: bytes) -> Answer:
    try:
        return msgspec.json.decode(body, type=Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise not_understood("something other than an answer") from None


class _Message(msgspec.Struct):
    """PROTOCOL.md, section 4."""

    type: str
    data: dict[str, Any]
    position: str = ""


class _Polled(msgspec.Struct):
    """PROTOCOL.md, section 4: the answer to a long poll."""

    events: list[_Message]
    position: str = ""
    closed: bool = False


def _timeout(silence: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=silence)


def _event(frame: Frame) -> Event:
    try:
        data = msgspec.json.decode(frame.data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise not_understood("an event that is no JSON object") from None
    return Event(frame.event or "message", data, frame.id or "")


def _reason(error: Exception) -> str:
    # aiohttp's own words hold addresses and class names; these are for people.
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its TLS certificate was not accepted"
        case aiohttp.ClientConnectorDNSError():
            return "its host name is not known"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return os.strerror(number) if number else "no connection"
        case TimeoutError():
            return "nothing came for too long"
        case aiohttp.InvalidURL():
            return "the address is not valid"
        case _:
            return "the connection broke"


def _checked(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or "@" in parts.netloc or parts.query or parts.fragment:
        raise BadRequest(
            "the server's address must look like http://127.0.0.1:8000, without user, password "
            "or query"
        )
    return base_url.rstrip("/")
