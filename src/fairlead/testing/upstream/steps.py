"""A behaviour as a sequence of steps: what to send, and when to wait or cut. Pure.

The server carries the steps out; all that a scripted answer does is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import pairwise

import msgspec

from fairlead.testing.upstream import http
from fairlead.testing.upstream.behaviours import (
    Answer,
    Behaviour,
    Close,
    Echo,
    Fault,
    HugeLine,
    Insert,
    Pace,
    Refuse,
    Reset,
    Silent,
    Stall,
    Status,
    StreamError,
    Truncate,
    Wire,
    split_tokens,
)
from fairlead.testing.upstream.chat import Chat, error_object
from fairlead.testing.upstream.requests import ReceivedRequest
from fairlead.testing.upstream.responses import Event, Reading, Run

#: One write; larger events are sent in slices, so that the socket's buffer is respected.
MAX_WRITE_BYTES = 64 << 10


class Send(msgspec.Struct, frozen=True, gc=False):
    """Write these bytes; they complete so many tokens."""

    data: bytes
    tokens: int = 0


class Turn(Enum):
    """Wait."""

    TOKEN = "token"
    """for the pace of the answer: a delay, or a release."""
    PIECE = "piece"
    """between two pieces of one event."""
    NEVER = "never"
    """until the client closes."""


class Cut(Enum):
    """End the connection."""

    RESET = "reset"
    """with a TCP reset, dropping what the client has not received."""
    CLOSE = "close"
    """in the middle of the answer."""
    FINISH = "finish"
    """because the answer is complete and has no other end."""


Step = Send | Turn | Cut


def play(
    behaviour: Behaviour | Reading, request: ReceivedRequest, *, chunkable: bool
) -> Iterator[Step]:
    """The steps that answer a request.

    chunkable: the client understands a chunked body (HTTP/1.1).
    """
    match behaviour:
        case Reading(run=run, after=after):
            return _read(run, after, chunkable)
        case Answer():
            behaviour = behaviour.within(request.most)
            streams = request.asks_stream if behaviour.stream is None else behaviour.stream
            if streams:
                return _stream(behaviour, request, chunkable)
            return _whole(behaviour, request)
        case Echo(pace=pace, wire=wire):
            texts = request.message_texts("user")
            tokens = split_tokens(texts[-1] if texts else "")
            return play(Answer(tokens=tokens, pace=pace, wire=wire), request, chunkable=chunkable)
        case Status():
            return iter((Send(status_response(behaviour)),))
        case Silent(headers=headers):
            shown = _stream_head("text/event-stream", chunkable) if headers else b""
            return iter((Send(shown), Turn.NEVER) if headers else (Turn.NEVER,))
        case Refuse():
            return iter((Cut.RESET,))


def pace_of(behaviour: Behaviour | Reading) -> Pace:
    """The pace of a behaviour; those without one act at once."""
    if isinstance(behaviour, Reading):
        return behaviour.run.answer.pace
    return behaviour.pace if isinstance(behaviour, Answer | Echo) else Pace()


def status_response(status: Status) -> bytes:
    """The whole response to a ``Status``."""
    headers = dict(status.headers)
    if status.retry_after is not None:
        value = status.retry_after
        headers["Retry-After"] = f"{value:g}" if isinstance(value, int | float) else value
    if status.html:
        page = f"<html><head><title>{status.code}</title></head><body>nginx</body></html>\r\n"
        return http.whole(status.code, "text/html", page.encode(), headers)
    body = msgspec.json.encode(error_object(status.code, status.message))
    return http.whole(status.code, "application/json", body, headers)


# -- whole answers ---------------------------------------------------------------------------------


def _whole(answer: Answer, request: ReceivedRequest) -> Iterator[Step]:
    chat = Chat(answer, request)
    return whole(answer, chat.completion(), sum(1 for _ in chat.tokens()))


def whole(answer: Answer, body: bytes, tokens: int) -> Iterator[Step]:
    """The steps of an answer that is one JSON object, of so many tokens."""
    response = http.whole(200, "application/json", body, {})
    yield Turn.TOKEN
    for fault in answer.faults:
        if isinstance(fault, Reset | Close | Truncate | Stall):
            yield Send(response[: len(response) - len(body) // 2])
            yield _END_OF[type(fault)]
            return
    yield Send(response, tokens=tokens)


_END_OF: dict[type[Fault], Step] = {
    Reset: Cut.RESET,
    Close: Cut.CLOSE,
    Truncate: Cut.CLOSE,
    Stall: Turn.NEVER,
}


# -- streamed answers ------------------------------------------------------------------------------


def _stream(answer: Answer, request: ReceivedRequest, chunkable: bool) -> Iterator[Step]:
    chat = Chat(answer, request)
    body = Body(answer.wire, chunked=answer.wire.chunked and chunkable)
    faults = sorted(answer.faults, key=lambda fault: fault.after)

    yield Send(_stream_head(answer.content_type, body.chunked))
    if answer.wire.bom:
        yield Send(body.frame(b"\xef\xbb\xbf"))
    for opening in chat.openings():
        yield from body.event(opening)

    for sent, token in enumerate(chat.tokens()):
        while faults and faults[0].after <= sent:
            fault = faults.pop(0)
            yield from _strike(fault, chat, body, token)
            if not isinstance(fault, Insert | HugeLine):
                return
        yield Turn.TOKEN
        yield from body.event(token, tokens=1)

    endings = list(chat.endings())
    for fault in faults:
        yield from _strike(fault, chat, body, endings[0])
        if not isinstance(fault, Insert | HugeLine):
            return
    yield Turn.TOKEN
    for ending in endings:
        yield from body.event(ending)
    yield from body.done()
    yield from body.end()


def _read(run: Run, after: int, chunkable: bool) -> Iterator[Step]:
    """A response's events after one of them, in the pace in which they come to be."""
    answer = run.answer
    body = Body(answer.wire, chunked=answer.wire.chunked and chunkable)
    yield Send(_stream_head(answer.content_type, body.chunked))
    if answer.wire.bom:
        yield Send(body.frame(b"\xef\xbb\xbf"))
    faults = sorted(enumerate(answer.faults), key=lambda each: each[1].after)
    for index, group in enumerate(run.groups):
        new = index >= run.reached
        for number, fault in faults if new and index else ():
            if number in run.struck or isinstance(fault, HugeLine) or fault.after > index - 1:
                continue
            run.struck.add(number)
            yield from _strike(fault, run, body, group[0].data)
            if not isinstance(fault, Insert):
                return
        if new and index:
            yield Turn.TOKEN
        if run.cancelled:
            yield from _named(body, run.cancellation(), 0)
            break
        # Before it is written: with the last byte the reader may be gone.
        run.reached = max(run.reached, index + 1)
        is_token = new and 0 < index < len(run.groups) - 1
        for event in group:
            if event.number > after:
                yield from _named(body, event, int(is_token and event is group[-1]))
    yield from body.end()


