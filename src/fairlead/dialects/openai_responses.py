"""OpenAI's Responses dialect: events as the numbered events of a response.

Each frame has a ``sequence_number``; they count from 0 without a gap, and depend on the log alone,
so that a frame has the same number on every read. Adjacent deltas are therefore never joined.

The answer's text is an item ``message``; the reasoning is an item ``reasoning`` (its
``reasoning_text``, since no provider tells a summary apart); each tool call is an item
``function_call``, or ``custom_tool_call`` where the question has it as a custom tool; a picture is
an item ``image_generation_call``. The text's item ends where another one begins; text that
follows it is another item. Sources are annotations of the text that
they precede: ``url_citation`` where their address is one of the web, else ``file_citation``.

What the dialect has no word for is not shown: further choices, what is done meanwhile, other media.
An answer that somebody stops ends with ``response.incomplete``, whose response is ``cancelled``.
Text that is taken back ends the answer as failed.

Source: OpenAI API reference, "Responses", "Streaming events".
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import msgspec

from fairlead.dialects import custom_tool
from fairlead.dialects.openai_chat import extra_of
from fairlead.dialects.openai_error import error_object, word_for
from fairlead.dialects.openai_responses_items import (
    ID_PREFIXES,
    Item,
    Kind,
    Pieces,
    annotations_of,
    content_of,
    item_of,
    logprobs_of,
    text_of,
    usage_of,
)
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    MAIN_PART,
    NO_EXTRA,
    Asked,
    Done,
    Error,
    Event,
    Mark,
    Media,
    Part,
    Reasoning,
    Reset,
    Source,
    Sources,
    Thinking,
    Token,
    Tool,
    Unknown,
    Usage,
)

#: What a request's own words are marked with (:class:`fairlead.ports.provider.Vendor`).
NAME = "openai-responses"
#: Whether a reader may be shown merged deltas in this dialect.
MERGEABLE = False
#: What the dialect's ids begin with; a stream's id follows.
PREFIX = "resp_"

#: What an answer repeats of its question, as it is where nothing was said.
FIELDS: dict[str, Any] = {
    "background": False,
    "conversation": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "auto",
    "user": None,
}

#: The vendor's word for why an answer is incomplete, by the upstream's for why it ended.
_INCOMPLETE = {
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}
#: Lengths of obfuscated deltas are multiples of this.
_PADDED = 64

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Tool(msgspec.Struct):
    type: str = ""
    name: str | None = None


_tools = msgspec.json.Decoder(list[_Tool])


class Frame(NamedTuple):
    """What a transport writes: an event name and one line of data."""

    event: bytes
    data: bytes


#: Where the fold stands: the number of the next frame; what stands before the number of a delta of
#: the main part, empty while it may not be continued; the text of its item then; and the rest. A
#: plain tuple, because one is made for each delta.
State = tuple[int, bytes, Pieces | None, "Rest"]


class Rest(NamedTuple):
    """What most events leave as it is. ``output`` has the items that are complete, by their index;
    ``choices`` the parts that belong to further choices, which are not shown. ``sources`` wait for
    a text. ``customs`` names the custom tools. ``status`` is empty before the first frame."""

    stream: str
    meta: GenerationMeta
    fields: dict[str, Any]
    output: dict[int, msgspec.Raw]
    open: dict[int, Item]
    created: int = 0
    status: str = ""
    items: int = 0
    choices: frozenset[int] = frozenset()
    sources: tuple[Source, ...] = ()
    customs: frozenset[str] = frozenset()
    finish: str = ""
    usage: dict[str, Any] | None = None
    completed: int | None = None
    error: Error | None = None
    incomplete: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "cancelled", "failed", "incomplete")


def begin(stream: str, meta: GenerationMeta, options: object = None) -> State:
    """The state before the first event of ``stream``."""
    fields = FIELDS | {"background": meta.orphan_window is None}
    return 0, b"", None, Rest(stream, meta, fields, {}, {})


def step(state: State, event: Event | Unknown) -> tuple[State, tuple[Frame, ...]]:
    """The frames of one event, and the state after it."""
    number, plain, said, rest = state
    if plain and type(event) is Token and event.part == MAIN_PART:
        if event.extra is NO_EXTRA:
            # The token path: nearly every event comes this way.
            data = b'%b%d,"delta":%b}' % (plain, number, _encode(event.text))
            return (number + 1, plain, (said, event.text), rest), (Frame(DELTA, data),)
    if isinstance(event, Unknown | Mark) or rest.ended:
        return state, ()
    pen = _Pen(state)
    pen.take(event)
    return pen.state(), tuple(pen.frames)


def obfuscated(frame: Frame) -> Frame:
    """The frame; if a delta, with a field ``obfuscation`` that makes its length tell less of
    the text's: the same on every read."""
    if not frame.event.endswith(b".delta"):
        return frame
    bare = len(frame.data) + len(b',"obfuscation":""')
    padding = b"x" * (_PADDED - bare % _PADDED)
    return Frame(frame.event, b'%b,"obfuscation":"%b"}' % (frame.data[:-1], padding))


