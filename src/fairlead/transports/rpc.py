"""Connect, gRPC-Web and gRPC: the service ``fairlead.v1.Answers`` over engine verbs.

The protocols themselves are connectrpc's work. One call that reads is one reader: nothing is taken
from it while a message is on its way, so that a slow client costs no memory, and its end, however
it comes (deadline, cancellation, a lost connection), detaches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import structlog
from connectrpc.codec import Codec, proto_binary_codec, proto_json_codec
from protobuf import Message

from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.engine.reader import Reader
from fairlead.errors import Draining, FairleadError, Unauthenticated
from fairlead.events.attachment import Attachment
from fairlead.journal.log import position
from fairlead.journal.position import parse_position
from fairlead.policy.caller import Caller
from fairlead.transports import direct, h2, rate_limit
from fairlead.transports.arrival import Arrival
from fairlead.transports.callers import Callers
from fairlead.transports.coding import UNCODED
from fairlead.transports.connections import Connections
from fairlead.transports.rpc_wire import HEARTBEAT, RpcWire, answer, failure, messages
from fairlead.transports.sink import Receive, Scope, Send
from fairlead.v1 import answers_pb as pb
from fairlead.v1.answers_connect import Answers, AnswersASGIApplication

if TYPE_CHECKING:
    from connectrpc.request import RequestContext

_log = structlog.get_logger("fairlead.transports")

#: About how many bytes are taken from the reader at once.
_TAKE = 64 * 1024
#: An event is too small to gain anything by compression, and answers that are not are few.
_NOT_FOR_EVENTS = (b"connect-accept-encoding", b"grpc-accept-encoding")

SERVICE = "fairlead.v1.Answers"


class RpcApplication:
    """The service as an ASGI application. Over HTTP/1.1 it speaks Connect and gRPC-Web; gRPC needs
    HTTP/2 and trailers. ``max_bytes`` of a request; ``max_ask_bytes`` of one that asks, of a caller
    who is known: it may have attachments."""

    def __init__(
        self,
        engine: Engine,
        callers: Callers,
        connections: Connections,
        max_bytes: int,
        max_ask_bytes: int,
    ) -> None:
        service = AnswersService(engine, callers, connections)

        def application(limit: int) -> Any:
            return AnswersASGIApplication(
                service,
                read_max_bytes=limit,
                codecs=[ReadyMade(proto_binary_codec()), ReadyMade(proto_json_codec())],
            )

        self._callers = callers
        self._app = application(max_bytes)
        self._ask = application(max_ask_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [pair for pair in scope["headers"] if pair[0] not in _NOT_FOR_EVENTS]
        outlet = Outlet(scope, send)
        _outlet.set(outlet)
        try:
            app = self._ask if await self._asks(scope) else self._app
            await app({**scope, "headers": headers}, _timely(receive), outlet.send)
        except asyncio.CancelledError:
            if not outlet.aborted:
                raise

    async def _asks(self, scope: Scope) -> bool:
        """Whether the request may be as large as a question's attachments are."""
        if not scope["path"].endswith("/Ask"):
            return False
        try:
            await self._callers.of(scope)
        except FairleadError:
            return False  # and is told so, once the little that is read has come
        return True


class ReadyMade(Codec[Any, Any]):
    """A codec that passes on messages that are in binary already: they were made once for all the
    readers of a stream."""

    def __init__(self, codec: Codec[Any, Any]) -> None:
        self._codec = codec
        self._binary = codec.name() == "proto"

    def name(self) -> str:
        return self._codec.name()

    def encode(self, message: Message | bytes) -> bytes:
        if isinstance(message, bytes):
            if self._binary:
                return message
            message = pb.Event.from_binary(message)
        return self._codec.encode(message)

    def decode(self, data: bytes | bytearray, message_class: Any) -> Any:
        return self._codec.decode(data, message_class)


