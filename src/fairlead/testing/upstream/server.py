"""The scripted upstream as a server on a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, cast

import msgspec

from fairlead.testing.upstream import chat, files, http
from fairlead.testing.upstream.behaviours import Answer, Behaviour, Echo, Pace, Status, split_tokens
from fairlead.testing.upstream.playback import Gate, Playback, Wheel
from fairlead.testing.upstream.requests import Changes, Ending, ReceivedRequest
from fairlead.testing.upstream.responses import Reading, Run
from fairlead.testing.upstream.steps import Send, Step, pace_of, play, status_response, whole

Script = Behaviour | Callable[[ReceivedRequest], Behaviour]


class ScriptedUpstream:
    """A model server that does what it is told; an async context manager.

    host, port: where to listen; port 0 takes a free one, and keeps it over ``stop()``.
    models: what ``GET /v1/models`` lists.
    api_key: requests without ``Authorization: Bearer <api_key>`` get 401. None takes any.

    requests: every request received so far, in order.
    tokens_sent: tokens of all answers handed to sockets so far.
    open_connections, connections_made: connections open now, and all ever accepted.
    closed_by_client: connections that the client closed first.
    responses: those of ``POST /v1/responses`` that are kept, by id.
    files: those that were uploaded to ``/v1/files``, by id.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        models: tuple[str, ...] = ("scripted",),
        api_key: str | None = None,
    ) -> None:
        self.requests: list[ReceivedRequest] = []
        self.tokens_sent = 0
        self.connections_made = 0
        self.closed_by_client = 0
        self.responses: dict[str, Run] = {}
        self.files: dict[str, files.StoredFile] = {}
        self._host = host
        self._port = port
        self._models = models
        self._authorization = None if api_key is None else f"Bearer {api_key}"
        self._script: deque[Script] = deque([Echo()])
        self._changes = Changes()
        self._gate = Gate()
        self._wheel: Wheel | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._requests_awaited = 0

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. After ``stop()``: again, on the same port."""
        if self._server is not None:
            raise RuntimeError("the upstream is running")
        loop = asyncio.get_running_loop()
        self._wheel = Wheel()
        self._server = await loop.create_server(
            lambda: _Connection(self), self._host, self._port, backlog=4096
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection: what a crash of the upstream looks like."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for connection in list(self._connections):
            connection.drop()
        await self.wait_open_connections(0)
        await server.wait_closed()

    @property
    def port(self) -> int:
        """The port; 0 before the first ``start()`` if none was asked for."""
        return self._port

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    # -- script ------------------------------------------------------------------------------------

    def script(self, *behaviours: Script) -> None:
        """Say how the coming chat requests are answered, one each; the last one repeats.

        Replaces what was scripted before. A function gets the request and gives its behaviour.
        """
        if not behaviours:
            raise ValueError("a script has at least one behaviour")
        self._script = deque(behaviours)

    def release(self, n: int = 1) -> None:
        """Let n more steps of the gated answers pass, in the order in which they wait.

        What nobody waits for yet is kept for those to come. See ``Pace.gated`` for what a step is,
        and ``ReceivedRequest.release`` for one answer alone.
        """
        self._gate.release(n)

    # -- waiting -----------------------------------------------------------------------------------

    async def wait_request(self) -> ReceivedRequest:
        """The next request that no earlier call has returned; waits until it has been read."""
        number = self._requests_awaited
        self._requests_awaited += 1
        await self._changes.until(lambda: len(self.requests) > number)
        return self.requests[number]

    async def wait_requests(self, n: int) -> ReceivedRequest:
        """Wait until n requests have been read, counted from the beginning; the n-th."""
        await self._changes.until(lambda: len(self.requests) >= n)
        return self.requests[n - 1]

    async def wait_closed(self, n: int = 1) -> None:
        """Wait until clients have closed n connections, counted from the beginning."""
        await self._changes.until(lambda: self.closed_by_client >= n)

    async def wait_tokens(self, n: int) -> None:
        """Wait until n tokens have been handed to sockets, counted from the beginning."""
        await self._changes.until(lambda: self.tokens_sent >= n)

    async def wait_open_connections(self, n: int) -> None:
        """Wait until exactly n connections are open."""
        await self._changes.until(lambda: self.open_connections == n)

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    # -- for the connections -----------------------------------------------------------------------

    def _opened(self, connection: _Connection) -> None:
        self._connections.add(connection)
        self.connections_made += 1
        self._changes.notify()

    def _closed(self, connection: _Connection, *, by_client: bool) -> None:
        self._connections.discard(connection)
        self.closed_by_client += by_client
        self._changes.notify()

    def _token(self, n: int) -> None:
        self.tokens_sent += n
        self._changes.notify()

    def _receive(self, raw: http.RawRequest) -> ReceivedRequest:
        path, _, query = raw.target.partition("?")
        try:
            body = msgspec.json.decode(raw.body) if raw.body else None
        except msgspec.DecodeError:
            body = None
        request = ReceivedRequest(
            number=len(self.requests) + 1,
            method=raw.method,
            path=path,
            query=query,
            headers=raw.headers,
            body=raw.body,
            json=body,
            _changes=self._changes,
        )
        self.requests.append(request)
        self._changes.notify()
        return request

    def _behaviour(self, request: ReceivedRequest) -> Behaviour | Reading | bytes:
        """What a request gets: a behaviour, a response's events, or what stands as it is."""
        if self._authorization not in (None, request.headers.get("authorization")):
            return Status(401)
        match request.method, request.path:
            case "GET", "/v1/models":
                return http.whole(200, "application/json", chat.models(self._models), {})
            case "POST", "/v1/embeddings":
                if not isinstance(request.json, dict):
                    return Status(400)
                made = chat.embeddings(request.json, request.model)
                return http.whole(200, "application/json", made, {})
            case "POST", "/v1/chat/completions":
                if not isinstance(request.json, dict):
                    return Status(400)
                return self._scripted(request)
            case "POST", "/v1/responses":
                if not isinstance(request.json, dict):
                    return Status(400)
                return self._respond(request, self._scripted(request))
            case _, path if path == "/v1/files" or path.startswith("/v1/files/"):
                return files.answer(self.files, request, path.split("/")[3:])
            case method, path if path.startswith("/v1/responses/"):
                return self._of_response(method, path.split("/")[3:], request)
            case _:
                return Status(404, f"Invalid URL ({request.method} {request.path})")

    def _scripted(self, request: ReceivedRequest) -> Behaviour:
        script = self._script[0] if len(self._script) == 1 else self._script.popleft()
        return script(request) if callable(script) else script

    def _respond(
        self, request: ReceivedRequest, behaviour: Behaviour
    ) -> Behaviour | Reading | bytes:
        if isinstance(behaviour, Echo):
            texts = request.message_texts("user")
            tokens = split_tokens(texts[-1] if texts else "")
            behaviour = Answer(tokens=tokens, pace=behaviour.pace, wire=behaviour.wire)
        if not isinstance(behaviour, Answer):
            return behaviour
        run = Run(behaviour.within(request.most), request)
        if run.background:
            if request.json.get("store") is False:
                return Status(400, "Background mode requires store=true.")
            self.responses[run.id] = run
        streams = request.asks_stream if behaviour.stream is None else behaviour.stream
        if streams:
            return Reading(run)
        body = run.whole() if run.background else run.completed()
        return b"".join(step.data for step in whole(behaviour, body, 0) if isinstance(step, Send))

    def _of_response(
        self, method: str, path: list[str], request: ReceivedRequest
    ) -> Reading | Status | bytes:
        """What is asked about a response that is kept."""
        run = self.responses.get(path[0])
        if run is None:
            return Status(404, f"Response with id '{path[0]}' not found.")
        query = dict(part.partition("=")[::2] for part in request.query.split("&"))
        match method, path[1:]:
            case "GET", [] if query.get("stream") == "true":
                return Reading(run, int(query.get("starting_after") or "-1"))
            case "POST", ["cancel"]:
                run.cancelled = not run.ended()
            case "GET", []:
                pass
            case _:
                return Status(404, f"Invalid URL ({request.method} {request.path})")
        return http.whole(200, "application/json", run.whole(), {})


