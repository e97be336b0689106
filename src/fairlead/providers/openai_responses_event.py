"""The objects of the Responses dialect, as an upstream sends them, and how one is read. Pure.

Only the fields that the fold needs are typed; every other one is passed over.

Source: OpenAI API reference, "Responses", "Streaming events".
"""

from __future__ import annotations

from typing import Final

import msgspec

from fairlead.providers.openai_errors import BAD_JSON

#: More than this is no number, no count and no place.
MAX_COUNT: Final = 2**53


class Content(msgspec.Struct):
    """A part of an item: its text, or that the model refused."""

    text: str | None = None
    refusal: str | None = None


class OutputItem(msgspec.Struct):
    """An item of the output, whatever its kind."""

    type: str = ""
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: list[Content] | None = None
    summary: list[Content] | None = None
    encrypted_content: str | None = None
    result: str | None = None
    output_format: str | None = None


class Annotation(msgspec.Struct):
    """What a text cites."""

    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Details(msgspec.Struct):
    """Why a response is incomplete."""

    reason: str | None = None


class Reported(msgspec.Struct):
    """What a response used."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: msgspec.Raw = msgspec.Raw(b"null")
    output_tokens_details: msgspec.Raw = msgspec.Raw(b"null")


class Cached(msgspec.Struct):
    """How much of the question the upstream had read before."""

    cached_tokens: int | None = None


class Response(msgspec.Struct):
    """A response, in an event or as a whole."""

    id: str | None = None
    status: str | None = None
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")
    incomplete_details: Details | None = None
    usage: Reported | None = None
    output: list[OutputItem] = []


class Said(msgspec.Struct):
    """Any of them; or a response as a whole, whose ``object`` says so."""

    type: str = ""
    object: str = ""
    sequence_number: int | None = None
    output_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    logprobs: list[msgspec.Raw] | None = None
    item: OutputItem | None = None
    annotation: Annotation | None = None
    response: Response | None = None


#: One event; and a response that is not streamed.
read: Final = msgspec.json.Decoder(Said).decode
read_whole: Final = msgspec.json.Decoder(Response).decode
_cached = msgspec.json.Decoder(Cached)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def count(given: int | None) -> int | None:
    """A count that an upstream gives; ``None`` where it is none."""
    return given if given is not None and 0 <= given <= MAX_COUNT else None


def is_object(raw: msgspec.Raw) -> bool:
    """Whether it is an object that says something."""
    try:
        return bool(_object.decode(raw))
    except BAD_JSON:
        return False


def cached_tokens(details: msgspec.Raw) -> int:
    """How many tokens of the question the upstream had read before, by the details of a usage."""
    try:
        return count(_cached.decode(details).cached_tokens) or 0
    except BAD_JSON:
        return 0
