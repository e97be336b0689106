"""The client: ask, attach, stop; the connection may break, the answer does not.

Source: PROTOCOL.md. An answer is a stream on the server; this client reads it over as many
connections as it takes and gives every event exactly once, in order. It reads Server-Sent Events,
or a WebSocket where answers are interrupted; where something on the way holds these back, it polls.
"""

from __future__ import annotations

import asyncio
import io
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
from fairlead.client.attachments import attached
from fairlead.client.credential import OVER, ApiKey, Credential
from fairlead.client.messages import event_of, polled_of
from fairlead.client.path import Path, Transport
from fairlead.client.place import Place
from fairlead.client.problems import (
    LONGEST_RETRY_AFTER,
    Unreachable,
    bounded_body,
    error_of,
    not_understood,
)
from fairlead.client.reading import Reading
from fairlead.client.websocket import Broken, NobodyThere, NoWebSocket, Sockets
from fairlead.errors import BadRequest, FairleadError, Unauthenticated
from fairlead.framing.event_stream import Frame, Parser

#: The server sends something at least every 30 s; after twice that the connection is dead.
SILENCE = 60.0
CONNECT_TIMEOUT = 10.0
#: A new answer's first event comes at once: seconds until the path is taken to hold it back. Longer
#: than a connection may take, so that the two are told apart.
PATIENCE = 15.0
#: Seconds that a poll waits for something to come.
POLL_WAIT = 25
#: Tries in a row without a single byte of an answer, before giving up.
MAX_FAILURES = 8
_MAX_ANSWER = 64 * 1024 * 1024
_MAX_EVENT = 16 * 1024 * 1024
_BODY_AT_ONCE = 64 * 1024
_NOBODY_THERE = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    NobodyThere,
)
#: Connections in a row that stalled after their beginning, or ended before it, until the path is
#: taken to let nothing through that way.
_STALLS = 2
_FRUITLESS = 2