class _Connection(asyncio.Protocol):
    """One connection: reads requests one after the other and plays the answers."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._reader = http.RequestReader()
        self._transport: asyncio.Transport | None = None
        self._playback: Playback | None = None
        self._keeps_alive = True
        self._closed_by_us = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._upstream._opened(self)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        self._next_request()

    def eof_received(self) -> None:
        # A client that closes its sending side is taken to have left: this server is there to
        # notice that at once, and no HTTP client half-closes.
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._playback is not None:
            self._playback.end(Ending.CUT if self._closed_by_us else Ending.CLIENT_CLOSED)
        self._upstream._closed(self, by_client=not self._closed_by_us)

    def pause_writing(self) -> None:
        if self._playback is not None:
            self._playback.socket_full(True)

    def resume_writing(self) -> None:
        if self._playback is not None:
            self._playback.socket_full(False)

    def drop(self) -> None:
        """Close now, whatever is under way."""
        assert self._transport is not None
        self._closed_by_us = True
        if self._playback is not None:
            self._playback.end(Ending.CUT)
        self._transport.abort()

    def _leave(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def _next_request(self) -> None:
        assert self._transport is not None
        while self._playback is None and not self._transport.is_closing():
            try:
                raw = self._reader.next()
            except http.BadHttp as error:
                self._closed_by_us = True
                self._transport.write(status_response(Status(400, str(error))))
                self._transport.close()
                return
            if raw is None:
                if self._reader.wants_continue:
                    self._reader.wants_continue = False
                    self._transport.write(http.head(100, {}))
                return
            self._play(raw, self._transport)

    def _play(self, raw: http.RawRequest, transport: asyncio.Transport) -> None:
        upstream = self._upstream
        assert upstream._wheel is not None
        self._keeps_alive = raw.keeps_alive
        request = upstream._receive(raw)
        behaviour = upstream._behaviour(request)
        if isinstance(behaviour, bytes):
            steps: Iterator[Step] = iter((Send(behaviour),))
            pace = Pace()
        else:
            steps = play(behaviour, request, chunkable=raw.version == "HTTP/1.1")
            pace = pace_of(behaviour)
        self._playback = Playback(
            steps,
            pace,
            request,
            transport,
            wheel=upstream._wheel,
            gate=upstream._gate,
            on_token=upstream._token,
            on_end=self._on_end,
        )
        self._playback.run()

    def _on_end(self, ending: Ending, closes: bool) -> None:
        assert self._transport is not None
        self._playback = None
        self._upstream._changes.notify()
        if ending is Ending.CUT:
            self._closed_by_us = True
        elif ending is Ending.COMPLETED:
            if self._keeps_alive and not closes:
                # Not from here: the caller may be the loop in _next_request.
                asyncio.get_running_loop().call_soon(self._next_request)
            else:
                self._closed_by_us = True
                self._transport.close()
