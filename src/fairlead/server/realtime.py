"""``/v1/realtime``: sessions of OpenAI's Realtime API over a WebSocket (PROTOCOL.md, section 15),
and client secrets for them."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from fairlead.dialects.openai_body import decoded
from fairlead.dialects.openai_realtime import error_event
from fairlead.errors import BadRequest, FairleadError, TooMany
from fairlead.events.meta import GenerationMeta
from fairlead.policy.caller import Caller
from fairlead.primitives import random_id
from fairlead.protocols.realtime import (
    SUBPROTOCOL,
    Act,
    Answer,
    Bounds,
    Cancel,
    Reply,
    Say,
    Session,
)
from fairlead.protocols.realtime_settings import Settings
from fairlead.server import http
from fairlead.server.openai_requests import orphan_window
from fairlead.server.realtime_relay import Relay, line
from fairlead.server.socket import foreign, refuse
from fairlead.server.system import System
from fairlead.server.tables.upstream import Upstream
from fairlead.transports.body import once_unwound
from fairlead.transports.callers import OPENAI_KEY_PROTOCOL, credential
from fairlead.transports.replies import ReplyWire
from fairlead.transports.websocket import OVERLOAD, POLICY, RESTART, Socket

router = APIRouter(prefix="/v1/realtime", tags=["openai"])

#: The close code of a session that has lasted as long as it may (RFC 6455, section 7.4.1: going
#: away): clients open another one.
_OVER = 1001
#: Seconds that a client secret is good for: unless told, at least, at most.
_LIFE, _SHORTEST, _LONGEST = 600, 10, 7200

SETTINGS = msgspec.json.Decoder(Settings)


class Opening(NamedTuple):
    """What a session is opened with: by whom, and what is asked for. ``elsewhere``: the upstreams
    that hold such sessions themselves, and know the model by ``named_there``; none: it is held
    here."""

    caller: Caller
    model: str
    settings: Settings | None
    elsewhere: tuple[Upstream, ...]
    named_there: str
    orphan_window: float | None = None

    def session(self, system: System) -> Session:
        """The session."""
        config = system.config
        return Session(
            self.model,
            bounds=Bounds(config.max_body_bytes, config.max_ask_bytes),
            name=_name,
            expires_at=time.time() + config.realtime_seconds,
            settings=self.settings,
            orphan_window=self.orphan_window,
        )


async def opening(
    system: System, caller: Caller, secret: str | None, asked: str, settings: Settings | None = None
) -> Opening:
    """What a session is opened with that ``caller`` asks for with a ``secret``, for the model
    ``asked`` (empty: whichever). Raises :class:`~fairlead.errors.BadRequest`."""
    kept = await system.doors.secrets.settings(secret or "")
    if kept:
        bound = decoded(kept.encode(), SETTINGS)
        if settings is not None:
            raise BadRequest(
                "the client secret says what the session is like: send no other 'session'",
                param="session",
            )
        if bound.model and asked and asked != bound.model:
            raise BadRequest(
                f"the client secret is for the model {bound.model!r}, not for {asked[:80]!r}",
                param="model",
            )
        settings = bound
    named = asked or (settings.model if settings is not None else "") or ""
    model = system.engine.models.choose(named, caller)
    name = model.upstream_name or model.name
    elsewhere = tuple(
        upstream
        for upstream in system.config.answerers
        if upstream.realtime and name in upstream.models
    )
    return Opening(caller, named or model.name, settings, elsewhere, name)


@router.websocket("")
async def socket(websocket: WebSocket) -> None:
    """One session, from the handshake to the close."""
    system: System = websocket.app.state.system
    # Before the framework goes, and with it what the gate has found out of the request.
    found = await _handshake(system, websocket)
    if found is None:
        return
    await once_unwound(websocket.scope, partial(_serve, system, websocket, found))


async def _handshake(system: System, websocket: WebSocket) -> Opening | None:
    """What the session is opened with; None if it was refused."""
    if error := foreign(websocket, system.config.cors_origins):
        await refuse(websocket, error)
        return None
    offered: list[str] = websocket.scope["subprotocols"]
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    try:
        caller = await system.callers.of(websocket.scope)
        if "call_id" in websocket.query_params:
            raise BadRequest(
                "a call is heard on its own data channel alone: open a session with 'model'",
                param="call_id",
            )
        asked = websocket.query_params.get("model", "")
        found = await opening(system, caller, credential(websocket.scope), asked)
        found = found._replace(orphan_window=orphan_window(websocket))
    except FairleadError as error:
        if any(name.startswith(OPENAI_KEY_PROTOCOL) for name in offered):
            # A browser tells its page nothing of a refused handshake.
            await websocket.accept(chosen)
            await websocket.send_text(error_event(error, f"event_{_name()}").decode())
            await websocket.close(POLICY, error.code)
        else:
            await refuse(websocket, error)
        return None
    await websocket.accept(chosen)
    if system.connections.draining:
        await websocket.close(RESTART, "restarting")
        return None
    if len(system.connections) >= system.config.max_readers:
        await websocket.close(OVERLOAD, "too many connections: come back later")
        return None
    return found


async def _serve(system: System, websocket: WebSocket, found: Opening) -> None:
    if found.elsewhere:
        await _pass_on(system, websocket, found)
        return
    async with Socket(
        system.engine, system.connections, websocket.scope, websocket.receive, websocket.send
    ) as opened:
        await converse(system, opened, found)


async def _pass_on(system: System, websocket: WebSocket, found: Opening) -> None:
    """A session that an upstream holds."""
    try:
        with system.places.take(found.caller.consumer):
            async with line(system, found.elsewhere, found.named_there) as there:
                if found.settings is not None:
                    settings = msgspec.to_builtins(found.settings) | {"type": "realtime"}
                    settings.pop("model", None)
                    await there.send_json({"type": "session.update", "session": settings})
                relay = Relay(system, found.caller, found.named_there, websocket, there)
                system.connections.add(relay)
                try:
                    with system.engine.sockets.held(relay, "realtime", found.named_there):
                        await relay.run()
                finally:
                    system.connections.remove(relay)
    except FairleadError as error:
        await websocket.send_text(error_event(error, f"event_{_name()}").decode())
        await websocket.close(OVERLOAD if error.retryable else POLICY, error.code)


async def converse(system: System, socket: Socket, found: Opening) -> None:
    """A session on a socket, from its opening to its end."""
    session = found.session(system)
    try:
        place = system.places.take(found.caller.consumer)
    except TooMany as error:
        socket.say(session.refusal(error))
        socket.end(OVERLOAD, error.code)
        return
    with place:
        await _Talk(system, socket, found.caller, session).run()


class _Talk:
    """Does what the events of a session's client ask, one after the other, and says what came of
    it."""

    def __init__(self, system: System, socket: Socket, caller: Caller, session: Session) -> None:
        self.caller = caller
        self._engine = system.engine
        self._socket = socket
        self._session = session
        self._seconds = system.config.realtime_seconds
        self._over: dict[Reply, asyncio.Event] = {}

    async def run(self) -> None:
        """Until the socket has ended."""
        self._engine.vigil.others.add(self)
        deadline = asyncio.get_running_loop().call_later(self._seconds, self._expire)
        try:
            self._socket.say(self._session.opening())
            while (data := await self._socket.receive()) is not None:
                await self._do(self._session.receive(data))
        finally:
            deadline.cancel()
            self._engine.vigil.others.discard(self)

    def end(self, failure: FairleadError) -> None:
        """The caller's authority is over."""
        self._socket.say(self._session.refusal(failure))
        self._socket.end(POLICY, failure.code)

    async def _do(self, act: Act) -> None:
        match act:
            case Say():
                for event in act.events:
                    self._socket.say(event)
            case Answer():
                await self._answer(act)
            case Cancel():
                await self._cancel(act.reply)

    async def _answer(self, act: Answer) -> None:
        reply = act.reply
        over = asyncio.Event()

        def wire(stream: str, meta: GenerationMeta) -> ReplyWire:
            return ReplyWire(stream, meta, reply, over.set)

        try:
            reader = await self._engine.start_and_attach(self.caller, act.ask, "", wire)
        except FairleadError as error:
            reply.end()
            self._socket.say(self._session.refusal(error, reply.cause))
            return
        self._over = {each: event for each, event in self._over.items() if not each.over}
        self._over[reply] = over
        self._socket.attach(reader)
        limits = self._session.limits(self._engine.standings(reply.stream), time.time())
        if limits is not None:
            self._socket.say(limits)

    async def _cancel(self, reply: Reply) -> None:
        try:
            await self._engine.stop(self.caller, reply.stream)
        except FairleadError as error:
            self._socket.say(self._session.refusal(error, reply.cause))
            return
        # What is asked next follows what was shown: that is known once its end has been.
        await self._socket.until(self._over[reply].wait())

    def _expire(self) -> None:
        error = BadRequest(
            "the session has lasted as long as one may: open another one",
            vendor_code="session_expired",
        )
        self._socket.say(self._session.refusal(error))
        self._socket.end(_OVER, "session_expired")


