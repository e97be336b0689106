"""The objects of the Chat Completions dialect, and how one is read. Pure.

The fields that we model are typed; every other one survives as raw JSON, apart (:class:`Extras`).
A field that is ``null`` counts as absent.

Source: OpenAI API reference, "The chat completion chunk object" and "The chat completion object".
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from fairlead.errors import UpstreamProtocol
from fairlead.providers.openai_errors import BAD_JSON, Redactor

#: A field that is absent: every struct below shares this one object.
ABSENT: Final = msgspec.Raw()

Fields = dict[str, msgspec.Raw]


class Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tool call's function. ``arguments`` is JSON text, but some servers send the object."""

    name: str | None = None
    arguments: msgspec.Raw = ABSENT


class ToolCall(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A piece of a tool call; ``index`` tells the calls of one answer apart."""

    index: int | None = None
    id: str | None = None
    type: msgspec.Raw = ABSENT
    function: Function | None = None


class Delta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a chunk adds to a choice, or the whole message of an answer that is not streamed."""

    role: msgspec.Raw = ABSENT
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One of the alternative answers."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Fields | list[msgspec.Raw] | None = None


class Chunk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A chunk of a streamed answer, or a whole answer. ``obfuscation`` is padding against eyes on
    the wire, and is dropped."""

    id: msgspec.Raw = ABSENT
    object: msgspec.Raw = ABSENT
    created: msgspec.Raw = ABSENT
    model: msgspec.Raw = ABSENT
    system_fingerprint: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    obfuscation: msgspec.Raw = ABSENT
    choices: list[Choice] | None = None
    usage: Fields | None = None
    error: msgspec.Raw = ABSENT


class ChoiceExtras(msgspec.Struct):
    """The fields of one choice that we do not model; ``tools`` by place in ``tool_calls``, those of
    ``function`` as a field of that name."""

    choice: Fields = {}
    delta: Fields = {}
    tools: dict[int, Fields] = {}


class Extras(msgspec.Struct):
    """The fields of a chunk that we do not model; ``choices`` by place in the chunk."""

    chunk: Fields = {}
    choices: dict[int, ChoiceExtras] = {}


_chunk: msgspec.json.Decoder[Chunk] = msgspec.json.Decoder(Chunk)
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_list: msgspec.json.Decoder[list[Fields] | None] = msgspec.json.Decoder(list[Fields] | None)
_encode = msgspec.json.Encoder().encode

# JSON may write half of a surrogate pair, which no UTF-8 can hold: servers that cut their text
# between UTF-16 units do. An escaped backslash and a whole pair are passed over.
_SURROGATE = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_REPLACEMENT: Final = b"\\ufffd"


def parse(data: bytes, redact: Redactor) -> tuple[Chunk, Extras | None]:
    """Read one object.

    Raises UpstreamProtocol, with a short excerpt, for anything that is not such an object.
    """
    try:
        return _chunk.decode(data), None
    except BAD_JSON:
        pass  # a field we do not know, or indeed bad: the long way tells
    try:
        return _parse_with_extras(data)
    except BAD_JSON as error:
        problem = str(error)
    repaired = _SURROGATE.sub(lambda m: _REPLACEMENT if m["half"] else m[0], data)
    if repaired != data:
        return parse(repaired, redact)
    raise UpstreamProtocol(
        "the upstream sent an object that is no chunk of an answer"
        f" ({redact.excerpt(problem, 100)}): {redact.excerpt(data, 200)}"
    )


def is_null(raw: msgspec.Raw) -> bool:
    """Whether a field is absent or ``null``."""
    return raw is ABSENT or bytes(raw) == b"null"


def _parse_with_extras(data: bytes) -> tuple[Chunk, Extras]:
    top = _fields.decode(data)
    extras = Extras(_take_unknown(top, Chunk))
    choices = _list.decode(top.get("choices", b"null"))
    if choices is not None:
        for place, choice in enumerate(choices):
            extras.choices[place] = _choice(choice)
        top["choices"] = _raw(choices)
    return _chunk.decode(_encode(top)), extras


def _choice(choice: Fields) -> ChoiceExtras:
    """Take out of the choice what is not modelled."""
    extras = ChoiceExtras(_take_unknown(choice, Choice))
    for name in ("delta", "message"):
        if name not in choice or is_null(choice[name]):
            continue
        delta = _fields.decode(choice[name])
        extras.delta.update(_take_unknown(delta, Delta))
        calls = _list.decode(delta.get("tool_calls", b"null"))
        if calls is not None:
            for place, call in enumerate(calls):
                if unknown := _tool_call(call):
                    extras.tools[place] = unknown
            delta["tool_calls"] = _raw(calls)
        choice[name] = _raw(delta)
    return extras


def _tool_call(call: Fields) -> Fields:
    unknown = _take_unknown(call, ToolCall)
    if "function" in call and not is_null(call["function"]):
        function = _fields.decode(call["function"])
        if within := _take_unknown(function, Function):
            unknown["function"] = _raw(within)
        call["function"] = _raw(function)
    return unknown


def _take_unknown(fields: Fields, known: type[msgspec.Struct]) -> Fields:
    names = [name for name in fields if name not in known.__struct_fields__]
    taken = {name: fields.pop(name) for name in names}
    return {name: raw for name, raw in taken.items() if not is_null(raw)}


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))
