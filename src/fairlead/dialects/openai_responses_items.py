"""The items of a response's output, and what else of it is a shape: its citations, its usage.

Source: OpenAI API reference, "The response object".
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from fairlead.dialects import custom_tool
from fairlead.dialects.openai_chat import extra_of
from fairlead.events.model import NO_EXTRA, Reasoning, Source, Token, Tool, Usage

Kind = Literal["message", "reasoning", "function_call", "custom_tool_call"]

#: What the ids of items begin with.
ID_PREFIXES = {
    "message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_",
}  # fmt: skip


class _Logprobs(msgspec.Struct):
    content: list[msgspec.Raw] | None = None


_logprobs = msgspec.json.Decoder(_Logprobs | None)

#: A text: what was before, and its last piece. Another one is added without copying those before.
Pieces = tuple["Pieces | None", str]


class Item(NamedTuple):
    """An item of the output that is being written, at a ``place`` in it. ``content`` is the type of
    its one part, empty for a tool call. ``reading``: of a custom tool's input; ``logprobs``: those
    of its text so far; ``sealed``: reasoning as its model alone can read it."""

    place: int
    kind: Kind
    id: str
    content: str = ""
    call_id: str = ""
    name: str = ""
    said: Pieces | None = None
    reading: custom_tool.Reading = custom_tool.Reading()
    logprobs: tuple[msgspec.Raw, ...] = ()
    sealed: str = ""


def text_of(item: Item) -> str:
    """What has come of its text."""
    pieces: list[str] = []
    said = item.said
    while said is not None:
        said, piece = said
        pieces.append(piece)
    pieces.reverse()
    return "".join(pieces)


def item_of(item: Item, status: str, annotations: list[dict[str, Any]] | None) -> dict[str, Any]:
    """An item as the output has it; without ``annotations``, as it begins."""
    made: dict[str, Any] = {"id": item.id, "type": item.kind, "status": status}
    if item.kind in ("function_call", "custom_tool_call"):
        given = "arguments" if item.kind == "function_call" else "input"
        return made | {"call_id": item.call_id, "name": item.name, given: text_of(item)}
    if item.kind == "message":
        made["role"] = "assistant"
    else:
        made["summary"] = []
        if item.sealed:
            made["encrypted_content"] = item.sealed
    said = [] if annotations is None else [content_of(item, text_of(item), annotations)]
    return made | {"content": said}


def content_of(item: Item, text: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """The part of an item that holds its text."""
    match item.content:
        case "refusal":
            return {"type": "refusal", "refusal": text}
        case "output_text":
            return {
                "type": "output_text",
                "text": text,
                "annotations": annotations,
                "logprobs": item.logprobs,
            }
        case _:
            return {"type": item.content, "text": text}


def logprobs_of(event: Token | Reasoning | Tool) -> tuple[msgspec.Raw, ...]:
    """The log-probabilities that an upstream of Chat Completions gave with a piece: their entries
    are the same here."""
    if event.extra is NO_EXTRA:
        return ()
    given = extra_of(event.extra).choice.get("logprobs")
    if given is None:
        return ()
    try:
        found = _logprobs.decode(given)
    except msgspec.ValidationError:
        return ()  # in a shape of the upstream's own
    return tuple(found.content or ()) if found is not None else ()


def annotations_of(found: tuple[Source, ...], text: str) -> list[dict[str, Any]]:
    """The sources as citations at their first mark ``[n]`` in the text; at 0 where there is
    none."""
    made: list[dict[str, Any]] = []
    for number, source in enumerate(found, 1):
        mark = f"[{number}]"
        start = max(0, text.find(mark))
        if source.address.startswith(("http://", "https://")):
            end = start + len(mark) if text.startswith(mark, start) else 0
            made.append(
                {
                    "type": "url_citation",
                    "url": source.address,
                    "title": source.title,
                    "start_index": start,
                    "end_index": end,
                }
            )
        else:
            name = source.address or source.title
            cited = {"file_id": source.id, "filename": name, "index": start}
            made.append({"type": "file_citation", **cited})
    return made


def usage_of(event: Usage) -> dict[str, Any]:
    """What an answer cost."""
    reasoning = 0
    details = extra_of(event.extra).usage.get("completion_tokens_details")
    if details is not None:
        told = msgspec.json.decode(details)
        counted = told.get("reasoning_tokens") if isinstance(told, dict) else None
        reasoning = counted if isinstance(counted, int) else 0
    return {
        "input_tokens": event.input_tokens,
        "input_tokens_details": {"cached_tokens": event.cached_tokens},
        "output_tokens": event.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": event.input_tokens + event.output_tokens,
    }
