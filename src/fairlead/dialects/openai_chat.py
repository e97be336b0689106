"""OpenAI's Chat Completions dialect: events as ``chat.completion.chunk`` objects.

What an upstream of the same dialect sent comes out again, in this normal form:

* ``id`` is ``chatcmpl-`` and the stream's, ``created`` the time of the stream's first event, and
  ``object`` the dialect's word. ``model``, ``system_fingerprint`` and ``service_tier`` are those
  that the upstream has given, in every chunk from then on; before, ``model`` is ours.
* Each delta is a chunk of its own, or is joined with its neighbours where a reader is behind.
  ``role`` stands in the first delta of a choice. A field that is ``null`` counts as absent, except
  ``finish_reason``, which every choice has.
* A tool call is begun by the chunk of its first arguments; calls are numbered in the order of their
  beginning. Reasoning is ``reasoning_content``.
* A field of the chunk that we do not know is stated where its value first appears, and again
  whenever it changes. Those of choices, deltas and tool calls stand where they stood, or, if
  nothing else came with them, in the next chunk of the choice.
* ``usage`` is a chunk of its own, before ``[DONE]``, for those who asked for it.

Of events that no such upstream has: sources are ``citations`` and, in the delta, ``annotations``;
a picture is one of the delta's ``images``. What is being done meanwhile is not shown. Text that is
taken back ends the answer with an error: the dialect has no word for that.

Source: OpenAI API reference, "The chat completion chunk object".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from fairlead.dialects.openai_error import error_object
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    MAIN_PART,
    NO_EXTRA,
    Done,
    Error,
    Event,
    Mark,
    Media,
    Part,
    PartKind,
    Reasoning,
    Reset,
    Source,
    Sources,
    Token,
    Tool,
    Unknown,
    Usage,
)

#: What a request's own words are marked with (:class:`fairlead.ports.provider.Vendor`).
NAME = "openai-chat"
#: Whether a reader may be shown merged deltas in this dialect.
MERGEABLE = True
#: What the dialect's ids begin with; a stream's id follows.
PREFIX = "chatcmpl-"

DONE = b"[DONE]"

Fields = dict[str, msgspec.Raw]

#: Fields of a chunk that are the same in all of an answer's.
_LASTING = ("system_fingerprint", "service_tier")
_OURS = ("id", "object", "created", "model", *_LASTING)


class Options(NamedTuple):
    """``include_usage``: whether the reader asked for the chunk with what the answer cost."""

    include_usage: bool = False


class Frame(NamedTuple):
    """What a transport writes: an event name (empty: unnamed) and one line of data."""

    event: bytes
    data: bytes


class Place(NamedTuple):
    """Where a part stands: its choice, its kind, and of a tool call its number; ``header`` is what
    begins the call, until it has been shown."""

    choice: int
    kind: PartKind
    number: int = 0
    header: tuple[str, str] | None = None


class State(NamedTuple):
    """Where the fold stands.

    ``plain`` is what stands before the text of a delta of the main part, empty while such a chunk
    has more to say. ``begun``: the choices that have had their role; ``finished`` those that have
    had their reason; ``calls``: how many tool calls each has had. ``usage`` waits to be shown.
    """

    id: str
    options: Options
    created: int
    lasting: dict[str, Any]
    head: bytes
    plain: bytes
    parts: dict[int, Place]
    begun: frozenset[int]
    finished: frozenset[int]
    calls: dict[int, int]
    usage: bytes
    ended: bool


class Extra(msgspec.Struct):
    """What an upstream of this dialect sent and we do not model; see
    :mod:`fairlead.providers.openai_wire`."""

    chunk: Fields = {}
    choice: Fields = {}
    delta: Fields = {}
    tool: Fields = {}
    usage: Fields = {}
    others: list[Other] = []


class Other(msgspec.Struct):
    """What was left over for a further choice."""

    index: int
    choice: Fields = {}
    delta: Fields = {}


_encode = msgspec.json.Encoder().encode
_extra = msgspec.json.Decoder(Extra)
_fields = msgspec.json.Decoder(Fields)
_NO_EXTRA = Extra()

#: What stands after the text of a plain chunk.
TAIL = b'},"finish_reason":null}]}'


def begin(stream: str, meta: GenerationMeta, options: Options) -> State:
    """The state before the first event of ``stream``."""
    return State(
        id=PREFIX + stream,
        options=options,
        created=0,
        lasting={"model": meta.model},
        head=b"",
        plain=b"",
        parts={MAIN_PART: Place(0, "text")},
        begun=frozenset(),
        finished=frozenset(),
        calls={},
        usage=b"",
        ended=False,
    )


def step(state: State, event: Event | Unknown) -> tuple[State, tuple[Frame, ...]]:
    """The frames of one event, and the state after it."""
    if state.plain and type(event) is Token and event.part == MAIN_PART:
        if event.extra is NO_EXTRA:
            # The token path: nearly every event comes this way.
            return state, (Frame(b"", state.plain + _encode(event.text) + TAIL),)
    if isinstance(event, Unknown | Mark) or state.ended:
        return state, ()
    if not state.head:
        state = _headed(state._replace(created=event.at // 1000))
    match event:
        case Token() | Reasoning() | Tool():
            return _delta(state, event)
        case Part():
            return _part(state, event)
        case Sources():
            if not event.sources:
                return state, ()
            fields = {"citations": citations(event.sources)}
            return _chunk(state, 0, {"annotations": url_citations(event.sources, "")}, chunk=fields)
        case Media():
            place = state.parts.get(event.part)
            if place is None or not event.content_type.startswith("image/"):
                return state, ()
            return _chunk(state, place.choice, {"images": [picture(event)]})
        case Usage():
            return _used(state, event)
        case Reset():
            if not state.begun:
                return state, ()
            said = error_object("what was written is no longer true: read it anew", "reset")
            return state._replace(ended=True, plain=b""), (Frame(b"", said),)
        case Done():
            return _done(state, event)
        case Error():
            said = error_object(event.error, event.code, vendor_code=event.vendor_code)
            return state._replace(ended=True, plain=b""), (Frame(b"", said),)
        case _:
            return state, ()


def failure(message: str, code: str) -> Frame:
    """What tells a reader that it is shown no more; SDKs raise it."""
    return Frame(b"", error_object(message, code))


# -- of whole answers as well --------------------------------------------------------------------


def extra_of(raw: msgspec.Raw) -> Extra:
    """What rides along with an event."""
    return _NO_EXTRA if raw is NO_EXTRA or not bytes(raw) else _extra.decode(raw)


def unknown_of_chunk(fields: Fields) -> Fields:
    """The fields of a chunk that we do not model."""
    return {name: raw for name, raw in fields.items() if name not in _OURS}


def tool_call(header: tuple[str, str] | None, text: str, fields: Fields) -> dict[str, Any]:
    """A piece of a tool call: ``header`` (id and name) begins it."""
    call: dict[str, Any] = dict(fields)
    within = _fields.decode(call.pop("function")) if "function" in call else {}
    function: dict[str, Any] = {**within}
    if header is not None:
        id, name = header
        if id:
            call["id"] = id
        call.setdefault("type", "function")
        if name:
            function["name"] = name
    if text or function or (header is not None and call["type"] == "function"):
        function["arguments"] = text
    if function:
        call["function"] = function
    return call


def citations(found: tuple[Source, ...]) -> list[str]:
    """The sources as several vendors name them: addresses, in the order of their numbers."""
    return [source.address or source.title for source in found]


def url_citations(found: tuple[Source, ...], text: str) -> list[dict[str, Any]]:
    """The sources as OpenAI annotates messages with them. The indices are those of the first mark
    ``[n]`` in the text; 0 where there is none."""
    made = []
    for number, source in enumerate(found, 1):
        mark = f"[{number}]"
        start = max(0, text.find(mark))
        end = start + len(mark) if text.startswith(mark, start) else 0
        citation = {
            "url": source.address,
            "title": source.title,
            "start_index": start,
            "end_index": end,
        }
        made.append({"type": "url_citation", "url_citation": citation})
    return made


def picture(event: Media) -> dict[str, Any]:
    """A picture as several vendors show it."""
    address = event.address
    if not address:
        address = f"data:{event.content_type};base64,{base64.b64encode(event.data).decode()}"
    return {"type": "image_url", "image_url": {"url": address}}


def usage_of(event: Usage) -> dict[str, Any]:
    """What an answer cost, with the upstream's own details."""
    total = {"total_tokens": event.input_tokens + event.output_tokens}
    return {
        "prompt_tokens": event.input_tokens,
        "completion_tokens": event.output_tokens,
        **total,
        **extra_of(event.extra).usage,
    }


