"""OpenAI's Realtime dialect: events as the server events of one response.

The text is an item ``message``; each tool call is an item ``function_call``. The text's item ends
where another one begins; text that follows it is another item. ``event_id`` names the stream and
numbers the response's frames from 0: adjacent deltas are therefore never joined.

What the dialect has no word for is not shown: reasoning, sources, further choices, what is done
meanwhile, media. A refusal is text. An answer that somebody stops is ``cancelled``. Text that is
taken back ends the answer as failed.

Source: OpenAI API reference, "Realtime server events".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from fairlead.dialects.openai_error import described, kind_of, word_for
from fairlead.errors import FairleadError
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    MAIN_PART,
    Asked,
    Done,
    Error,
    Event,
    Mark,
    Part,
    Reset,
    Token,
    Tool,
    Unknown,
    Usage,
)

#: What a request's own words are marked with (:class:`fairlead.ports.provider.Vendor`).
NAME = "openai-realtime"
#: Whether a reader may be shown merged deltas in this dialect.
MERGEABLE = False
#: What the ids of responses begin with; a stream's id follows.
PREFIX = "resp_"

#: The type of nearly every frame.
DELTA = "response.output_text.delta"
#: The types of the frames with which an item begins and ends.
ADDED, ITEM_DONE = "response.output_item.added", "response.output_item.done"

#: The vendor's word for why an answer is incomplete, by the upstream's for why it ended.
_INCOMPLETE = {
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}
#: Marks of when what of a text was there: so many at most, and so many milliseconds apart.
_MARKS, _STEP = 1000, 20

_encode = msgspec.json.Encoder().encode

Kind = Literal["message", "function_call"]
#: A text: what was before, its last piece, and the time of that. Another one is added without
#: copying those before.
Pieces = tuple["Pieces | None", str, int]


class Options(NamedTuple):
    """What a response repeats of its question: ``fields``, by the vendor's names."""

    fields: Mapping[str, Any]


class Written(NamedTuple):
    """An item as it stands: the vendor's ``fields``. ``marks`` tell when what of its text was
    there: after so many milliseconds, so many characters."""

    fields: dict[str, Any]
    marks: tuple[tuple[int, int], ...] = ()


class Frame(NamedTuple):
    """One server event: its type and one line of JSON; the item that begins or ends with it."""

    type: str
    data: bytes
    item: Written | None = None


class Item(NamedTuple):
    """An item of the output that is being written, at a ``place`` in it."""

    place: int
    kind: Kind
    id: str
    call_id: str = ""
    name: str = ""
    said: Pieces | None = None


class State(NamedTuple):
    """Where the fold stands. ``number``: of the next frame. ``plain``: what stands before the
    number of a delta of the main part, empty while it may not be continued; ``said`` is then the
    text of its item."""

    number: int
    plain: bytes
    said: Pieces | None
    rest: Rest


class Rest(NamedTuple):
    """What most events leave as it is. ``output`` has the items that are complete, by their index;
    ``choices`` the parts that belong to further choices, which are not shown. ``status`` is empty
    before the first frame."""

    stream: str
    fields: Mapping[str, Any]
    output: dict[int, dict[str, Any]]
    open: dict[int, Item]
    status: str = ""
    details: dict[str, Any] | None = None
    items: int = 0
    choices: frozenset[int] = frozenset()
    finish: str = ""
    usage: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.status not in ("", "in_progress")


def begin(stream: str, meta: GenerationMeta, options: Options) -> State:
    """The state before the first event of ``stream``."""
    return State(0, b"", None, Rest(stream, options.fields, {}, {}))


def step(state: State, event: Event | Unknown) -> tuple[State, tuple[Frame, ...]]:
    """The frames of one event, and the state after it."""
    if state.plain and type(event) is Token and event.part == MAIN_PART:
        state, data = delta(state, event)
        return state, (Frame(DELTA, data),)
    if isinstance(event, Unknown | Asked | Mark) or state.rest.ended:
        return state, ()
    pen = _Pen(state)
    pen.take(event)
    return pen.state(), tuple(pen.frames)