def failure(message: str, code: str) -> Frame:
    """What tells a reader that it is shown no more; SDKs raise it. It is no event of the response,
    and has no number."""
    return Frame(b"error", error_object(message, code))


DELTA = b"response.output_text.delta"


class Response:
    """Adds up events. ``error`` is set where the answer ended with one; ``ended``: a terminal event
    has come. ``asked``: what it was asked, if that was in this dialect."""

    def __init__(self, stream: str, meta: GenerationMeta) -> None:
        self.asked: Asked | None = None
        self._state = begin(stream, meta)

    @property
    def ended(self) -> bool:
        return self._rest.ended

    @property
    def error(self) -> Error | None:
        return self._rest.error

    @property
    def stored(self) -> bool:
        """Whether its asker wants it to be found again."""
        return bool(msgspec.json.decode(_encode(self._rest.fields["store"])))

    @property
    def previous(self) -> str:
        """The response that it goes on with; empty if none."""
        return msgspec.json.decode(_encode(self._rest.fields["previous_response_id"])) or ""

    @property
    def output(self) -> list[Any]:
        """The items that are complete."""
        output = self._rest.output
        return [msgspec.json.decode(output[index]) for index in sorted(output)]

    def add(self, event: Event | Unknown) -> None:
        """Take one more event in."""
        if isinstance(event, Asked):
            self.asked = event
        self._state, _ = step(self._state, event)

    @property
    def _rest(self) -> Rest:
        return self._state[3]

    def object(self) -> bytes:
        """The response so far."""
        pen = _Pen(self._state)
        return _encode(pen.response(pen.rest.status or "queued"))