def finish_of(calls: bool) -> str:
    """The reason of a choice whose provider gave none."""
    return "tool_calls" if calls else "stop"


# -- the long way --------------------------------------------------------------------------------


def _headed(state: State) -> State:
    """The state with what all its chunks begin with."""
    fields = {
        "id": state.id,
        "object": "chat.completion.chunk",
        "created": state.created,
        **state.lasting,
    }
    return state._replace(head=_encode(fields)[:-1])


def _ready(state: State) -> State:
    """The state with the short way opened or closed."""
    open = 0 in state.begun and 0 not in state.finished and MAIN_PART in state.parts
    plain = b'%b,"choices":[{"index":0,"delta":{"content":' % state.head if open else b""
    return state._replace(plain=plain)


def _take_chunk_fields(state: State, fields: Fields) -> tuple[State, Fields]:
    """Remember what lasts; what is for this chunk alone."""
    if not fields:
        return state, fields
    lasting = {name: fields[name] for name in ("model", *_LASTING) if name in fields}
    if lasting:
        state = _ready(_headed(state._replace(lasting=state.lasting | lasting)))
    return state, unknown_of_chunk(fields)


def _chunk(
    state: State,
    choice: int,
    delta: Mapping[str, Any],
    *,
    finish: str | None = None,
    chunk: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> tuple[State, tuple[Frame, ...]]:
    """One chunk for one choice; ``chunk`` and ``fields`` are further fields of the chunk and of the
    choice."""
    made: dict[str, Any] = {"index": choice, "delta": delta, **(fields or {})}
    if choice not in state.begun:
        made["delta"] = {"role": "assistant", **delta}
        state = state._replace(begun=state.begun | {choice})
    made["finish_reason"] = finish
    finished = state.finished - {choice} if finish is None else state.finished | {choice}
    state = _ready(state._replace(finished=finished))
    return state, (_frame(state, [made], chunk or {}),)


def _frame(state: State, choices: list[dict[str, Any]], chunk: Mapping[str, Any]) -> Frame:
    more = b"," + _encode(chunk)[1:-1] if chunk else b""
    return Frame(b"", b'%b,"choices":%b%b}' % (state.head, _encode(choices), more))


def _delta(state: State, event: Token | Reasoning | Tool) -> tuple[State, tuple[Frame, ...]]:
    place = state.parts.get(event.part)
    if place is None:
        return state, ()
    extra = extra_of(event.extra)
    state, chunk = _take_chunk_fields(state, extra.chunk)
    delta: dict[str, Any]
    if isinstance(event, Tool):
        delta = {
            "tool_calls": [
                {"index": place.number, **tool_call(place.header, event.text, extra.tool)}
            ]
        }
        if place.header is not None:
            shown = place._replace(header=None)
            state = state._replace(parts=state.parts | {event.part: shown})
    elif isinstance(event, Reasoning):
        delta = {"reasoning_content": event.text}
    elif "refusal" in extra.delta:
        delta = {}
    else:
        delta = {"content": event.text}
    return _chunk(state, place.choice, delta | extra.delta, chunk=chunk, fields=extra.choice)


def _part(state: State, event: Part) -> tuple[State, tuple[Frame, ...]]:
    if event.state == "open":
        number, header = 0, None
        if event.type == "tool_call":
            number, header = state.calls.get(event.choice, 0), (event.call_id, event.name)
            state = state._replace(calls=state.calls | {event.choice: number + 1})
        place = Place(event.choice, event.type, number, header)
        state = state._replace(parts=state.parts | {event.part: place})
        return state, ()
    known = state.parts.get(event.part)
    if known is None:
        return state, ()
    frames: tuple[Frame, ...] = ()
    if known.header is not None:
        # A call without arguments.
        call = {"index": known.number, **tool_call(known.header, "", {})}
        state, frames = _chunk(state, known.choice, {"tool_calls": [call]})
    parts = {part: place for part, place in state.parts.items() if part != event.part}
    state = _ready(state._replace(parts=parts))
    if not event.finish or known.choice in state.finished:
        return state, frames
    # Everything that a choice has open is closed with its reason: it is told once, at the last.
    if any(place.choice == known.choice and place.header for place in parts.values()):
        return state, frames
    state, last = _chunk(state, known.choice, {}, finish=event.finish)
    return state, frames + last


def _used(state: State, event: Usage) -> tuple[State, tuple[Frame, ...]]:
    state = state._replace(usage=_encode(usage_of(event)))
    # It follows the last reason, which an answer that has none yet is given at its end.
    return _usage_shown(state) if state.begun and state.begun == state.finished else (state, ())


def _usage_shown(state: State) -> tuple[State, tuple[Frame, ...]]:
    if not (state.usage and state.options.include_usage):
        return state, ()
    shown = Frame(b"", b'%b,"choices":[],"usage":%b}' % (state.head, state.usage))
    return state._replace(usage=b""), (shown,)


def _done(state: State, event: Done) -> tuple[State, tuple[Frame, ...]]:
    """The end: what is left over, the reasons that have not been told, the usage."""
    extra = extra_of(event.extra)
    before = state.head
    state, chunk = _take_chunk_fields(state, extra.chunk)
    left = {0: Other(0, extra.choice, extra.delta)} | {each.index: each for each in extra.others}
    choices: list[dict[str, Any]] = []
    for choice in sorted(state.begun | left.keys()):
        other = left.get(choice) or Other(choice)
        delta: dict[str, Any] = {**other.delta}
        if calls := _begun_calls(state, choice):
            delta["tool_calls"] = calls
        finish = None
        if choice not in state.finished:
            finish = (event.finish if choice == 0 else "") or finish_of(choice in state.calls)
        if finish or delta or other.choice:
            if choice not in state.begun:
                delta = {"role": "assistant", **delta}
            made = {"index": choice, "delta": delta, **other.choice, "finish_reason": finish}
            choices.append(made)
    frames: list[Frame] = []
    if choices or chunk or state.head != before:
        frames.append(_frame(state, choices, chunk))
    state, usage = _usage_shown(state)
    state = state._replace(ended=True, plain=b"")
    return state, (*frames, *usage, Frame(b"", DONE))


def _begun_calls(state: State, choice: int) -> list[dict[str, Any]]:
    """Tool calls that have begun and not been shown."""
    return [
        {"index": place.number, **tool_call(place.header, "", {})}
        for place in state.parts.values()
        if place.header is not None and place.choice == choice
    ]
