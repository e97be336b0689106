"""WebSocket: one connection, shared by the answers that are read over it (PROTOCOL.md, section 9).

What comes is always taken from the connection at once, so that pings are answered however slowly a
program reads. For each answer only so much is kept: one that is read more slowly is detached, and
attached to again where its reader stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
)
from websockets.typing import Subprotocol

from fairlead import __version__
from fairlead.client.answers import Event
from fairlead.client.credential import OVER, Credential
from fairlead.client.messages import Message, event_of, message_of
from fairlead.client.place import Place
from fairlead.client.problems import not_understood, reason_of, refusal, stated
from fairlead.errors import FairleadError, TooLarge, Unauthenticated
from fairlead.events.attachment import Attachment

#: Streams that a server lets one socket read at once.
MAX_STREAMS = 100
#: Bytes that wait for one answer's reader.
MAX_WAITING = 1024 * 1024
#: The longest message that is taken.
MAX_MESSAGE = 16 * 1024 * 1024
#: Seconds that a socket over which nothing is read is kept.
IDLE = 30.0
#: Seconds that a proper end may take.
_CLOSE = 2.0
_PROTOCOL = Subprotocol("fairlead.v1")
_LAST = frozenset({"done", "error", "drain"})

# RFC 6455, section 7.4.1, and the IANA registry.
_POLICY = 1008
_TOO_BIG = 1009
_INTERNAL = 1011
_RESTART = 1012
_OVERLOAD = 1013

# The library logs headers when it debugs: they hold keys.
_quiet = logging.getLogger("fairlead.client.websocket")
_quiet.setLevel(logging.WARNING)


class NoWebSocket(Exception):
    """Something on the path answered the handshake with something else: ``error`` says what.
    ``retryable``: the same may succeed later."""

    def __init__(self, error: FairleadError, retryable: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.retryable = retryable


class NobodyThere(Exception):
    """No connection could be made: why, for people."""


class Broken(Exception):
    """The connection ended: how, for people."""


class _Ending(NamedTuple):
    """Why a line ends. ``error`` is raised in its reader. ``at_once``: another may begin without a
    wait. ``drained``: the server asks to come back."""

    reason: str = "the connection broke"
    retry_after: float | None = None
    error: Exception | None = None
    at_once: bool = False
    drained: bool = False


class Line:
    """One reader's end of a socket: what comes of its stream, up to :data:`MAX_WAITING`.

    ``live``: the server has answered the request, so that what comes of the stream is for this
    reader. ``closed``: nothing follows its position. ``left``: nobody reads it any more.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.live = False
        self.closed = False
        self.left = False
        self.ending: _Ending | None = None
        self._waiting: deque[tuple[Message, int]] = deque()
        self._size = 0
        self._news = asyncio.Event()

    def begin(self, closed: bool) -> None:
        """The server has answered."""
        self.live = True
        self.closed = closed
        self._news.set()

    def put(self, message: Message, size: int) -> bool:
        """Keep a message of ``size`` bytes for the reader; False if it is too far behind."""
        if self._waiting and self._size + size > MAX_WAITING:
            return False
        self._waiting.append((message, size))
        self._size += size
        self._news.set()
        return True

    def end(self, ending: _Ending) -> None:
        """Nothing more will come here; what waits is still to be read."""
        if self.ending is None:
            self.ending = ending
            self._news.set()

    async def answered(self) -> None:
        """Wait until the request was answered, or the line has ended."""
        while not self.live and self.ending is None:
            self._news.clear()
            await self._news.wait()

    async def next(self) -> Message | None:
        """What comes next; None when the line has ended."""
        while not self._waiting:
            if self.ending is not None:
                return None
            self._news.clear()
            await self._news.wait()
        message, size = self._waiting.popleft()
        self._size -= size
        return message