def delta(state: State, event: Token) -> tuple[State, bytes]:
    """The one frame of a piece of the text that ``state.plain`` may be continued with: nearly every
    event comes this way."""
    number, plain, said, rest = state
    text = event.text
    data = b'%b%d","delta":%b}' % (plain, number, _encode(text))
    return State(number + 1, plain, (said, text, event.at), rest), data


def error_event(error: FairleadError, event_id: str, cause: str | None = None) -> bytes:
    """The event ``event_id``, which states an error; ``cause``: the id of the client's event that
    led to it. The vendor's word for it may stand in its details (``vendor_code``)."""
    told = {**described(error), "event_id": cause}
    told["code"] = error.details.get("vendor_code") or told["code"]
    return _encode({"type": "error", "event_id": event_id, "error": told})


class _Pen:
    """Writes the frames of one event: a working copy of the state."""

    def __init__(self, state: State) -> None:
        self.frames: list[Frame] = []
        self._rest = state.rest
        self._number = state.number
        self._output = dict(state.rest.output)
        self._open = dict(state.rest.open)
        if state.plain:
            self._open[MAIN_PART] = self._open[MAIN_PART]._replace(said=state.said)

    def state(self) -> State:
        rest = self._rest._replace(output=self._output, open=self._open)
        item = self._open.get(MAIN_PART)
        if item is None:
            return State(self._number, b"", None, rest)
        plain = (
            b'{"type":"%b","response_id":"%b","item_id":"%b","output_index":%d,"content_index":0,'
            b'"event_id":"event_%b_'
            % (
                DELTA.encode(),
                (PREFIX + rest.stream).encode(),
                item.id.encode(),
                item.place,
                rest.stream.encode(),
            )
        )
        return State(self._number, plain, item.said, rest)

    def take(self, event: Event) -> None:
        """Write what the event adds."""
        if not self._rest.status:
            self._rest = self._rest._replace(status="in_progress")
            self._frame("response.created", {"response": self._response()})
        match event:
            case Token() | Tool():
                self._delta(event)
            case Part():
                self._part(event)
            case Usage():
                self._rest = self._rest._replace(usage=_usage(event))
            case Reset():
                self._reset(event)
            case Done():
                self._done(event)
            case Error():
                self._failed(event)
            case _:
                pass

    # -- the response

    def _response(self) -> dict[str, Any]:
        rest = self._rest
        return {
            "object": "realtime.response",
            "id": PREFIX + rest.stream,
            "status": rest.status,
            "status_details": rest.details,
            "output": [self._output[index] for index in sorted(self._output)],
            **rest.fields,
            "usage": rest.usage,
        }

    def _frame(self, type: str, fields: dict[str, Any], item: Written | None = None) -> None:
        event_id = f"event_{self._rest.stream}_{self._number}"
        self._number += 1
        data = _encode({"type": type, "event_id": event_id, **fields})
        self.frames.append(Frame(type, data, item))

    # -- items

    def _within(self, item: Item, type: str, fields: dict[str, Any]) -> None:
        """A frame about the content of an item."""
        where: dict[str, Any] = {
            "response_id": PREFIX + self._rest.stream,
            "item_id": item.id,
            "output_index": item.place,
        }
        where |= {"content_index": 0} if item.kind == "message" else {"call_id": item.call_id}
        self._frame(type, where | fields)

    def _bounds(self, type: str, item: Item, written: Written) -> None:
        """The frame with which an item begins or ends."""
        where = {"response_id": PREFIX + self._rest.stream, "output_index": item.place}
        self._frame(type, {**where, "item": written.fields}, written)

    def _opened(self, part: int, kind: Kind, call_id: str = "", name: str = "") -> Item:
        """Begin an item. The text ends there that a provider would not end otherwise."""
        self._closed(MAIN_PART)
        index = self._rest.items
        self._rest = self._rest._replace(items=index + 1)
        id = f"item_{self._rest.stream}_{index}"
        item = Item(index, kind, id, call_id or f"call_{id}", name)
        self._open[part] = item
        self._bounds(ADDED, item, Written(_fields(item, "in_progress", None)))
        if kind == "message":
            self._within(item, "response.content_part.added", {"part": _part("")})
        return item

    def _closed(self, part: int, status: str = "completed") -> None:
        """End an item, if the part has one."""
        item = self._open.pop(part, None)
        if item is None:
            return
        text = _text(item.said)
        if item.kind == "function_call":
            done = {"name": item.name, "arguments": text}
            self._within(item, "response.function_call_arguments.done", done)
        else:
            self._within(item, "response.output_text.done", {"text": text})
            self._within(item, "response.content_part.done", {"part": _part(text)})
        self._output[item.place] = fields = _fields(item, status, text)
        self._bounds(ITEM_DONE, item, Written(fields, _marks(item.said)))

    def _delta(self, event: Token | Tool) -> None:
        part = event.part
        if part in self._rest.choices:
            return
        item = self._open.get(part)
        if item is None:
            if not isinstance(event, Token):
                return
            item = self._opened(part, "message")
        self._open[part] = item._replace(said=(item.said, event.text, event.at))
        message = item.kind == "message"
        self._within(
            item,
            DELTA if message else "response.function_call_arguments.delta",
            {"delta": event.text},
        )

    def _part(self, event: Part) -> None:
        if event.choice:
            self._rest = self._rest._replace(choices=self._rest.choices | {event.part})
        elif event.state == "close":
            self._rest = self._rest._replace(finish=event.finish or self._rest.finish)
            self._closed(event.part, "incomplete" if event.finish in _INCOMPLETE else "completed")
        elif event.type == "tool_call":
            self._opened(event.part, "function_call", event.call_id, event.name)

    # -- ends

    def _reset(self, event: Reset) -> None:
        if self._rest.items:
            said = "what was written is no longer true: ask for it anew"
            self._failed(Error(event.at, said, "reset"))
        elif event.text:
            self._delta(Token(event.at, event.text))

    def _done(self, event: Done) -> None:
        if event.status == "stopped":
            self._end("cancelled", {"reason": "client_cancelled"})
            return
        reason = _INCOMPLETE.get(event.finish or self._rest.finish, "")
        if reason:
            self._end("incomplete", {"reason": reason})
        else:
            self._end("completed", {})

    def _failed(self, event: Error) -> None:
        code = word_for(event.code, event.vendor_code)
        told = {"type": kind_of(event.code), "code": code, "message": event.error}
        self._end("failed", {"error": told})

    def _end(self, status: str, details: dict[str, Any]) -> None:
        for part in tuple(self._open):
            self._closed(part, "completed" if status == "completed" else "incomplete")
        details = {"type": status, **details}
        self._rest = self._rest._replace(status=status, details=details)
        self._frame("response.done", {"response": self._response()})


