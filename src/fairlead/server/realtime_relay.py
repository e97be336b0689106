"""A Realtime session that an upstream holds, audio included: its events passed on both ways as they
are, and what its responses use charged to the caller's budgets."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import structlog
from starlette.websockets import WebSocket

from fairlead.dialects.openai_realtime import error_event
from fairlead.engine.meter import Meter
from fairlead.errors import BudgetExhausted, FairleadError, UpstreamError
from fairlead.events.model import Usage
from fairlead.policy.caller import Caller
from fairlead.providers.openai_realtime import connected
from fairlead.server.relay_socket import BAD_GATEWAY, NO_STATUS, sendable, short
from fairlead.server.system import System
from fairlead.server.tables.upstream import Upstream
from fairlead.transports.websocket import POLICY, RESTART

_log = structlog.get_logger("fairlead.server")

#: As in :mod:`fairlead.server.realtime`.
_OVER = 1001
#: Responses that may be asked for before the upstream has begun them.
_MOST = 16


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Used(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _Details | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    usage: _Used | None = None


class _Event(msgspec.Struct):
    """Of an event what is looked at."""

    type: str = ""
    event_id: str | None = None
    response: _Response | None = None


_event = msgspec.json.Decoder(_Event)


@asynccontextmanager
async def line(
    system: System, upstreams: Sequence[Upstream], model: str
) -> AsyncGenerator[aiohttp.ClientWebSocketResponse, None]:
    """A session at the first of the upstreams that opens one. Raises what the last one did."""
    for number, upstream in enumerate(upstreams, start=1):
        opening = connected(
            upstream.name,
            upstream.base_url,
            model,
            api_key=upstream.api_key.reveal(),
            headers=upstream.headers,
            timeout=upstream.connect_timeout,
            max_message_bytes=system.config.max_message_bytes,
            trust_env=upstream.trust_env,
        )
        try:
            there = await opening.__aenter__()
        except UpstreamError:
            if number == len(upstreams):
                raise
            continue
        try:
            yield there
        finally:
            await opening.__aexit__(None, None, None)
        return


class Relay:
    """One client and its session at an upstream. ``model`` is what its budgets know it by."""

    def __init__(
        self,
        system: System,
        caller: Caller,
        model: str,
        client: WebSocket,
        there: aiohttp.ClientWebSocketResponse,
    ) -> None:
        self.caller = caller
        self._engine = system.engine
        self._seconds = system.config.realtime_seconds
        self._model = model
        self._client = client
        self._there = there
        self._over: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        #: Of responses that were asked for, and of those that are being written, by their ids.
        self._asked: deque[Meter] = deque()
        self._written: dict[str, Meter] = {}
        self._said = 0
        self._used = 0

    async def run(self) -> None:
        """Until either side, or the server, has ended it."""
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(self._seconds, self._end, _OVER, "session_expired")
        up = asyncio.create_task(self._up(), name="to the upstream")
        down = asyncio.create_task(self._down(), name="to the client")
        try:
            ways: list[asyncio.Future[Any]] = [up, down, self._over]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
            for task in (up, down):
                task.cancel()
            results = await asyncio.gather(up, down, return_exceptions=True)
            for meter in (*self._asked, *self._written.values()):
                await meter.close("interrupted")
        for result in results:
            if isinstance(result, Exception):
                _log.warning("socket_cut", model=self._model, error=type(result).__name__)
        code, reason = self._over.result() if self._over.done() else (BAD_GATEWAY, "")
        try:
            await self._there.close(code=code, message=short(reason))
            await self._client.close(code, short(reason).decode())
        except (RuntimeError, OSError):
            _log.debug("socket_gone", model=self._model)

    # -- asked by whoever oversees, by the vigil and by Connections

    @property
    def tokens(self) -> int:
        """What its responses have used, prompts included."""
        return self._used

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
        """From the client to the upstream."""
        while True:
            message = await self._client.receive()
            if message["type"] == "websocket.disconnect":
                self._end(message.get("code") or NO_STATUS, message.get("reason") or "")
                return
            text: str | None = message.get("text")
            data: bytes = message.get("bytes") or b""
            event = _Event()
            if text is not None:
                event, data = _looked_at(text), text.encode(errors="surrogatepass")
            try:
                if self._engine.filed is not None:
                    await self._engine.filed.check(self.caller, data)
                if event.type == "response.create":
                    await self._draw(event.event_id)
            except FairleadError as error:
                await self._tell(error, event.event_id)
                continue
            if text is None:
                await self._there.send_bytes(data)
            else:
                await self._there.send_str(text)

    async def _down(self) -> None:
        """From the upstream to the client."""
        while True:
            message = await self._there.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    await self._count(_looked_at(message.data))
                    await self._client.send_text(message.data)
                case aiohttp.WSMsgType.BINARY:
                    await self._client.send_bytes(message.data)
                case aiohttp.WSMsgType.CLOSE:
                    self._end(message.data or NO_STATUS, message.extra or "")
                    return
                case _:
                    self._end(BAD_GATEWAY, "the upstream is gone")
                    return

    # -- what it costs

    async def _draw(self, cause: str | None) -> None:
        """Reserve what a response takes at least."""
        meter = await self._engine.draw(self.caller, self._model)
        await meter.asked(())
        self._asked.append(meter)
        if len(self._asked) > _MOST:
            await self._asked.popleft().cancel()

    async def _count(self, event: _Event) -> None:
        if event.type == "error" and self._asked:
            # Nothing came of what was asked for.
            await self._asked.popleft().cancel()
        elif event.response is None or event.response.id is None:
            return
        elif event.type == "response.created":
            if not self._asked:  # the upstream has heard the end of what was said
                try:
                    await self._draw(None)
                except BudgetExhausted as error:
                    await self._there.send_json({"type": "response.cancel"})
                    await self._tell(error, None)
                    return
            self._written[event.response.id] = self._asked.popleft()
        elif event.type == "response.done":
            meter = self._written.pop(event.response.id, None)
            if meter is not None:
                used = event.response.usage
                if used is not None:
                    usage = self._usage(used)
                    self._used += usage.input_tokens + usage.output_tokens
                    await meter.settle(usage)
                await meter.close()

    def _usage(self, used: _Used) -> Usage:
        details = used.input_token_details
        return Usage(
            int(time.time() * 1000),
            used.input_tokens or 0,
            used.output_tokens or 0,
            model=self._model,
            cached_tokens=(details.cached_tokens or 0) if details is not None else 0,
        )

    async def _tell(self, error: FairleadError, cause: str | None) -> None:
        number, self._said = self._said, self._said + 1
        await self._client.send_text(error_event(error, f"event_ours_{number}", cause).decode())

    def _end(self, code: int, reason: str) -> None:
        if not self._over.done():
            self._over.set_result((sendable(code), reason))


def _looked_at(text: str) -> _Event:
    """What of an event matters here; nothing of one that is none: that is the other side's to
    judge."""
    try:
        return _event.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Event()
