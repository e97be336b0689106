"""Attaching a request to a stream: where it goes on, and as what."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects import native
from fairlead.engine.reader import Reader
from fairlead.errors import BadPosition, BadRequest, Busy
from fairlead.events.meta import GenerationMeta
from fairlead.framing.event_stream import encode
from fairlead.journal.position import Position, parse_position
from fairlead.policy.caller import Caller
from fairlead.primitives import is_id
from fairlead.server import http
from fairlead.transports import rate_limit
from fairlead.transports.body import BodyWire, StreamResponse
from fairlead.transports.coding import PLAIN, Coding, coding_for
from fairlead.transports.messages import MessageWire
from fairlead.transports.poll import Poll, PollWire
from fairlead.transports.sse import HEADERS, BatchingSseWire, SseWire

PROTOCOL = "1"
NDJSON = "application/x-ndjson"
#: Milliseconds that a batch of tokens waits for more, unless the request says otherwise.
_BATCH_MS = 200


class LastEvent(NamedTuple):
    """What a ``Last-Event-ID`` names."""

    stream: str
    after: Position


def last_event(request: Request) -> LastEvent | None:
    """The stream and position of the request's ``Last-Event-ID``; None if it has none.

    Raises :class:`~fairlead.errors.BadPosition` for one that this server never issued.
    """
    text = request.headers.get("last-event-id", "")
    if not text:
        return None
    # After a blank, another application's own id may stand.
    stream, _, after = text.partition(" ")[0].partition(".")
    if not is_id(stream):
        raise BadPosition(
            "the 'Last-Event-ID' is not one of this server; it has the form {stream}.{position}"
        )
    return LastEvent(stream, parse_position(after))


class Presentation(NamedTuple):
    """How the request wants its events: as ``lines`` of JSON, or as SSE with ``size`` tokens in one
    event at most, after ``window`` ms."""

    options: native.Options
    size: int
    window: int
    lines: bool

    def wire(self, stream: str, meta: GenerationMeta) -> BodyWire:
        """The wire that presents ``stream`` so."""
        if self.lines:
            return MessageWire(stream, meta)
        if self.size == 1:
            return SseWire(stream, meta, self.options)
        return BatchingSseWire(stream, meta, self.options, self.size)


def presentation(request: Request) -> Presentation:
    """What the query says of it. Asked before anything is started, so that a wrong value starts
    nothing."""
    events = http.choice(request, "events", ("named", "message"))
    size = http.integer(request, "batch", 1, 1, 100)
    window = http.integer(request, "batch_ms", _BATCH_MS if size > 1 else 0, 0, 10_000)
    if window and size == 1:
        size = 100
    lines = NDJSON in request.headers.get("accept", "")
    if lines and (size > 1 or events != "named"):
        raise BadRequest(f"'events' and 'batch' are for text/event-stream, not for {NDJSON}")
    options = native.Options(cast("Literal['named', 'message']", events))
    return Presentation(options, size, window, lines)


async def attach(
    request: Request, caller: Caller, stream: str, after: Position | None, shown: Presentation
) -> Response:
    """An SSE response that goes on after a position.

    A browser's ``EventSource`` reconnects when a body ends, even after ``done``: at the end of a
    finished stream it is answered 204, which tells it to stop (HTML, section 9.2.3). A 503 would
    stop it as well, for good: at the cap of readers one that comes back is told when to come again.
    """
    engine = http.system(request).engine
    try:
        reader = await engine.attach(caller, stream, after, shown.wire)
    except Busy as busy:
        if after is None or shown.lines or request.method != "GET":
            raise
        return _come_again(busy, shown)
    if after is not None and request.method == "GET" and await reader.over():
        engine.detach(reader)
        return Response(status_code=204, headers=stream_headers(reader))
    return respond(request, reader, shown)


def respond(request: Request, reader: Reader[BodyWire], shown: Presentation) -> Response:
    """The response that streams ``reader`` and detaches it in the end."""
    system = http.system(request)
    standings = system.engine.standings(reader.live.stream)
    return StreamResponse(
        system.engine,
        reader,
        system.connections,
        stream_headers(reader) | rate_limit.headers(standings),
        batch_window=shown.window / 1000,
        coding=coding_of(request, reader),
    )


async def poll(
    request: Request, caller: Caller, stream: str, after: Position | None, wait: int
) -> Response:
    """A long poll: what follows a position, as soon as there is anything."""
    system = http.system(request)
    reader = await system.engine.attach(caller, stream, after, PollWire)
    headers = stream_headers(reader)
    coding = coding_of(request, reader)
    answering = Poll(system.engine, reader, system.connections)
    return await answering.answer(request, wait, headers, coding)


def coding_of(request: Request, reader: Reader[Any]) -> Coding:
    """How the response that shows ``reader`` is compressed. Never what another application wrote:
    nobody here knows whether it puts its secrets beside what somebody else may have it write."""
    if http.system(request).config.compression == "off" or reader.live.meta.relayed:
        return PLAIN
    return coding_for(", ".join(request.headers.getlist("accept-encoding")))


def _come_again(busy: Busy, shown: Presentation) -> Response:
    wait = busy.retry_after or 5.0
    notice = native.frame("drain", {"retry_after": wait, "reason": busy.code}, shown.options)
    block = encode(notice.data, event=notice.event or None, retry=round(wait * 1000))
    return Response(block, headers=HEADERS | {"fairlead-protocol": PROTOCOL})


def stream_headers(reader: Reader[Any]) -> dict[str, str]:
    """What every response says of the stream that it reads."""
    headers = {"fairlead-stream": reader.live.stream, "fairlead-protocol": PROTOCOL}
    if conversation := reader.live.meta.conversation:
        headers["fairlead-conversation"] = conversation
    return headers


def after_parameter(request: Request, stream: str) -> Position | None:
    """Where ``GET /streams/{id}`` goes on: ``Last-Event-ID``, else ``after``, else the start."""
    known = last_event(request)
    if known is not None:
        if known.stream != stream:
            raise BadRequest(
                f"the 'Last-Event-ID' is of the stream {known.stream}, the path names another"
            )
        return known.after
    text = request.query_params.get("after", "")
    if not text:
        return None
    # A whole id will do, as a reader was shown it.
    return parse_position(text.partition(" ")[0].removeprefix(f"{stream}."))