# -- client secrets --------------------------------------------------------------------------------


class _After(msgspec.Struct):
    anchor: str = "created_at"
    seconds: Annotated[int, msgspec.Meta(ge=_SHORTEST, le=_LONGEST)] = _LIFE


class _Wanted(msgspec.Struct):
    expires_after: _After | None = None
    session: Settings | None = None


_wanted = msgspec.json.Decoder(_Wanted)
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "expires_after": {
            "type": "object",
            "properties": {
                "anchor": {"const": "created_at"},
                "seconds": {"type": "integer", "minimum": _SHORTEST, "maximum": _LONGEST},
            },
        },
        "session": {"type": "object"},
    },
}


@router.post(
    "/client_secrets",
    summary="Get a credential with which a page or an app opens sessions",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": _SCHEMA}}}},
)
async def client_secret(request: Request) -> Response:
    """It opens sessions, with the settings given here, and nothing else. What it opens ends as the
    credential does that it was got with."""
    http.same_site(request)
    caller = await http.caller(request)
    system = http.system(request)
    data = await http.json_bytes(request, system.config.max_body_bytes)
    wanted = decoded(data, _wanted)
    settings = wanted.session or Settings()
    after = wanted.expires_after or _After()
    if after.anchor != "created_at":
        raise BadRequest(
            "'expires_after.anchor' must be 'created_at'", param="expires_after.anchor"
        )
    found = await opening(system, caller, None, "", settings)
    if found.elsewhere:
        session = {"object": "realtime.session", "model": found.model}
        session |= msgspec.to_builtins(settings) | {"type": "realtime"}
    else:
        # Whatever is wrong with the settings is said now, not to those who get the secret.
        session = found.session(system).object()
    kept = msgspec.json.encode(settings).decode()
    issued = await system.doors.secrets.issue(caller, after.seconds, kept)
    return http.json_response(
        {
            "value": issued.value,
            "expires_at": int(issued.expires_at),
            "session": session,
        }
    )


def _name() -> str:
    return random_id(os.urandom(16))