def _text(said: Pieces | None) -> str:
    pieces: list[str] = []
    while said is not None:
        said, piece, _ = said
        pieces.append(piece)
    pieces.reverse()
    return "".join(pieces)


def _marks(said: Pieces | None) -> tuple[tuple[int, int], ...]:
    """When what of a text was there."""
    chain: list[tuple[int, int]] = []
    while said is not None:
        said, piece, at = said
        chain.append((at, len(piece)))
    if not chain:
        return ()
    chain.reverse()
    first, chars = chain[0][0], 0
    step = max(_STEP, (chain[-1][0] - first) // _MARKS)
    marks: list[tuple[int, int]] = []
    for at, more in chain:
        chars += more
        after = max(0, at - first)
        if marks and after < marks[-1][0] + step:
            marks[-1] = (marks[-1][0], chars)
        else:
            marks.append((after, chars))
    return tuple(marks)


def _fields(item: Item, status: str, text: str | None) -> dict[str, Any]:
    """An item as the vendor lists it; without ``text``, as it begins."""
    made: dict[str, Any] = {
        "id": item.id,
        "object": "realtime.item",
        "type": item.kind,
        "status": status,
    }
    if item.kind == "function_call":
        return made | {"call_id": item.call_id, "name": item.name, "arguments": text or ""}
    content = [] if text is None else [{"type": "output_text", "text": text}]
    return made | {"role": "assistant", "content": content}


def _part(text: str) -> dict[str, Any]:
    """The part of a message that holds its text."""
    return {"type": "text", "text": text}


def _usage(event: Usage) -> dict[str, Any]:
    """What an answer cost: all of it text."""
    cached = event.cached_tokens
    return {
        "total_tokens": event.input_tokens + event.output_tokens,
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "input_token_details": {
            "text_tokens": event.input_tokens,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": event.output_tokens, "audio_tokens": 0},
    }