class Outlet:
    """Where the response of one call goes. ``pending``: the other side has not taken the last
    message yet."""

    def __init__(self, scope: Scope, send: Send) -> None:
        extensions = scope.get("extensions") or {}
        self.scope = scope
        self.pending = False
        self.aborted = False
        self._send = send
        self._window: h2.Window | None = extensions.get(h2.EXTENSION)
        self._direct: direct.Direct | None = extensions.get(direct.EXTENSION)
        self._task = asyncio.current_task()

    async def send(self, message: Any) -> None:
        """ASGI's ``send``, which returns when the message is out of our hands."""
        if self.aborted:
            raise ConnectionAbortedError
        self.pending = True
        try:
            await self._send(message)
            if self._window is not None:
                await self._window.drain()
        finally:
            self.pending = False

    def abort(self) -> None:
        """Cut the call."""
        self.aborted = True
        if self._window is not None:
            self._window.abort()
        elif self._direct is not None:
            self._direct.abort()
        elif self._task is not None:
            # ASGI cannot cut a connection; ending the application without ending the body does.
            self._task.cancel()


_outlet: ContextVar[Outlet] = ContextVar("outlet")


class AnswersService(Answers):
    """The verbs of the engine as procedures."""

    def __init__(self, engine: Engine, callers: Callers, connections: Connections) -> None:
        self._engine = engine
        self._callers = callers
        self._connections = connections

    def ask(
        self, request: pb.AskRequest, ctx: RequestContext[pb.AskRequest, pb.Event], /
    ) -> AsyncIterator[pb.Event]:
        return self._read(
            ctx,
            lambda caller: self._engine.start_and_attach(
                caller, _ask(request), request.key, RpcWire
            ),
        )

    def attach(
        self, request: pb.AttachRequest, ctx: RequestContext[pb.AttachRequest, pb.Event], /
    ) -> AsyncIterator[pb.Event]:
        async def attach(caller: Caller) -> Reader[RpcWire]:
            text = request.after.removeprefix(f"{request.stream}.")
            after = parse_position(text) if text else None
            return await self._engine.attach(caller, request.stream, after, RpcWire)

        return self._read(ctx, attach)

    async def stop(
        self, request: pb.StopRequest, ctx: RequestContext[pb.StopRequest, pb.Answer], /
    ) -> pb.Answer:
        try:
            return answer(await self._engine.stop(await self._caller(), request.stream))
        except Exception as error:
            raise _failure(error) from error

    async def get(
        self, request: pb.GetRequest, ctx: RequestContext[pb.GetRequest, pb.Answer], /
    ) -> pb.Answer:
        try:
            return answer(await self._engine.read(await self._caller(), request.stream))
        except Exception as error:
            raise _failure(error) from error

    async def _caller(self) -> Caller:
        return await self._callers.of(_outlet.get().scope)

    async def _read(
        self,
        ctx: RequestContext[Any, pb.Event],
        attach: Callable[[Caller], Awaitable[Reader[RpcWire]]],
    ) -> AsyncIterator[pb.Event]:
        try:
            reader = await attach(await self._caller())
        except Exception as error:
            raise _failure(error) from error
        call = Call(reader, _outlet.get(), self._connections)
        if reader.live.meta.relayed:
            # Nobody here knows what the application puts side by side.
            _outlet.get().scope[UNCODED] = True
        try:
            ctx.response_headers["fairlead-stream"] = reader.live.stream
            ctx.response_headers["fairlead-conversation"] = reader.live.meta.conversation
            standings = self._engine.standings(reader.live.stream)
            for name, value in rate_limit.headers(standings).items():
                ctx.response_headers[name] = value
            while (message := await call.next()) is not None:
                yield cast("pb.Event", message)  # see ReadyMade
        except Exception as error:
            raise _failure(error, call.position) from error
        finally:
            call.close()
            self._engine.detach(reader)