class _Pen:
    """Writes the frames of one event: a working copy of the state."""

    def __init__(self, state: State) -> None:
        self.frames: list[Frame] = []
        self._number, plain, said, self.rest = state
        self._output = dict(self.rest.output)
        self._open = dict(self.rest.open)
        if plain:
            self._open[MAIN_PART] = self._open[MAIN_PART]._replace(said=said)

    def state(self) -> State:
        rest = self.rest._replace(output=self._output, open=self._open)
        item = self._open.get(MAIN_PART)
        if item is None or item.content != "output_text":
            return self._number, b"", None, rest
        plain = (
            b'{"type":"%b","item_id":"%b","output_index":%d,"content_index":0,"logprobs":[],'
            b'"sequence_number":' % (DELTA, item.id.encode(), item.place)
        )
        return self._number, plain, item.said, rest

    def take(self, event: Event) -> None:
        """Write what the event adds."""
        if isinstance(event, Asked):
            self.rest = self.rest._replace(created=event.at // 1000)
            if event.dialect == NAME:
                fields = _fields.decode(event.fields)
                tools = _tools.decode(fields.get("tools", b"[]"))
                customs = frozenset(
                    tool.name for tool in tools if tool.type == "custom" and tool.name
                )
                self.rest = self.rest._replace(fields=self.rest.fields | fields, customs=customs)
            return
        self._begin(event)
        match event:
            case Token() | Reasoning() | Tool():
                self._delta(event)
            case Part():
                self._part(event)
            case Sources():
                self.rest = self.rest._replace(sources=event.sources)
            case Media():
                self._media(event)
            case Usage():
                self.rest = self.rest._replace(usage=usage_of(event))
            case Reset():
                self._reset(event)
            case Done():
                self._done(event)
            case Error():
                self._failed(event)
            case _:
                pass

    # -- the response

    def response(self, status: str) -> dict[str, Any]:
        """The response object as it stands."""
        rest = self.rest
        error = None
        if rest.error is not None:
            error = {"code": word_for(rest.error.code), "message": rest.error.error}
        unfinished = "in_progress" if status in ("queued", "in_progress") else "incomplete"
        output: dict[int, Any] = {**self._output}
        for item in self._open.values():
            output[item.place] = item_of(item, unfinished, [])
        return {
            "id": PREFIX + rest.stream,
            "object": "response",
            "created_at": rest.created,
            "status": status,
            "completed_at": rest.completed,
            "error": error,
            "incomplete_details": {"reason": rest.incomplete} if rest.incomplete else None,
            "model": rest.meta.model,
            "output": [output[index] for index in sorted(output)],
            "usage": rest.usage,
            **rest.fields,
        }

    def _begin(self, event: Event) -> None:
        """Say that the response has been made, waits, is being written."""
        rest = self.rest
        waits = isinstance(event, Thinking) and event.status == "queued"
        if not rest.status:
            status = "queued" if waits else "in_progress"
            created = rest.created or event.at // 1000
            self.rest = rest._replace(created=created, status=status)
            self._told("created")
        elif rest.status != "queued" or waits:
            return
        self.rest = self.rest._replace(status="queued" if waits else "in_progress")
        self._told(self.rest.status)

    def _told(self, name: str) -> None:
        self._frame(f"response.{name}", {"response": self.response(self.rest.status)})

    def _frame(self, type: str, fields: dict[str, Any]) -> None:
        made = {"type": type, "sequence_number": self._number, **fields}
        self._number += 1
        self.frames.append(Frame(type.encode(), _encode(made)))

    # -- items

    def _within(self, item: Item, type: str, fields: dict[str, Any]) -> None:
        """A frame about the content of an item."""
        where: dict[str, Any] = {"item_id": item.id, "output_index": item.place}
        if item.content:
            where["content_index"] = 0
        self._frame(type, where | fields)

    def _opened(
        self, part: int, kind: Kind, content: str = "", call_id: str = "", name: str = ""
    ) -> Item:
        """Begin an item. The text ends there that a provider would not end otherwise."""
        self._closed(MAIN_PART)
        item = self._new(kind, content, call_id, name)
        self._open[part] = item
        added = item_of(item, "in_progress", None)
        self._frame("response.output_item.added", {"output_index": item.place, "item": added})
        if content:
            empty = content_of(item, "", [])
            self._within(item, "response.content_part.added", {"part": empty})
        return item

    def _new(self, kind: Kind, content: str, call_id: str, name: str) -> Item:
        index = self.rest.items
        self.rest = self.rest._replace(items=index + 1)
        id = f"{ID_PREFIXES[kind]}{self.rest.stream}_{index}"
        return Item(index, kind, id, content, call_id or f"call_{id}", name)

    def _closed(self, part: int, status: str = "completed") -> None:
        """End an item, if the part has one."""
        item = self._open.pop(part, None)
        if item is None:
            return
        annotations: list[dict[str, Any]] = []
        if item.kind == "custom_tool_call" and (held := custom_tool.rest(item.reading)):
            item = item._replace(said=(item.said, held))
            self._within(item, "response.custom_tool_call_input.delta", {"delta": held})
        text = text_of(item)
        if item.kind == "custom_tool_call":
            self._within(item, "response.custom_tool_call_input.done", {"input": text})
        elif item.kind == "function_call":
            done = {"arguments": text, "name": item.name}
            self._within(item, "response.function_call_arguments.done", done)
        else:
            if item.content == "output_text" and self.rest.sources:
                annotations = annotations_of(self.rest.sources, text)
                self.rest = self.rest._replace(sources=())
            for index, annotation in enumerate(annotations):
                added = {"annotation_index": index, "annotation": annotation}
                self._within(item, "response.output_text.annotation.added", added)
            said = content_of(item, text, annotations)
            name = "refusal" if item.content == "refusal" else "text"
            more = {"logprobs": item.logprobs} if item.content == "output_text" else {}
            self._within(item, f"response.{item.content}.done", {name: text, **more})
            self._within(item, "response.content_part.done", {"part": said})
        self._output[item.place] = msgspec.Raw(_encode(item_of(item, status, annotations)))
        made = {"output_index": item.place, "item": self._output[item.place]}
        self._frame("response.output_item.done", made)

    def _delta(self, event: Token | Reasoning | Tool) -> None:
        part = event.part
        if part in self.rest.choices:
            return
        item = self._open.get(part)
        if isinstance(event, Token):
            refused = event.extra is not NO_EXTRA and "refusal" in extra_of(event.extra).delta
            content = "refusal" if refused else "output_text"
            if item is not None and item.content != content:
                self._closed(part)
                item = None
            item = item or self._opened(part, "message", content)
        elif item is None:
            return
        text, logprobs = event.text, logprobs_of(event)
        type = item.content or "function_call_arguments"
        if item.kind == "custom_tool_call":
            type = "custom_tool_call_input"
            reading, text = custom_tool.read(item.reading, text)
            item = item._replace(reading=reading)
        said = (item.said, text)
        self._open[part] = item._replace(said=said, logprobs=item.logprobs + logprobs)
        if not text and event.text:
            return  # what has come of a custom tool's input is no text yet
        fields: dict[str, Any] = {"delta": text}
        if type == "output_text":
            fields["logprobs"] = logprobs
        self._within(item, f"response.{type}.delta", fields)

    def _part(self, event: Part) -> None:
        if event.choice:
            self.rest = self.rest._replace(choices=self.rest.choices | {event.part})
        elif event.state == "close":
            self.rest = self.rest._replace(finish=event.finish or self.rest.finish)
            status = "incomplete" if event.finish in _INCOMPLETE else "completed"
            item = self._open.get(event.part)
            if event.signature and item is not None and item.kind == "reasoning":
                self._open[event.part] = item._replace(sealed=event.signature)
            self._closed(event.part, status)
        elif event.type == "reasoning":
            self._opened(event.part, "reasoning", "reasoning_text")
        elif event.type == "tool_call":
            custom = event.name in self.rest.customs
            kind: Kind = "custom_tool_call" if custom else "function_call"
            self._opened(event.part, kind, "", event.call_id, event.name)

    def _media(self, event: Media) -> None:
        if event.part in self.rest.choices or not event.content_type.startswith("image/"):
            return
        if not event.data:
            return
        self._closed(MAIN_PART)
        index = self.rest.items
        self.rest = self.rest._replace(items=index + 1)
        made = {
            "id": f"ig_{self.rest.stream}_{index}",
            "type": "image_generation_call",
            "status": "in_progress",
            "result": None,
        }
        self._frame("response.output_item.added", {"output_index": index, "item": made})
        made |= {"status": "completed", "result": base64.b64encode(event.data).decode()}
        self._output[index] = msgspec.Raw(_encode(made))
        done = {"output_index": index, "item": self._output[index]}
        self._frame("response.output_item.done", done)

    # -- ends

    def _reset(self, event: Reset) -> None:
        if self.rest.items:
            said = "what was written is no longer true: ask for it anew"
            self._failed(Error(event.at, said, "reset"))
        elif event.text:
            self._delta(Token(event.at, event.text))

    def _done(self, event: Done) -> None:
        if event.status == "stopped":
            self._end("cancelled", "incomplete", event.at)
            return
        reason = _INCOMPLETE.get(event.finish or self.rest.finish, "")
        self.rest = self.rest._replace(incomplete=reason)
        status = "incomplete" if reason else "completed"
        self._end(status, status, event.at)

    def _failed(self, event: Error) -> None:
        self.rest = self.rest._replace(error=event)
        self._end("failed", "failed", event.at)

    def _end(self, status: str, name: str, at: int) -> None:
        for part in tuple(self._open):
            self._closed(part, "completed" if status == "completed" else "incomplete")
        completed = at // 1000 if status == "completed" else None
        self.rest = self.rest._replace(status=status, completed=completed)
        self._told(name)
