"""``/ws``: many answers over one WebSocket (PROTOCOL.md, section 9)."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

from fastapi import APIRouter
from msgspec.structs import replace
from starlette.responses import Response
from starlette.websockets import WebSocket

from fairlead.dialects.openai_error import openai_problem
from fairlead.dialects.problem import problem
from fairlead.engine.ask import Ask, Started
from fairlead.errors import Busy, FairleadError, Forbidden, TooMany
from fairlead.policy.caller import Caller
from fairlead.protocols import native
from fairlead.protocols.uploads import Uploads
from fairlead.server.system import System
from fairlead.transports.body import once_unwound
from fairlead.transports.callers import OPENAI
from fairlead.transports.places import Place
from fairlead.transports.websocket import OVERLOAD, POLICY, RESTART, TOO_BIG, Socket, SocketWire

router = APIRouter()

#: Streams that one socket may read at once.
MAX_STREAMS = 100
_PROTOCOL = [(b"fairlead-protocol", b"1")]


@router.websocket("/ws")
@router.websocket("/ws/{client_id}")
async def socket(websocket: WebSocket) -> None:
    """One connection, from the handshake to the close."""
    system: System = websocket.app.state.system
    # Before the framework goes, and with it what the gate has found out of the request.
    caller = await _handshake(system, websocket)
    if caller is None:
        return
    await once_unwound(websocket.scope, partial(_serve, system, websocket, caller))


async def _handshake(system: System, websocket: WebSocket) -> Caller | None:
    """Who has opened it; None if it was refused."""
    if error := foreign(websocket, system.config.cors_origins):
        await refuse(websocket, error)
        return None
    offered: list[str] = websocket.scope["subprotocols"]
    chosen = next((name for name in native.SUBPROTOCOLS if name in offered), None)
    await websocket.accept(chosen, _PROTOCOL)
    if system.connections.draining:
        await websocket.close(RESTART, "restarting")
        return None
    if len(system.connections) >= system.config.max_readers:
        await websocket.close(OVERLOAD, "too many connections: come back later")
        return None
    try:
        return await system.callers.of(websocket.scope)
    except FairleadError as error:
        await websocket.send_text(native.refused(error).decode())
        await websocket.close(POLICY, error.code)
        return None


async def _serve(system: System, websocket: WebSocket, caller: Caller) -> None:
    async with Socket(
        system.engine, system.connections, websocket.scope, websocket.receive, websocket.send
    ) as opened:
        try:
            place = system.places.take(caller.consumer)
        except TooMany as error:
            opened.say(native.refused(error))
            opened.end(OVERLOAD, error.code)
            return
        with place:
            await _Dialogue(system, opened, caller, place).run()


async def refuse(websocket: WebSocket, error: FairleadError) -> None:
    """Answer the handshake with an error, where the server can say more than 403."""
    if "websocket.http.response" not in websocket.scope.get("extensions", {}):
        await websocket.close()
        return
    path: str = websocket.scope["path"]
    if path.removeprefix(websocket.scope.get("root_path", "")).startswith(OPENAI):
        made = openai_problem(error)
    else:
        made = problem(error, websocket.headers.get("accept-language", ""))
    response = Response(made.body, made.status)
    response.raw_headers = [*made.headers, (b"content-length", str(len(made.body)).encode())]
    await websocket.send_denial_response(response)


def foreign(websocket: WebSocket, allowed: tuple[str, ...]) -> Forbidden | None:
    """Why the page that opens the socket may not. A browser lets any page open one to anywhere and
    says only whose it is (RFC 6455, section 10.2); other clients send no ``Origin``."""
    origin = websocket.headers.get("origin", "")
    if not origin or origin in allowed:
        return None
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        host = ""
    if host and host == websocket.headers.get("host", ""):
        return None
    return Forbidden(
        f"a page of {host[:100] or 'another site'} may not do this; allow its origin with "
        "'cors_origins'"
    )


class _Dialogue:
    """Does what the client's messages ask, one after the other, and says what came of it."""

    def __init__(self, system: System, socket: Socket, caller: Caller, place: Place) -> None:
        self._place = place
        self._engine = system.engine
        self._callers = system.callers
        self._socket = socket
        self.caller = caller
        self._uploads = Uploads(system.engine.limits.attachments)
        self._longest = system.config.max_body_bytes

    async def run(self) -> None:
        """Until the socket has ended."""
        self._engine.vigil.others.add(self)
        try:
            await self._talk()
        finally:
            self._engine.vigil.others.discard(self)

    def end(self, failure: FairleadError) -> None:
        """The caller's authority is over."""
        self._socket.say(native.refused(failure))
        self._socket.end(POLICY, failure.message)

    async def _talk(self) -> None:
        while (data := await self._socket.receive()) is not None:
            if isinstance(data, str) and _size(data) > self._longest:
                # Only attachments may be larger.
                self._socket.end(TOO_BIG, f"more than {self._longest} bytes of text")
                continue
            act = native.receive(data)
            if isinstance(act, native.Say):
                self._socket.say(act.message)
                continue
            try:
                await self._do(act)
            except FairleadError as error:
                stream = getattr(act, "stream", "")
                self._socket.say(native.refused(error, act.id, stream))

    async def _do(
        self,
        act: native.Begin
        | native.Supersede
        | native.Join
        | native.Leave
        | native.End
        | native.Identify
        | native.Hold,
    ) -> None:
        engine, socket, caller = self._engine, self._socket, self.caller
        match act:
            case native.Begin():
                ask = self._asked(act)
                self._check_room()
                await self._read(act.id, await engine.start(caller, ask, act.key))
            case native.Supersede():
                ask = self._asked(act)
                self._check_room()
                started = await engine.interrupt(caller, act.stream, act.shown, ask, act.key)
                await self._read(act.id, started)
            case native.Join():
                if act.stream not in socket.readers:
                    self._check_room()
                reader = await engine.attach(caller, act.stream, act.after, SocketWire)
                socket.say(native.attached(act.id, act.stream, closed=reader.ended))
                socket.attach(reader)
            case native.Leave():
                socket.detach(act.stream)
                socket.say(native.detached(act.id, act.stream))
            case native.End():
                snapshot = await engine.stop(caller, act.stream)
                socket.say(native.stopped(act.id, act.stream, snapshot.answer.status))
            case native.Identify():
                await self._identify(act)
            case native.Hold():
                socket.say(native.uploaded(act.id, self._uploads.hold(act.id, act.attachment)))

    def _asked(self, act: native.Begin | native.Supersede) -> Ask:
        """The question with its attachments."""
        return replace(act.ask, attachments=self._uploads.take(act.attachments))

    def _check_room(self) -> None:
        """Asked before anything is started, so that no answer is begun that could not be read."""
        if len(self._socket.readers) >= MAX_STREAMS:
            raise Busy(f"this socket reads {MAX_STREAMS} streams, which is the cap: detach one")
        most = self._engine.limits.readers
        if self._engine.readers >= most:
            raise Busy(f"{most} connections are open, which is the cap", retry_after=5)

    async def _read(self, id: str, started: Started) -> None:
        """Tell that the answer is being written, and read it from the start."""
        meta, stream = started.meta, started.stream
        self._socket.say(
            native.started(id, stream, meta.conversation, meta.message, started.created)
        )
        try:
            reader = await self._engine.attach(self.caller, stream, None, SocketWire)
        except FairleadError as error:
            self._socket.say(native.refused(error, id, stream))
            return
        self._socket.attach(reader)

    async def _identify(self, act: native.Identify) -> None:
        """Another caller from now on. What it may not see it reads no more."""
        caller = await self._callers.renewed(self.caller, act.token)
        self._place.move(caller.consumer)
        self.caller = caller
        self._socket.say(native.authenticated(act.id, caller.consumer))
        for stream, reader in self._socket.readers.items():
            try:
                await self._engine.info(caller, stream)
            except FairleadError as error:
                self._socket.detach(stream)
                self._socket.say(native.refused(error, stream=stream))
            else:
                reader.caller = caller


def _size(text: str) -> int:
    """Its bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