class Socket:
    """An open connection and its lines. ``open``: new ones may begin."""

    def __init__(self, connection: ClientConnection) -> None:
        self.open = True
        self._connection = connection
        self._lines: dict[str, Line] = {}
        self._asked: dict[str, Line | asyncio.Future[Message]] = {}
        self._requests = 0
        self._refusal: FairleadError | None = None
        self._failure: FairleadError | None = None
        self._idle: asyncio.TimerHandle | None = None
        #: What is to be sent, in its order; None asks to close a socket that is idle.
        self._queue: asyncio.Queue[dict[str, Any] | bytes | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())
        self._writing = asyncio.create_task(self._write())

    def takes(self, stream: str) -> bool:
        """Whether a line to the stream may begin here. A socket reads each stream once."""
        streams = len(self._lines) + len(self._asked)
        return self.open and streams < MAX_STREAMS and stream not in self._lines

    # -- what is asked

    def begin(self, place: Place) -> Line:
        """Ask for what follows the place."""
        line = Line(place.stream)
        if place.stream:
            self._lines[place.stream] = line
            request: dict[str, Any] = {"type": "attach", "stream": place.stream}
            if place.position:
                request["after"] = place.position
        else:
            request = {**msgspec.json.decode(place.question), "type": "chat", "key": place.key}
            if place.supersedes:
                request["type"] = "interrupt"
                request["stream"] = place.supersedes
                request["shown"] = place.shown
            if "attachments" in request:
                given = msgspec.convert(request["attachments"], list[Attachment])
                request["attachments"] = [self._upload(each, line) for each in given]
        self._ask(request, line)
        if self._reading.done():
            line.end(self._ending(asked=True))
        return line

    def _upload(self, attachment: Attachment, line: Line) -> str:
        """Send an attachment ahead of its question; the id that names it. Texts may not be as large
        as bytes."""
        self._requests += 1
        id = str(self._requests)
        self._asked[id] = line  # which hears of what is wrong with it
        data = {"content_type": attachment.type, "name": attachment.name}
        head = msgspec.json.encode({"type": "attachment", "id": id, "data": data})
        self._queue.put_nowait(head + b"\n" + attachment.data)
        return id

    def leave(self, line: Line) -> None:
        """The line is read no more. The answer goes on."""
        line.left = True
        if self._lines.get(line.stream) is line:
            del self._lines[line.stream]
            self._queue.put_nowait({"type": "detach", "stream": line.stream})
        self._rest()

    async def authenticate(self, key: str) -> None:
        """Another credential for all that is read here. Raises what the server has against it; a
        connection that breaks meanwhile is made anew with it anyway."""
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._ask({"type": "authenticate", "token": key}, answer)
        with contextlib.suppress(ConnectionError):
            message = await answer
            if message.type == "error":
                raise stated(message.data)[0]

    def _ask(self, request: dict[str, Any], asked: Line | asyncio.Future[Message]) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._requests += 1
        id = str(self._requests)
        self._asked[id] = asked
        self._queue.put_nowait({**request, "id": id})

    # -- what comes

    async def _read(self) -> None:
        try:
            async for data in self._connection:
                self._take(message_of(data), len(data))
        except ConnectionClosed:
            pass
        except FairleadError as error:
            self._failure = error
            self._connection.transport.abort()
        finally:
            self.open = False
            self._writing.cancel()
            if self._idle is not None:
                self._idle.cancel()
            for line in self._lines.values():
                line.end(self._ending(asked=not line.live))
            for asked in self._asked.values():
                if isinstance(asked, Line):
                    asked.end(self._ending(asked=True))
                elif not asked.done():
                    asked.set_exception(ConnectionError())

    def _take(self, message: Message, size: int) -> None:
        asked = self._asked.pop(message.id, None) if message.id else None
        if asked is not None:
            self._answered(asked, message)
        elif line := self._lines.get(message.stream):
            if not line.live:
                return  # said to one who read the stream here before
            if message.type in _LAST:
                del self._lines[message.stream]
            elif message.type == "detached":
                return
            if not line.put(message, size):
                line.end(_Ending(at_once=True))
                self.leave(line)
            self._rest()
        if message.type == "error" and message.data.get("code") in OVER:
            if asked is None:
                # The server closes a socket whose caller it does not know (any more).
                self._refusal = stated(message.data)[0]
                self.open = False

    def _answered(self, asked: Line | asyncio.Future[Message], message: Message) -> None:
        if isinstance(asked, asyncio.Future):
            if not asked.done():
                asked.set_result(message)
            return
        line = asked
        if message.type == "uploaded":
            return
        if message.type == "error":
            error, retryable = stated(message.data)
            self._drop(line)
            line.end(
                _Ending(error.message, error.retry_after) if retryable else _Ending(error=error)
            )
        elif message.type == "attached":
            closed = message.data.get("closed") is True
            if closed:
                self._drop(line)
            line.begin(closed)
        elif message.type == "started" and message.stream:
            self._started(line, message.stream)
        else:
            self._drop(line)
            line.end(_Ending(error=not_understood("an answer that is none of its protocol")))
        self._rest()

    def _started(self, line: Line, stream: str) -> None:
        line.stream = stream
        rival = self._lines.pop(stream, None)
        if rival is not None:
            # The same key was used again while the answer is read here. The server moved its reader
            # to the start, for whichever of the two: each goes on where it stands, on a socket of
            # its own.
            rival.end(_Ending(at_once=True))
            line.end(_Ending(at_once=True))
        if rival is not None or line.left:
            self._queue.put_nowait({"type": "detach", "stream": stream})
            return
        self._lines[stream] = line
        line.begin(closed=False)

    def _drop(self, line: Line) -> None:
        if self._lines.get(line.stream) is line:
            del self._lines[line.stream]

    def _ending(self, *, asked: bool) -> _Ending:
        if self._failure is not None:
            return _Ending(error=self._failure)
        code = self._connection.close_code
        if code == _POLICY:
            why = self._connection.close_reason or "the server refused the credential"
            return _Ending(error=self._refusal or Unauthenticated(why))
        if code == _TOO_BIG and asked:
            return _Ending(error=TooLarge("the server takes no message as long as this one"))
        if code == _RESTART:
            return _Ending(drained=True)
        if code == _OVERLOAD:
            return _Ending("the server has too many connections")
        if code == _INTERNAL and self._connection.protocol.close_rcvd is None:
            return _Ending(error=TimeoutError())  # our own ping had no answer
        return _Ending(error=Broken("the connection ended"))

    # -- its own life

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                request = await self._queue.get()
                if isinstance(request, bytes):
                    await self._connection.send(request)
                elif request is not None:
                    await self._connection.send(msgspec.json.encode(request).decode())
                elif not (self._lines or self._asked):
                    self.open = False
                    await self._connection.close()
                    return

    def _rest(self) -> None:
        if self.open and self._idle is None and not (self._lines or self._asked):
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(IDLE, self._queue.put_nowait, None)

    def abort(self) -> None:
        """The connection is dead: end all lines."""
        self.open = False
        self._connection.transport.abort()

    async def close(self) -> None:
        """Close it properly."""
        self.open = False
        await self._connection.close()
        await asyncio.gather(self._reading, self._writing, return_exceptions=True)


