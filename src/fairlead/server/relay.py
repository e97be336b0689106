"""``[[apps]]``: applications behind Fairlead. Their event streams become streams of ours, which
resume; their WebSockets get identity and limits; everything else passes through."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

import structlog
from starlette.datastructures import URLPath
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from fairlead.dialects import native
from fairlead.engine.engine import Engine
from fairlead.engine.meter import Meter
from fairlead.engine.relay import Relay
from fairlead.errors import BadRequest, Busy
from fairlead.framing.forwarding import (
    Headers,
    climbs,
    from_application,
    to_application,
    without_our_credentials,
)
from fairlead.journal.position import parse_position
from fairlead.policy.caller import ANONYMOUS, Caller
from fairlead.ports import store as ports
from fairlead.primitives import is_id
from fairlead.providers.app import EVENT_STREAM, ApplicationEvents, ApplicationResponse
from fairlead.server import attach, http
from fairlead.server.applications import Applications, Behind
from fairlead.server.attach import LastEvent, Presentation
from fairlead.server.passed import Passed
from fairlead.server.relay_socket import relay_socket
from fairlead.transports.body import StreamResponse

_log = structlog.get_logger("fairlead.server")

#: An idempotency key in the query, for an ``EventSource``; it is not handed on.
_KEY = "fairlead_key"
#: How a relayed stream is shown: as the application sent it, whatever its own query says.
_PLAIN = Presentation(native.Options(), size=1, window=0, lines=False)
#: What a stream's response says in our words, not in the application's.
_OURS = frozenset({b"content-encoding", b"content-length", b"etag", b"last-modified"})


class Relayed(BaseRoute):
    """The route that leads to the applications of the configuration in force."""

    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the path is one of theirs."""
        if scope["type"] in ("http", "websocket"):
            path: str = scope["path"]
            found = self._applications.find(path.removeprefix(_root(scope)))
            if found is not None:
                return Match.FULL, {"endpoint": _Door(found, self._applications.sockets)}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what matched."""
        await scope["endpoint"](scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """They have no names here."""
        raise NoMatchFound(name, path_params)


class _Door:
    """The ASGI application that stands for one application, for one request. ``sockets`` counts
    those that are open, by the application's name."""

    def __init__(self, behind: Behind, sockets: Counter[str]) -> None:
        self._app = behind.app
        self._application = behind.application
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(WebSocket(scope, receive, send))
        else:
            response = await self._http(Request(scope, receive, send))
            await response(scope, receive, send)

    # -- HTTP --------------------------------------------------------------------------------------

    async def _http(self, request: Request) -> Response:
        caller = await http.caller(request)
        if request.headers.get("sec-fetch-mode") != "navigate" or request.method != "GET":
            http.same_site(request)
        text = request.headers.get("last-event-id", "")
        known = _resumption(text)
        if known is None:
            return await self._ask(request, caller, text)
        if self._app.finite:
            return await attach.attach(request, caller, known.stream, known.after, _PLAIN)
        engine = http.system(request).engine
        reader = await engine.attach(caller, known.stream, known.after, _PLAIN.wire)
        if not await reader.over():
            return attach.respond(request, reader, _PLAIN)
        engine.detach(reader)
        return await self._ask(request, caller, text.partition(" ")[2])

    async def _ask(self, request: Request, caller: Caller, last_event_id: str) -> Response:
        """Ask the application. ``last_event_id``: its own, if the client knows one."""
        system, app = http.system(request), self._app
        engine = system.engine
        wants_stream = EVENT_STREAM in request.headers.get("accept", "")
        if wants_stream:
            most = engine.limits.readers
            if engine.readers >= most:
                raise Busy(f"{most} connections are open, which is the cap", retry_after=5)
        body = b""
        if http.has_body(request):
            body = await http.bounded_body(request, app.max_request_bytes)
        path, query = _path(request.scope, app.path), _query(request.scope)
        asked = b"%b %b?%b\n%b" % (request.method.encode(), path, query, body)
        key = request.headers.get("idempotency-key") or request.query_params.get(_KEY, "")
        if key and (begun := await engine.relayed(caller, asked, key)) is not None:
            return await attach.attach(request, caller, begun.spec.id, None, _PLAIN)
        headers = self._headers(request.scope, caller)
        if last_event_id:
            headers.append((b"last-event-id", last_event_id.encode("latin-1", "replace")))
        prompt = query + body
        # Who says that it wants a stream is not even let ask for one that could not be paid for.
        meter = await self._meter(engine, caller, prompt) if wants_stream else None
        response = None
        try:
            response = await self._application.ask(request.method, path, query, headers, body)
            shown = from_application(
                response.headers,
                target=app.target,
                prefix=_root(request.scope) + app.path,
                cross_origin=bool(system.config.cors_origins),
            )
            streams = response.status == 200 and response.kind == EVENT_STREAM
            if streams and request.method != "HEAD":
                begun_meter, meter = meter or await self._meter(engine, caller, prompt), None
                return await self._stream(request, caller, response, shown, asked, key, begun_meter)
            return Passed(response, shown, app.max_response_bytes)
        except BaseException:
            if response is not None:
                response.abort()
            raise
        finally:
            if meter is not None:
                await meter.cancel()

    async def _meter(self, engine: Engine, caller: Caller, prompt: bytes) -> Meter:
        """What counts an answer of the application's, which has been asked this."""
        return await engine.draw(caller, self._app.name if self._app.metered else "", prompt)

    async def _stream(
        self,
        request: Request,
        caller: Caller,
        response: ApplicationResponse,
        headers: Headers,
        asked: bytes,
        key: str,
        meter: Meter,
    ) -> Response:
        """The application's event stream as one of ours, read from its start."""
        system = http.system(request)
        engine = system.engine
        source = ApplicationEvents(self._app.name, response, system.config.max_event_bytes)
        relay = Relay(source=source, request=asked, orphan_window=self._app.orphan_window)
        outcome = await engine.relay(caller, relay, meter, key)
        if isinstance(outcome, ports.Exists):  # begun twice at the same time
            response.abort()
        reader = await engine.attach(caller, outcome.info.spec.id, None, _PLAIN.wire)
        made = attach.respond(request, reader, _PLAIN)
        assert isinstance(made, StreamResponse)
        ours = {name for name, _ in made.raw_headers} | _OURS
        made.raw_headers += [pair for pair in headers if pair[0] not in ours]
        return made

    def _headers(self, scope: Scope, caller: Caller) -> Headers:
        named = dict(scope["headers"])
        scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
        client = scope.get("client")
        return to_application(
            scope["headers"],
            consumer=caller.consumer,
            address=caller.facts.address or (client[0] if client else ""),
            scheme=scheme,
            host=named.get(b"host", b""),
            prefix=_root(scope) + self._app.path,
            # One that we know the caller by is ours.
            pass_authorization=self._app.pass_authorization
            and caller.credential == ANONYMOUS.credential,
        )

    # -- WebSocket ---------------------------------------------------------------------------------

    async def _websocket(self, websocket: WebSocket) -> None:
        name = self._app.name
        self._sockets[name] += 1
        try:
            await relay_socket(
                websocket.app.state.system,
                self._app,
                websocket,
                room=self._sockets[name] <= self._app.max_sockets,
                connect=lambda caller: self._application.connect(
                    _path(websocket.scope, self._app.path),
                    _query(websocket.scope),
                    self._headers(websocket.scope, caller),
                    [
                        name
                        for name in websocket.scope["subprotocols"]
                        if not name.startswith("fairlead.")
                    ],
                    self._app.max_message_bytes,
                ),
            )
        finally:
            self._sockets[name] -= 1


def _resumption(last_event_id: str) -> LastEvent | None:
    """The stream of ours and the position that a ``Last-Event-ID`` names; None for one of the
    application's own. Raises :class:`~fairlead.errors.BadPosition`."""
    stream, dot, after = last_event_id.partition(" ")[0].partition(".")
    return LastEvent(stream, parse_position(after)) if dot and is_id(stream) else None


def _root(scope: Scope) -> str:
    """The path before all of Fairlead's own."""
    return str(scope.get("root_path", ""))


def _path(scope: Scope, prefix: str) -> bytes:
    """The path at the application, percent-encoded as it came."""
    before = _root(scope) + prefix
    decoded: str = scope["path"].removeprefix(before)
    if climbs(decoded):
        raise BadRequest("the path must not hold the segments . and ..")
    raw: bytes = scope.get("raw_path") or b""
    if raw.startswith(before.encode()):
        return raw.removeprefix(before.encode())
    return quote(decoded).encode()


def _query(scope: Scope) -> bytes:
    query: bytes = without_our_credentials(scope.get("query_string", b""))
    if _KEY.encode() not in query:
        return query
    parts = query.split(b"&")
    return b"&".join(part for part in parts if part.partition(b"=")[0] != _KEY.encode())