class Call:
    """One reader and its call."""

    def __init__(self, reader: Reader[RpcWire], outlet: Outlet, connections: Connections) -> None:
        self._reader = reader
        self._outlet = outlet
        self._connections = connections
        self._news = asyncio.Event()
        self._messages: Iterator[bytes] = iter(())
        self._all_given = True
        self._draining = connections.draining
        self._quiet = 0
        self._stalled = 0
        reader.notify = self._news.set
        connections.add(self)

    def close(self) -> None:
        """The call has ended."""
        self._connections.remove(self)
        self._reader.notify = _nothing

    @property
    def position(self) -> str:
        """Where the reader stands; empty at the start, and where it has not been given all that
        was taken for it: then it stands after the last message that it has."""
        if not self._all_given:
            return ""
        standing = position(self._reader.live.head, self._reader.offset)
        return str(standing) if self._reader.offset and standing else ""

    async def next(self) -> bytes | None:
        """The next message; None at the end of the stream.

        Raises the :class:`~fairlead.errors.FairleadError` that ends reading before.
        """
        reader = self._reader
        while True:
            if isinstance(reader.failure, Unauthenticated):
                # Not even what was taken before: a slow client may be a while at that.
                self._all_given = next(self._messages, None) is None
                raise reader.failure
            for message in self._messages:
                self._quiet = 0
                return message
            if data := reader.take(_TAKE):
                self._messages = messages(data)
            elif reader.cold:
                await reader.fill()
            elif reader.failure is not None:
                raise reader.failure
            elif reader.ended:
                return None
            elif self._draining:
                # Spread, so that a restarted server is not met by all its readers at once.
                wait = 0.5 + random.random() * self._connections.settings.drain_spread
                raise Draining("the server is restarting; attach again", retry_after=wait)
            elif self._quiet >= self._connections.heartbeat_ticks:
                self._quiet = 0
                return HEARTBEAT
            else:
                self._news.clear()
                await self._news.wait()

    # -- asked by Connections

    def tick(self) -> None:
        if self._outlet.pending:
            self._reader.rest()
            self._stalled += 1
            if self._stalled == self._connections.stall_ticks:
                _log.info("reader_cut", stream=self._reader.live.stream, reason="stalled")
                self.abort()
            return
        self._stalled = 0
        self._quiet += 1
        if self._quiet >= self._connections.heartbeat_ticks:
            self._news.set()

    def drain(self) -> None:
        # What it has not had yet goes first.
        self._draining = True
        self._news.set()

    def abort(self) -> None:
        self._outlet.abort()


def _ask(request: pb.AskRequest) -> Ask:
    parameters = request.parameters.to_python() if request.parameters is not None else {}
    return Ask(
        message=request.message,
        conversation=request.conversation_id,
        parent=request.parent if request.has_field("parent") else None,
        regenerate=request.regenerate,
        model=request.model,
        system=request.system,
        parameters=_whole(parameters),
        orphan_window=request.orphan_window if request.has_field("orphan_window") else None,
        background=request.background,
        attachments=tuple(
            Attachment(each.type, bytes(each.data), each.name) for each in request.attachments
        ),
    )


def _whole(value: Any) -> Any:
    """Whole numbers as such: a ``Struct`` has only floats, which models' servers refuse for counts
    (``max_tokens``)."""
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _failure(error: Exception, standing: str = "") -> Exception:
    if isinstance(error, FairleadError):
        return failure(error, standing)
    # connectrpc would show the client the text of the exception.
    _log.error("unforeseen_error", exc_info=error)
    return failure(FairleadError("something went wrong here; the log of the server says what"))


def _timely(receive: Receive) -> Receive:
    """A ``receive`` that gives up a client which does not finish its request."""
    arriving, arrival = True, Arrival()

    async def timely() -> Any:
        nonlocal arriving
        if not arriving:
            return await receive()
        try:
            async with asyncio.timeout_at(arrival.deadline):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        arriving = bool(message.get("more_body", False))
        arrival.came(len(message.get("body", b"")))
        return message

    return timely


def _nothing() -> None:
    pass