class Sockets:
    """The sockets of one client: as many as it takes, which is one as a rule.

    ``base_url`` is the server's; ``silence``: seconds without a sign of life after which a socket
    is dead (it is pinged in time); ``patience``: seconds until a request has to be answered.
    """

    def __init__(
        self, base_url: str, credential: Credential, silence: float, patience: float
    ) -> None:
        self._url = "ws" + base_url[len("http") :] + "/ws"
        self._credential = credential
        self._silence = silence
        self._patience = patience
        self._open: list[Socket] = []
        self._opening: asyncio.Task[Socket] | None = None

    async def read(self, place: Place) -> AsyncGenerator[Event, None]:
        """The events of one line, until it ends: ``place`` then says what comes next.

        Raises :class:`TimeoutError` if nothing answered in time, :class:`NoWebSocket`,
        :class:`NobodyThere` and :class:`Broken`, and errors that the server states.
        """
        socket = await self._socket(place.stream)
        place.reached = True
        line = socket.begin(place)
        try:
            try:
                async with asyncio.timeout(self._patience):
                    await line.answered()
            except TimeoutError:
                socket.abort()
                raise
            place.stream = place.stream or line.stream
            if line.live:
                place.went_on()
            if line.closed:
                place.over = True
                return
            while (message := await line.next()) is not None:
                place.went_on()
                if message.type == "drain":
                    place.drained(message.data.get("retry_after"))
                    return
                event = event_of(message, place.stream)
                place.last_id = event.id or place.last_id
                yield event
            assert line.ending is not None
            _settle(place, line.ending)
        finally:
            socket.leave(line)

    async def authenticate(self, key: str) -> None:
        """Another credential for all that is read."""
        await asyncio.gather(*(socket.authenticate(key) for socket in self._open if socket.open))

    async def close(self) -> None:
        """Close all of them. Idempotent."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for socket in self._open:
            await socket.close()
        self._open.clear()

    async def _socket(self, stream: str) -> Socket:
        while True:
            self._open = [socket for socket in self._open if socket.open]
            for socket in self._open:
                if socket.takes(stream):
                    return socket
            if self._opening is None:
                self._opening = asyncio.create_task(self._connect())
                self._opening.add_done_callback(_look)
            # Whoever waits with us is not to suffer from our leaving.
            socket = await asyncio.shield(self._opening)
            if not socket.open:
                return socket  # it was closed at once: what begins there is told why

    async def _connect(self) -> Socket:
        try:
            headers = await self._credential.headers()
            connection = await _Connect(
                self._url,
                subprotocols=[_PROTOCOL],
                additional_headers=headers,
                user_agent_header=f"fairlead/{__version__}",
                # Compressed frames are made for each reader anew.
                compression=None,
                proxy=None,
                open_timeout=self._patience,
                ping_interval=self._silence / 2,
                ping_timeout=self._silence / 2,
                close_timeout=_CLOSE,
                max_size=MAX_MESSAGE,
                logger=_quiet,
            )
        except InvalidStatus as error:
            told = error.response
            made, retryable = refusal(
                told.status_code, told.reason_phrase, told.headers, bytes(told.body or b"")
            )
            raise NoWebSocket(made, retryable) from None
        except InvalidMessage:
            raise Broken("the connection broke") from None
        except InvalidHandshake:
            raise NoWebSocket(not_understood("something other than a WebSocket"), False) from None
        except ConnectionResetError:
            raise Broken("the connection broke") from None
        except TimeoutError:
            raise
        except OSError as error:
            raise NobodyThere(reason_of(error)) from None
        finally:
            self._opening = None
        socket = Socket(connection)
        self._open.append(socket)
        return socket


class _Connect(connect):
    """Follows no redirect: the credential is for this server alone."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _settle(place: Place, ending: _Ending) -> None:
    if ending.error is not None:
        raise ending.error
    if ending.at_once:
        place.at_once = True
    elif ending.drained:
        place.drained(ending.retry_after)
    else:
        place.failed(ending.reason, ending.retry_after)


def _look(task: asyncio.Task[Socket]) -> None:
    """Whoever waited for it has seen its error, if anybody still did."""
    if not task.cancelled():
        task.exception()
