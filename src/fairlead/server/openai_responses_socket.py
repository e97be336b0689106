"""``/v1/responses`` over a WebSocket: many responses on one connection (PROTOCOL.md, section
14)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.websockets import WebSocket

from fairlead.dialects import openai_responses
from fairlead.dialects.openai_error import socket_error
from fairlead.dialects.openai_responses import PREFIX
from fairlead.engine.ask import Ask
from fairlead.engine.models import Model
from fairlead.errors import (
    BadRequest,
    Busy,
    Draining,
    FairleadError,
    NotFound,
    TooLarge,
    TooMany,
)
from fairlead.events.meta import GenerationMeta
from fairlead.policy.caller import Caller
from fairlead.protocols import responses
from fairlead.providers.silent import SilentProvider
from fairlead.server.openai_chain import ask_of
from fairlead.server.openai_requests import orphan_window, ours
from fairlead.server.openai_responses_request import asked
from fairlead.server.socket import foreign, refuse
from fairlead.server.system import System
from fairlead.transports.body import once_unwound
from fairlead.transports.response_messages import ResponseMessages
from fairlead.transports.websocket import OVERLOAD, POLICY, TOO_BIG, Socket

router = APIRouter(prefix="/v1/responses", tags=["openai"])


@router.websocket("")
async def socket(websocket: WebSocket) -> None:
    """One connection, from the handshake to the close."""
    system: System = websocket.app.state.system
    # Before the framework goes, and with it what the gate has found out of the request.
    try:
        window = orphan_window(websocket)
        caller = await _caller(system, websocket)
    except FairleadError as error:
        await refuse(websocket, error)
        return
    # A browser holds a connection to be broken for which none of its offers was chosen.
    offered: list[str] = websocket.scope["subprotocols"]
    await websocket.accept(next((name for name in offered if name == _SUBPROTOCOL), None))
    await once_unwound(websocket.scope, partial(_serve, system, websocket, caller, window))


#: What the vendor's clients in browsers offer beside their key.
_SUBPROTOCOL = "realtime"


async def _caller(system: System, websocket: WebSocket) -> Caller:
    """Who opens the socket. Raises what the handshake is refused with."""
    if error := foreign(websocket, system.config.cors_origins):
        raise error
    caller = await system.callers.of(websocket.scope)
    if system.connections.draining or system.engine.draining:
        raise Draining("the server is restarting", retry_after=2)
    if len(system.connections) >= system.config.max_readers:
        raise Busy("as many connections are open as may be", retry_after=5)
    return caller


async def _serve(
    system: System, websocket: WebSocket, caller: Caller, window: float | None
) -> None:
    async with Socket(
        system.engine, system.connections, websocket.scope, websocket.receive, websocket.send
    ) as opened:
        try:
            place = system.places.take(caller.consumer)
        except TooMany as error:
            opened.say(socket_error(error))
            opened.end(OVERLOAD, error.code)
            return
        with place:
            await _Talk(system, opened, caller, window).run()


class _Talk:
    """Does what the client's messages ask, each lane's one after the other, and says what came of
    it."""

    def __init__(
        self, system: System, socket: Socket, caller: Caller, window: float | None
    ) -> None:
        self.caller = caller
        self._system = system
        self._engine = system.engine
        self._socket = socket
        self._window = window
        self._longest = system.config.max_message_bytes
        self._session = responses.Session(self._longest)
        self._unstored = responses.Unstored(self._longest)
        #: The streams that the lanes are writing.
        self._writing: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the socket has ended."""
        self._engine.vigil.others.add(self)
        try:
            while (data := await self._socket.receive()) is not None:
                size = len(data.encode(errors="surrogatepass") if isinstance(data, str) else data)
                if size > self._longest:
                    self._socket.end(TOO_BIG, f"a message of more than {self._longest} bytes")
                    continue
                self._do(self._session.receive(data))
        finally:
            self._engine.vigil.others.discard(self)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- asked by the vigil

    def end(self, failure: FairleadError) -> None:
        """The caller's authority is over."""
        self._socket.say(socket_error(failure))
        self._socket.end(POLICY, failure.code)

    # -- the acts

    def _do(self, act: responses.Act | None) -> None:
        match act:
            case responses.Begin():
                self._run(self._begin(act))
            case responses.Stop():
                self._run(self._stop(act))
            case responses.Say():
                self._socket.say(act.message)
            case None:
                pass

    def _run(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, act: responses.Begin) -> None:
        lane = act.lane

        def wire(stream: str, meta: GenerationMeta) -> ResponseMessages:
            return ResponseMessages(stream, ours(meta), lane)

        try:
            ask, items = await self._question(act)
            if act.generate:
                reader = await self._engine.start_and_attach(self.caller, ask, "", wire)
            else:
                model = _silent(self._system, self.caller, ask)
                started = await self._engine.start(self.caller, ask, model=model)
                reader = await self._engine.attach(self.caller, started.stream, None, wire)
        except FairleadError as error:
            self._socket.say(socket_error(error, lane))
            self._over(lane)
            return
        stream = reader.live.stream
        self._writing[lane] = stream
        if items is not None:
            self._unstored.keep(lane, PREFIX + stream, items)
        self._socket.attach(reader, lambda: self._over(lane))

    async def _question(self, act: responses.Begin) -> tuple[Ask, list[Any] | None]:
        """The question of a message; and its items, if nobody else is to keep them."""
        data = msgspec.json.encode(act.fields)
        question = asked(data, orphan_window=self._window)
        most = self._system.config.max_body_bytes
        if len(data) - question.beside > most:
            raise TooLarge(f"the message is larger than {most} bytes, which is the limit")
        if question.conversation and not act.generate:
            raise BadRequest("a conversation is not gone on with by what writes nothing")
        ask, items = await ask_of(self._system, self.caller, question, self._unstored.recall)
        return ask, None if question.stored else items

    async def _stop(self, act: responses.Stop) -> None:
        stream = act.response.removeprefix(PREFIX) or self._writing.get(act.lane, "")
        try:
            if stream not in self._writing.values():
                raise NotFound(
                    "no such response is being written on this socket", param="response_id"
                )
            # Its last event tells that it was stopped.
            await self._engine.stop(self.caller, stream)
        except FairleadError as error:
            self._socket.say(socket_error(error, act.lane))

    def _over(self, lane: str) -> None:
        """The lane writes nothing any more."""
        self._writing.pop(lane, None)
        for begin in self._session.ended(lane):
            self._run(self._begin(begin))


def _silent(system: System, caller: Caller, ask: Ask) -> Model:
    """The model of a question that is asked only to be gone on with: it says nothing."""
    model = system.engine.models.choose(ask.model, caller)
    provider = SilentProvider(
        model.provider.name,
        model.provider.context_tokens,
        (openai_responses.NAME,),
        lambda: int(time.time() * 1000),
    )
    return Model(model.name, provider, searches=False, searches_for_vendors=False)
