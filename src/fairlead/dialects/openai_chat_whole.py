"""A whole answer of the Chat Completions dialect: events as one ``chat.completion`` object.

It is what the chunks of :mod:`fairlead.dialects.openai_chat` add up to, as the vendor's SDKs add
them up.

Source: OpenAI API reference, "The chat completion object".
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.dialects import openai_chat as chat
from fairlead.dialects.openai_chat import Fields
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    MAIN_PART,
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
    Token,
    Tool,
    Unknown,
    Usage,
)

_encode = msgspec.json.Encoder().encode

#: Texts that name something and are not continued by the next one.
_NAMES = frozenset({"id", "type", "object", "format", "name", "index", "signature"})


class _Call:
    __slots__ = ("fields", "header", "pieces")

    def __init__(self, id: str, name: str) -> None:
        self.header = (id, name)
        self.pieces: list[str] = []
        self.fields: dict[str, Any] = {}


class _Choice:
    __slots__ = ("calls", "delta", "fields", "finish", "images", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.images: list[dict[str, Any]] = []
        self.calls: list[_Call] = []
        self.delta: dict[str, Any] = {}
        self.fields: dict[str, Any] = {}
        self.finish = ""


class Completion:
    """Adds up events. ``error`` is set where the answer ended with one; ``ended``: a terminal event
    has come."""

    def __init__(self, stream: str, meta: GenerationMeta) -> None:
        self.ended = False
        self.error: Error | None = None
        self._id = chat.PREFIX + stream
        self._created: int | None = None
        self._lasting: dict[str, Any] = {"model": meta.model}
        self._choices: dict[int, _Choice] = {}
        self._parts: dict[int, tuple[_Choice, _Call | None]] = {}
        self._sources: tuple[Source, ...] = ()
        self._usage: dict[str, Any] | None = None
        self._fields: dict[str, Any] = {}

    def add(self, event: Event | Unknown) -> None:
        """Take one more event in."""
        if isinstance(event, Unknown | Mark):
            return
        if self._created is None:
            self._created = event.at // 1000
        match event:
            case Token() | Reasoning() | Tool():
                self._delta(event)
            case Part(state="open"):
                choice = self._choice(event.choice)
                call = None
                if event.type == "tool_call":
                    call = _Call(event.call_id, event.name)
                    choice.calls.append(call)
                self._parts[event.part] = (choice, call)
            case Part():
                if event.finish:
                    self._choice(event.choice).finish = event.finish
            case Sources():
                self._sources = event.sources
            case Media():
                choice, _ = self._parts.get(event.part, (self._choice(0), None))
                if event.content_type.startswith("image/"):
                    choice.images.append(chat.picture(event))
            case Usage():
                self._usage = chat.usage_of(event)
            case Reset():
                self._choices = {}
                self._parts = {}
                if event.text:
                    self._choice(0).text.append(event.text)
            case Done():
                self._done(event)
            case Error():
                self.ended, self.error = True, event
            case _:
                pass

    def object(self) -> bytes:
        """The answer so far."""
        self._choice(0)
        made: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created or 0,
            **self._lasting,
            "choices": [self._made(index) for index in sorted(self._choices)],
        }
        if self._usage is not None:
            made["usage"] = self._usage
        if self._sources:
            made["citations"] = chat.citations(self._sources)
        return _encode(made | self._fields)

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    def _delta(self, event: Token | Reasoning | Tool) -> None:
        if event.part == MAIN_PART:
            choice, call = self._choice(0), None
        else:
            found = self._parts.get(event.part)
            if found is None:
                return
            choice, call = found
        extra = chat.extra_of(event.extra)
        self._chunk(extra.chunk)
        _merge(choice.fields, extra.choice)
        rest = dict(extra.delta)
        refusal = rest.pop("refusal", None)
        _merge(choice.delta, rest)
        if isinstance(event, Reasoning):
            choice.reasoning.append(event.text)
        elif isinstance(event, Token):
            (choice.text if refusal is None else choice.refusal).append(event.text)
        elif call is not None:
            call.pieces.append(event.text)
            _merge(call.fields, extra.tool)

    def _chunk(self, fields: Fields) -> None:
        for name in ("model", "system_fingerprint", "service_tier"):
            if name in fields:
                self._lasting[name] = fields[name]
        self._fields |= chat.unknown_of_chunk(fields)

    def _done(self, event: Done) -> None:
        self.ended = True
        extra = chat.extra_of(event.extra)
        self._chunk(extra.chunk)
        left = [chat.Other(0, extra.choice, extra.delta), *extra.others]
        for other in left:
            choice = self._choice(other.index)
            _merge(choice.fields, other.choice)
            _merge(choice.delta, other.delta)
        for index, choice in self._choices.items():
            given = event.finish if index == 0 else ""
            choice.finish = choice.finish or given or chat.finish_of(bool(choice.calls))

    def _made(self, index: int) -> dict[str, Any]:
        choice = self._choices[index]
        text = "".join(choice.text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not (choice.calls or choice.refusal) else None,
            "refusal": "".join(choice.refusal) or None,
        }
        if choice.reasoning:
            message["reasoning_content"] = "".join(choice.reasoning)
        if choice.calls:
            message["tool_calls"] = [
                chat.tool_call(call.header, "".join(call.pieces), _raw(call.fields))
                for call in choice.calls
            ]
        if choice.images:
            message["images"] = choice.images
        if self._sources and index == 0:
            message["annotations"] = chat.url_citations(self._sources, text)
        return {
            "index": index,
            "message": message | choice.delta,
            "logprobs": None,
            **choice.fields,
            "finish_reason": choice.finish or None,
        }


def _raw(fields: dict[str, Any]) -> Fields:
    return {name: msgspec.Raw(_encode(value)) for name, value in fields.items()}


def _merge(into: dict[str, Any], fields: Fields) -> None:
    """Continue what is there: texts and lists grow, objects within too, all else is replaced."""
    for name, raw in fields.items():
        into[name] = _continued(name, into.get(name), msgspec.json.decode(raw))


def _continued(name: str, before: Any, after: Any) -> Any:
    if isinstance(before, str) and isinstance(after, str) and name not in _NAMES:
        return before + after
    if isinstance(before, list) and isinstance(after, list):
        return before + after
    if isinstance(before, dict) and isinstance(after, dict):
        return before | {
            key: _continued(key, before.get(key), value) for key, value in after.items()
        }
    return after
