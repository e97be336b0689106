"""A WebSocket to an application behind Fairlead: messages passed both ways, with identity, limits,
budgets, and the close codes of either side (RFC 6455, section 7.4)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import structlog
from starlette.websockets import WebSocket

from fairlead.engine.meter import Meter
from fairlead.errors import BudgetExhausted, Busy, Draining, FairleadError
from fairlead.policy.caller import Caller
from fairlead.policy.tokens import estimate_event
from fairlead.server.socket import foreign, refuse
from fairlead.server.system import System
from fairlead.server.tables.app import App
from fairlead.transports.websocket import INTERNAL, POLICY, RESTART

_log = structlog.get_logger("fairlead.server")

NORMAL, TOO_BIG, BAD_GATEWAY = 1000, 1009, 1014
#: Codes that say how a connection ended, and must not be sent (RFC 6455, section 7.4.1).
NO_STATUS, _UNSENDABLE = 1005, frozenset({1004, 1006, 1015})
#: Bytes of a close frame's reason (section 5.5).
_REASON = 123

Connect = Callable[[Caller], Awaitable[aiohttp.ClientWebSocketResponse]]


async def relay_socket(
    system: System, app: App, websocket: WebSocket, *, room: bool, connect: Connect
) -> None:
    """One WebSocket, from the handshake to the close. The application is asked first: what it
    refuses is refused, and the subprotocol is the one that it chose."""
    try:
        if error := foreign(websocket, system.config.cors_origins):
            raise error
        caller = await system.callers.of(websocket.scope)
        if system.connections.draining or system.engine.draining:
            raise Draining("the server is restarting", retry_after=2)
        if not room or len(system.connections) >= system.config.max_readers:
            raise Busy("as many connections are open as may be", retry_after=5)
        place = system.places.take(caller.consumer)
    except FairleadError as error:
        await refuse(websocket, error)
        return
    with place:
        await _pass(system, app, websocket, caller, connect)


async def _pass(
    system: System, app: App, websocket: WebSocket, caller: Caller, connect: Connect
) -> None:
    try:
        # Before the application is asked: a conversation that cannot be paid for is not begun.
        meter = await system.engine.draw(caller, app.name if app.metered else "")
    except FairleadError as error:
        await refuse(websocket, error)
        return
    there = None
    try:
        there = await connect(caller)
        await meter.asked(())
        await websocket.accept(there.protocol)
        tunnel = Tunnel(app, caller, meter, websocket, there, system.engine.sockets.exhausted)
        system.connections.add(tunnel)
        try:
            with system.engine.sockets.held(tunnel, "app", app.name):
                await tunnel.run()
        finally:
            system.connections.remove(tunnel)
    except FairleadError as error:
        if there is not None:
            raise
        await refuse(websocket, error)
    finally:
        if there is None:
            await meter.cancel()
        else:
            await there.close()
            await meter.close()


class Tunnel:
    """One client and its application. ``caller``: under whose authority. ``meter`` counts what
    either says; ``exhausted`` is told of the budget that ends it."""

    def __init__(
        self,
        app: App,
        caller: Caller,
        meter: Meter,
        client: WebSocket,
        application: aiohttp.ClientWebSocketResponse,
        exhausted: Callable[[str], None],
    ) -> None:
        self.caller = caller
        self._exhausted = exhausted
        self._app = app
        self._meter = meter
        self._paying = asyncio.Lock()
        self._client = client
        self._application = application
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._due = 0.0

    async def run(self) -> None:
        """Until either side, or the server, has ended it."""
        up = asyncio.create_task(self._up(), name="to the application")
        down = asyncio.create_task(self._down(), name="to the client")
        try:
            ways: list[asyncio.Future[Any]] = [up, down, self._over]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            results = await asyncio.gather(up, down, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                self._failed(result)
        code, reason = self._over.result() if self._over.done() else (BAD_GATEWAY, "")
        await asyncio.gather(
            self._application.close(code=code, message=short(reason)),
            self._close_client(code, reason),
        )

    def _failed(self, error: Exception) -> None:
        """A direction has ended by an error."""
        if isinstance(error, BudgetExhausted):
            self._exhausted(str(error.details["budget"]))
            again = f"again in {error.retry_after:.0f} s"
            self._end(POLICY, f"{error.code}: {error.details['budget']}, {again}")
            return
        if isinstance(error, FairleadError):
            self._end(INTERNAL, error.code)
        _log.warning("socket_cut", app=self._app.name, error=type(error).__name__)

    # -- asked by whoever oversees, by the vigil and by Connections

    @property
    def tokens(self) -> int:
        """What either has said."""
        return self._meter.output

    def stop(self) -> None:
        """An operator ends it."""
        self._end(POLICY, "stopped")

    def end(self, failure: FairleadError) -> None:
        """Its caller's authority has ended."""
        self._end(POLICY, failure.code)

    def tick(self) -> None:
        """Both sides' own pings tell whether they live."""

    def drain(self) -> None:
        """The server goes: the client is to come again."""
        self._end(RESTART, "restarting")

    def abort(self) -> None:
        """The grace is over."""
        self._end(RESTART, "restarting")

    # -- the two directions

    async def _up(self) -> None:
        """From the client to the application."""
        most = self._app.max_message_bytes
        while True:
            message = await self._client.receive()
            if message["type"] == "websocket.disconnect":
                self._end(message.get("code") or NO_STATUS, message.get("reason") or "")
                return
            text: str | None = message.get("text")
            data: bytes = message.get("bytes") or b""
            size = len(data) if text is None else len(text.encode())
            if size > most:
                self._end(TOO_BIG, f"a message must have at most {most} bytes")
                return
            await self._pace()
            await self._pay(data if text is None else text)
            with contextlib.suppress(ConnectionError):  # the other direction learns why
                await (
                    self._application.send_bytes(data)
                    if text is None
                    else self._application.send_str(text)
                )

    async def _down(self) -> None:
        """From the application to the client."""
        while True:
            message = await self._application.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    await self._pay(message.data)
                    await self._client.send_text(message.data)
                case aiohttp.WSMsgType.BINARY:
                    await self._pay(message.data)
                    await self._client.send_bytes(message.data)
                case aiohttp.WSMsgType.CLOSE:
                    self._end(message.data or NO_STATUS, message.extra or "")
                    return
                case _:
                    code = self._application.close_code
                    too_big = code == TOO_BIG
                    self._end(TOO_BIG if too_big else BAD_GATEWAY, "the application is gone")
                    return

    async def _pay(self, said: str | bytes) -> None:
        """Count a message before it is passed on; one of bytes is one token. Raises
        :class:`~fairlead.errors.BudgetExhausted`."""
        meter = self._meter
        tokens = estimate_event(said.encode()) if isinstance(said, str) else 1
        if waiting := meter.count(tokens):
            # One at a time: what either side waits for is asked for once.
            async with self._paying:
                await meter.room(waiting)

    async def _pace(self) -> None:
        """A client that sends too fast is read more slowly; a second's worth may come at once."""
        rate = self._app.max_messages_per_second
        if rate:
            now = self._loop.time()
            self._due = max(self._due, now) + 1 / rate
            if (ahead := self._due - now - max(1.0, 1 / rate)) > 0:
                await asyncio.sleep(ahead)

    def _end(self, code: int, reason: str) -> None:
        if not self._over.done():
            self._over.set_result((sendable(code), reason))

    async def _close_client(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError, OSError):  # it has closed by itself
            await self._client.close(code, short(reason).decode())


def sendable(code: int) -> int:
    """A close code as it may be sent on: one that only says that none was sent, or that the
    connection broke, stands for that."""
    if code == NO_STATUS:
        return NORMAL
    if code in _UNSENDABLE or not 1000 <= code < 5000:
        return BAD_GATEWAY
    return code


def short(reason: str) -> bytes:
    """A reason, cut to what a close frame holds, at a whole character."""
    return reason.encode()[:_REASON].decode(errors="ignore").encode()
