"""Long polling: what follows a position, in one answer, as soon as there is anything.

It gets through where everything that streams is held back: each answer is an ordinary one, which
ends.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.requests import Request
from starlette.responses import Response

from fairlead.engine.engine import Engine
from fairlead.engine.reader import Reader
from fairlead.journal.log import position
from fairlead.transports.coding import Coding
from fairlead.transports.connections import Connections
from fairlead.transports.messages import MessageWire

#: About how many bytes an answer holds at most.
_ANSWER = 64 * 1024
#: Seconds after an answer within which the next poll is due: so long the poller counts as a reader.
NEXT_POLL = 30.0


class PollWire(MessageWire):
    """What one poll answers with."""

    transport = "poll"


class Poll:
    """One poll: a reader that stays until there is something to take."""

    def __init__(self, engine: Engine, reader: Reader[PollWire], connections: Connections) -> None:
        self._engine = engine
        self._reader = reader
        self._connections = connections
        self._woken = asyncio.Event()
        self._over = connections.draining

    async def answer(
        self, request: Request, wait: float, headers: dict[str, str], coding: Coding
    ) -> Response:
        """The response, within ``wait`` seconds. Detaches the reader, who is expected again."""
        self._connections.add(self)
        self._reader.notify = self._woken.set
        gone = asyncio.create_task(self._disconnected(request))
        try:
            messages = await self._take()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while not (messages or self._reader.ended or self._over):
                        await self._woken.wait()
                        self._woken.clear()
                        messages = await self._take()
            return self._response(messages, headers, coding)
        finally:
            gone.cancel()
            self._reader.notify = _nothing
            self._connections.remove(self)
            self._engine.detach(self._reader, due=NEXT_POLL)

    async def _take(self) -> list[bytes]:
        """The messages that are there now, merged where the reader is behind."""
        found: list[bytes] = []
        size = 0
        while size < _ANSWER:
            data = self._reader.take(_ANSWER - size)
            if data:
                size += len(data)
                found += data.split(b"\n")[:-1]
            elif self._reader.cold:
                await self._reader.fill()
            else:
                break
        return found

    def _response(self, messages: list[bytes], headers: dict[str, str], coding: Coding) -> Response:
        reader = self._reader
        if reader.failure is not None:
            raise reader.failure
        head = reader.live.head
        standing = position(head, reader.offset) if reader.offset else None
        text = str(standing) if standing else ""
        headers = {**headers, "cache-control": "no-store", "fairlead-position": text}
        if not messages and not reader.ended:
            return Response(status_code=204, headers=headers)
        body = b'{"stream":"%b","events":[%b],"position":"%b","closed":%b}' % (
            reader.live.stream.encode(),
            b",".join(messages),
            text.encode(),
            b"true" if reader.ended else b"false",
        )
        body, coded = coding.whole(body)
        return Response(body, headers=headers | coded | {"content-type": "application/json"})

    async def _disconnected(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._end()

    def _end(self) -> None:
        self._over = True
        self._woken.set()

    # -- asked by Connections

    def tick(self) -> None:
        """A poll needs no sign of life: it ends by itself."""

    def drain(self) -> None:
        self._end()

    def abort(self) -> None:
        self._end()


def _nothing() -> None:
    pass