class Client:
    """Talks to one server. An asynchronous context manager: leaving it closes its connections.

    ``base_url``: where the server is, with its path prefix if it has one. ``api_key`` is sent as a
    bearer credential; a function (it may be ``async``) is asked for it whenever a connection is
    made, and once more when the server says that it has expired. ``on_reconnect`` is told whenever
    a connection broke. ``silence``: seconds without a byte after which a connection counts as dead;
    ``patience``: the same for the first byte of a new answer, which comes at once.

    ``transport``: ``sse``, ``websocket``, ``poll`` (long polling), or ``auto``, which begins with
    Server-Sent Events (``interruptible``: with WebSocket), goes on to the next where nothing comes
    through, and tries again later. Over WebSocket all answers share one connection.

    ``random`` (from [0, 1)) and ``sleep`` are for the waits between tries, ``clock`` (seconds) is
    for those between tries of what did not get through.

    Every verb raises the errors of :mod:`fairlead.errors` that the server states, and
    :class:`~fairlead.client.problems.Unreachable` when nothing (more) answers.
    """

    def __init__(
        self,
        base_url: str,
        api_key: ApiKey | None = None,
        *,
        on_reconnect: Callable[[Reconnecting], None] | None = None,
        silence: float = SILENCE,
        patience: float = PATIENCE,
        transport: Literal["auto", "sse", "websocket", "poll"] = "auto",
        interruptible: bool = False,
        random: Callable[[], float] = random_module.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = _checked(base_url)
        self._headers = {"User-Agent": f"fairlead/{__version__}"}
        self._credential = Credential(api_key)
        self._on_reconnect = on_reconnect
        self._timeout = _timeout(silence)
        self._silence = silence
        self._patience = min(patience, silence)
        ladder: tuple[Transport, ...] = ("sse", "poll")
        if transport != "auto":
            ladder = (transport,)
        elif interruptible:
            ladder = ("websocket", "sse", "poll")
        self._path = Path(ladder, clock)
        self._sockets = Sockets(self.base_url, self._credential, silence, self._patience)
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
        await self._sockets.close()
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    # -- verbs

    def ask(self, message: str = "", *, key: str | None = None, **fields: Any) -> Reading:
        """Ask, and follow the answer to its end: ``done`` or ``error`` is the last event.

        ``fields`` are further ones of ``POST /chat/stream``: ``conversation_id``, ``model``,
        ``system``, ``parent``, ``regenerate``, ``parameters``, ``orphan_window``, ``background``;
        None leaves one out. ``attachments`` are paths, bytes or
        :class:`~fairlead.events.attachment.Attachment`: see
        :func:`~fairlead.client.attachments.attached`. ``key`` is the idempotency key, by default a
        random one, so that a question whose connection broke is never asked twice. Closing the
        generator detaches; it does not stop the answer.
        """
        return self._reading(_place(message, key, fields))

    async def start(self, message: str = "", *, key: str | None = None, **fields: Any) -> str:
        """Ask as :meth:`ask` does, without following: the stream's id, for :meth:`attach`.

        Unless ``background`` is true, an answer that nobody attaches to ends after its orphan
        window.
        """
        place = _place(message, key, fields)
        events = self._follow(place)
        try:
            await anext(events, None)
        finally:
            await events.aclose()
        if not place.stream:
            raise not_understood("no stream's id")
        return place.stream

    def attach(self, stream: str, after: str | None = None) -> Reading:
        """Follow an answer from after a position (None: from its start) to its end; nothing if it
        ended there. ``after`` may be an event's position or its whole id."""
        _check_names(stream=stream, after=after or "0")
        place = Place()
        place.stream = stream
        if after:
            place.last_id = f"{stream}.{after.removeprefix(stream + '.')}"
        return self._reading(place)

    async def interrupt(
        self,
        stream: str,
        message: str = "",
        *,
        shown: str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Reading:
        """Stop an answer and ask on, in one act: the next answer, which has begun.

        ``shown`` is the position (or the id of the event) up to which the person has seen the
        answer; None: nothing of it. The next prompt contains the answer's text only so far. ``key``
        and ``fields`` are those of :meth:`ask`. However often the connection breaks meanwhile, it
        is done once.

        """
        _check_names(stream=stream, shown=shown or "0")
        place = _place(message, key, fields)
        place.supersedes = stream
        place.shown = (shown or "").removeprefix(stream + ".")
        reading = self._reading(place)
        await reading.begin()
        return reading

    async def refresh(self, api_key: ApiKey | None = None) -> None:
        """Show another credential from now on; None asks the function that gives it once more.

        Answers that are read over WebSocket go on: their connection is told at once. Those that are
        read otherwise show it with their next connection. Raises
        :class:`~fairlead.errors.Unauthenticated` where the server refuses it.
        """
        if api_key is not None:
            self._credential.change(api_key)
        await self._sockets.authenticate(await self._credential.now())

    async def stop(self, stream: str) -> Answer:
        """Stop an answer; what was written stays. Idempotent."""
        return await self._document("POST", f"/streams/{quote(stream, safe='')}/stop")

    async def answer(self, stream: str) -> Answer:
        """The answer as a whole, so far."""
        return await self._document("GET", f"/streams/{quote(stream, safe='')}")

    # -- one answer over many connections

    def _reading(self, place: Place) -> Reading:
        return Reading(self._follow(place), place, self)

    async def _follow(self, place: Place) -> AsyncGenerator[Event, None]:
        while True:
            place.begin(self._path.choose())
            stalled = fruitless = foreign = False
            try:
                async with aclosing(self._connection(place)) as events:
                    async for event in events:
                        if self._to_renew(place, event):
                            break
                        yield event
                        if event.ends:
                            return
                if place.over:
                    return
            except (aiohttp.ClientError, NobodyThere, Broken, TimeoutError) as error:
                if not place.reached and isinstance(error, _NOBODY_THERE):
                    # Waiting will hardly help, saying so does.
                    raise self._unreachable(error) from None
                place.failed(_reason(error), None)
                stalled = isinstance(error, TimeoutError)
                fruitless = not (place.heard or isinstance(error, _NOBODY_THERE))
            except NoWebSocket as error:
                foreign = self._path.has_next(place.transport)
                if not (foreign or error.retryable):
                    raise error.error from None
                place.failed(str(error), error.error.retry_after)
            except Unauthenticated:
                if place.renewed or not self._credential.renews:
                    raise
                place.renewed = place.at_once = True
            self._judge(place, stalled, fruitless, foreign)
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

    def _judge(self, place: Place, stalled: bool, fruitless: bool, foreign: bool) -> None:
        """Learn from a connection that has ended, or could not be made, what the path lets
        through: nothing where it ``stalled``, or ended ``fruitless`` several times in a row, or
        where something ``foreign`` answered."""
        place.stalls = place.stalls + 1 if stalled else 0
        place.fruitless = place.fruitless + 1 if fruitless else 0
        blocked = (
            foreign
            or (stalled and not place.heard)
            or place.stalls >= _STALLS
            or place.fruitless >= _FRUITLESS
        )
        if blocked and self._path.has_next(place.transport):
            self._path.blocks(place.transport)
            place.stalls = place.fruitless = 0
            place.at_once = place.at_once or foreign
        elif place.heard and not stalled:
            self._path.works(place.transport)

    def _to_renew(self, place: Place, event: Event) -> bool:
        """Whether the event says no more than that the credential is good no more, and there may be
        another one."""
        over = event.name == "error" and event.data.get("code") in OVER
        if not over or place.renewed or not self._credential.renews:
            return False
        place.renewed = place.at_once = True
        return True

    def _connection(self, place: Place) -> AsyncGenerator[Event, None]:
        """The events of one connection, until it ends."""
        if place.transport == "websocket":
            return self._sockets.read(place)
        return self._request(place)

    async def _request(self, place: Place) -> AsyncGenerator[Event, None]:
        """The events of one response."""
        async with self._open(place) as response:
            place.reached = True
            if response.status not in (200, 204):
                error, retryable = await error_of(response)
                if not retryable:
                    raise error
                place.failed(error.message, error.retry_after)
                return
            polls = place.transport == "poll"
            reading = self._read_poll if polls else self._read
            async with aclosing(reading(place, response)) as events:
                async for event in events:
                    yield event

    @asynccontextmanager
    async def _open(self, place: Place) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        polls = place.transport == "poll"
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        timeout = self._timeout
        if polls:
            headers = {"Accept": "application/json"}
            timeout = _timeout(POLL_WAIT + self._silence)
        elif place.last_id:
            headers["Last-Event-ID"] = place.last_id
        headers |= await self._credential.headers()
        if place.stream:
            path = f"/streams/{quote(place.stream, safe='')}"
            if polls:
                path += f"?wait={POLL_WAIT}"
                path += f"&after={quote(place.position, safe='')}" if place.position else ""
            request = self._session().get(
                self.base_url + path, headers=headers, allow_redirects=False, timeout=timeout
            )
        else:
            headers["Idempotency-Key"] = place.key
            headers["Content-Type"] = "application/json"
            path, question = "/chat/stream", place.question
            if place.supersedes:
                path = f"/streams/{quote(place.supersedes, safe='')}/interrupt"
                shown = {"shown": place.shown}
                question = msgspec.json.encode(msgspec.json.decode(question) | shown)
            request = self._session().post(
                self.base_url + path,
                data=_body(question),
                headers=headers,
                allow_redirects=False,
                timeout=timeout,
            )
        async with asyncio.timeout(self._first(place)):
            response = await request
        async with response:
            yield response

    def _first(self, place: Place) -> float:
        """Seconds until the first byte: after a position there may rightly be nothing for a while.
        A path that held everything back is given no more than a new answer needs: if it is to blame
        unjustly, that costs a poll."""
        if place.transport == "poll" and place.stream:
            return POLL_WAIT + self._silence
        if place.last_id and not self._path.suspects(place.transport):
            return self._silence
        return self._patience

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
        raise Broken("the connection ended")

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
        polled = polled_of(body)
        for message in polled.events:
            event = event_of(message, place.stream)
            place.last_id = event.id or place.last_id
            yield event
        place.over = polled.closed
        if polled.position:
            place.last_id = f"{place.stream}.{polled.position}"

    # -- plain requests

    async def _document(self, method: str, path: str) -> Answer:
        try:
            async with self._session().request(
                method,
                self.base_url + path,
                headers={"Accept": "application/json", **await self._credential.headers()},
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


def _place(message: str, key: str | None, fields: dict[str, Any]) -> Place:
    return Place(_question(message, fields), key or secrets.token_urlsafe(24))


def _check_names(**given: str) -> None:
    for name, text in given.items():
        if not (text.isascii() and text.isprintable() and text.strip()):
            raise BadRequest(f"{name!r} is not one that a server gave you")


def _question(message: str, fields: dict[str, Any]) -> bytes:
    given = {name: value for name, value in fields.items() if value is not None}
    if "attachments" in given:
        given["attachments"] = [attached(each) for each in given["attachments"]]
    return msgspec.json.encode({"message": message, **given})


def _body(question: bytes) -> bytes | io.BytesIO:
    # As a file a large one is written piece by piece.
    return question if len(question) <= _BODY_AT_ONCE else io.BytesIO(question)


def _document_of(body: bytes) -> Answer:
    try:
        return msgspec.json.decode(body, type=Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise not_understood("something other than an answer") from None


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
        case NobodyThere() | Broken():
            return str(error)
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