def _named(body: Body, event: Event, tokens: int) -> Iterator[Step]:
    return body.event(event.data, tokens, event.type)


def _strike(fault: Fault, chat: Chat | Run, body: Body, upcoming: bytes) -> Iterator[Step]:
    """The steps of a fault; ``upcoming`` is the JSON that would have been sent next."""
    if not isinstance(fault, Stall):
        yield Turn.TOKEN
    match fault:
        case Reset():
            yield Cut.RESET
        case Close(clean=clean):
            if clean and body.chunked:
                yield Send(http.LAST_CHUNK)
            yield Cut.CLOSE
        case Truncate():
            yield Send(body.half(upcoming))
            yield Cut.CLOSE
        case Stall():
            yield Turn.NEVER
        case StreamError(error=error, done=done):
            yield from body.event(chat.error(dict(error)))
            if done:
                yield from body.done()
            yield from body.end()
        case Insert(data=data):
            yield from body.raw(data)
        case HugeLine(size=size):
            assert isinstance(chat, Chat)  # a response has them among its events
            yield from body.event(chat.of_line_length(size - body.prefix_bytes))


def _stream_head(content_type: str, chunked: bool) -> bytes:
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}
    fields = {"Content-Type": content_type, "Cache-Control": "no-cache", **framing}
    return http.head(200, fields)


class Body:
    """The bytes of a streamed body: JSON as events, events as pieces, pieces as chunks.

    It writes the event-stream format by itself: a server for tests should not share the code that
    the tests are about.
    """

    def __init__(self, wire: Wire, *, chunked: bool) -> None:
        self.chunked = chunked
        self._wire = wire
        self._prefix = b"data: " if wire.space else b"data:"
        self.prefix_bytes = len(self._prefix)
        self._plain = not (wire.multiline or wire.comment or wire.newline != b"\n")
        self._splits = bool(wire.piece_bytes or wire.split_characters)

    def frame(self, data: bytes) -> bytes:
        """One HTTP chunk, or the bytes as they are."""
        return http.chunk(data) if self.chunked else data

    def event(self, payload: bytes, tokens: int = 0, name: str = "") -> Iterator[Step]:
        """One event with that JSON, and that name if it has one."""
        return self.raw(self._block(payload, name=name), tokens)

    def done(self) -> Iterator[Step]:
        """The ``[DONE]`` event."""
        block = self._block(b"[DONE]", json=False)
        if not self._wire.done_blank_line:
            block = block.removesuffix(self._wire.newline)
        return self.raw(block)

    def end(self) -> Iterator[Step]:
        """The end of the body; one that is not chunked ends with its connection."""
        yield Send(http.LAST_CHUNK) if self.chunked else Cut.FINISH

    def half(self, payload: bytes) -> bytes:
        """An event that breaks off in the middle of its chunk."""
        block = self._block(payload)
        announced = b"%x\r\n" % len(block) if self.chunked else b""
        return announced + block[: len(block) // 2]

    def raw(self, data: bytes, tokens: int = 0) -> Iterator[Step]:
        """These bytes, in the pieces that the wire asks for."""
        if not self._splits and len(data) <= MAX_WRITE_BYTES:
            yield Send(self.frame(data), tokens)
            return
        pieces = self._pieces(data)
        for piece in pieces[:-1]:
            yield Send(self.frame(piece))
            if self._splits:
                yield Turn.PIECE
        yield Send(self.frame(pieces[-1]), tokens)

    def _block(self, payload: bytes, *, json: bool = True, name: str = "") -> bytes:
        if self._plain:
            named = b"event: %b\n" % name.encode() if name else b""
            return named + self._prefix + payload + b"\n\n"
        wire = self._wire
        if wire.multiline and json:
            payload = msgspec.json.format(payload, indent=1)
        lines = [self._prefix + line for line in payload.split(b"\n")]
        if name:
            lines.insert(0, b"event: " + name.encode())
        if wire.comment:
            lines.insert(0, b": " + wire.comment.encode())
        return wire.newline.join([*lines, b"", b""])

    def _pieces(self, data: bytes) -> list[bytes]:
        step = self._wire.piece_bytes or MAX_WRITE_BYTES
        cuts = set(range(0, len(data), step))
        if self._wire.split_characters:
            # A continuation byte: the cut falls inside a character.
            cuts.update(at for at, byte in enumerate(data) if byte & 0xC0 == 0x80)
        marks = [*sorted(cuts), len(data)]
        return [data[a:b] for a, b in pairwise(marks)]
