"""The native dialect: the events and fields that PROTOCOL.md fixes.

One event of the log makes one frame, whose data is one JSON object in raw UTF-8. Adjacent deltas
may be merged when a reader catches up: their texts joined, under the position of the last.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Literal, NamedTuple

import msgspec

from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    MAIN_PART,
    Asked,
    Done,
    Error,
    Event,
    Mark,
    Media,
    Part,
    Progress,
    Reasoning,
    Relayed,
    Reset,
    Source,
    Sources,
    Thinking,
    Token,
    Tool,
    Unknown,
    Usage,
)

#: Whether a reader may be shown merged deltas in this dialect.
MERGEABLE = True

#: Names of another application's events that are handed on where they stand in JSON.
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Options(NamedTuple):
    """``events``: ``named`` frames carry their event's name; ``message`` frames have none and wrap
    the data as ``{"type", "data"}``, for listeners that only see unnamed events."""

    events: Literal["named", "message"] = "named"


class Frame(NamedTuple):
    """What a transport writes: an event name (empty: unnamed) and one JSON object."""

    event: bytes
    data: bytes


class State(NamedTuple):
    """Where the fold stands: the options, and the meta until it has been shown (once, with the
    first event)."""

    options: Options
    meta: GenerationMeta | None
    stream: str


_encode = msgspec.json.Encoder().encode

#: The data of a token of the main part, whose text is a JSON string.
TOKEN = b'{"token":%b}'


def begin(stream: str, meta: GenerationMeta, options: Options, offset: int = 0) -> State:
    """The state after ``offset`` events of ``stream``: the meta is shown with the first one."""
    return State(options, None if offset else meta, stream)


def step(state: State, event: Event | Unknown) -> tuple[State, tuple[Frame, ...]]:
    """The frames of one event, and the state after it."""
    if type(event) is Token and state.meta is None and event.part == MAIN_PART:
        # The token path: nearly every event comes this way.
        data = TOKEN % _encode(event.text)
        if state.options.events == "named":
            return state, (Frame(b"token", data),)
        return state, (Frame(b"", b'{"type":"token","data":%b}' % data),)
    if isinstance(event, Unknown):
        return state, ()
    name, fields = _fields(event)
    if not name:
        return state, ()
    if state.meta is not None:
        if not isinstance(event, Relayed):
            fields |= _introduction(state.stream, state.meta)
        state = state._replace(meta=None)
    return state, (frame(name, fields, state.options),)


def frame(name: str, fields: dict[str, Any], options: Options) -> Frame:
    """A frame of this dialect that is not of the log (such as ``drain``)."""
    if options.events == "named":
        return Frame(name.encode(), _encode(fields))
    return Frame(b"", _encode({"type": name, "data": fields}))


def tokens(texts: list[str], options: Options) -> Frame:
    """Several tokens of the main part in one frame, each kept apart (batching)."""
    if len(texts) == 1:
        return frame("token", {"token": texts[0]}, options)
    return frame("token", {"tokens": texts}, options)


def source(s: Source) -> dict[str, Any]:
    """A source as readers see it."""
    return {
        "id": s.id,
        "title": s.title,
        "address": s.address,
        "heading": s.heading,
        "span": s.span,
        "score": s.score,
        "snippet": s.snippet,
    }


def _introduction(stream: str, meta: GenerationMeta) -> dict[str, Any]:
    fields = {
        "stream": stream,
        "conversation_id": meta.conversation,
        "message_id": meta.message,
        "provider": meta.provider,
        "model": meta.model,
        "notice": meta.notice,
    }
    return {name: value for name, value in fields.items() if value}


def _fields(event: Event) -> tuple[str, dict[str, Any]]:
    match event:
        case Token():
            return "token", _part({"token": event.text}, event.part)
        case Relayed():
            return _relayed(event)
        case Thinking():
            thinking: dict[str, Any] = {"status": event.status, "message": event.message}
            if event.position:
                thinking["position"] = event.position
            if event.provider:
                thinking |= {"provider": event.provider, "model": event.model}
            return "thinking", thinking
        case Sources():
            found = [source(s) for s in event.sources]
            return "sources", {"count": len(found), "sources": found}
        case Reasoning():
            return "reasoning", _part({"reasoning": event.text}, event.part)
        case Tool():
            return "tool", _part({"arguments": event.text}, event.part)
        case Part():
            fields = msgspec.structs.asdict(event)
            del fields["at"]
            return "part", {k: v for k, v in fields.items() if v != "" or k == "state"}
        case Progress():
            return "progress", {"message": event.message, "fraction": event.fraction}
        case Media():
            media: dict[str, Any] = {"content_type": event.content_type}
            if event.address:
                media["address"] = event.address
            else:
                media["data"] = base64.b64encode(event.data).decode()
            return "media", _part(media, event.part)
        case Usage():
            return "usage", usage(event)
        case Reset():
            return "reset", {"reason": event.reason, "text": event.text}
        case Asked():
            return "", {}  # its reader has asked it, in other words
        case Mark():
            return "", {}
        case Done():
            done = {"status": event.status, "reason": event.reason, "finish": event.finish}
            return "done", {k: v for k, v in done.items() if v}
        case Error():
            error: dict[str, Any] = {
                "error": event.error,
                "code": event.code,
                "retryable": event.retryable,
            }
            if event.retry_after is not None:
                error["retry_after"] = event.retry_after
            if event.budget:
                error["budget"] = event.budget
            return "error", error


def usage(event: Usage) -> dict[str, Any]:
    """What an answer cost, as readers see it."""
    fields: dict[str, Any] = {
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "estimated": event.estimated,
    }
    if event.cached_tokens:
        fields["cached_tokens"] = event.cached_tokens
    if event.budgets:
        fields["budgets"] = event.budgets
    return fields


def _relayed(event: Relayed) -> tuple[str, dict[str, Any]]:
    """Another application's event: its data if that is a JSON object, else ``{"data": text}``."""
    try:
        data = msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = None
    name = event.event if _NAME.fullmatch(event.event) else "message"
    return name, data if isinstance(data, dict) else {"data": event.data.decode()}


def _part(fields: dict[str, Any], part: int) -> dict[str, Any]:
    return fields if part == MAIN_PART else fields | {"part": part}
