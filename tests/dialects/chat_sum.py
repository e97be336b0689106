"""What the chunks of a Chat Completions answer say altogether, so that two ways of saying it can be
compared. A field that is null is none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Chunk = dict[str, Any]

_CHUNK = {
    "id", "object", "created", "choices", "usage", "model", "system_fingerprint", "service_tier",
    "obfuscation",
}  # fmt: skip
_DELTA = {"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls"}


def summed(chunks: Iterable[Chunk]) -> dict[str, Any]:
    """Everything that the chunks say, each thing once and in its order."""
    total: dict[str, Any] = {"choices": {}, "fields": {}, "usage": None}
    for chunk in chunks:
        for name in ("model", "system_fingerprint", "service_tier"):
            if chunk.get(name):
                total[name] = chunk[name]
        _note(total["fields"], chunk, _CHUNK, restated=True)
        total["usage"] = chunk.get("usage") or total["usage"]
        for choice in chunk.get("choices") or ():
            _add(total["choices"].setdefault(choice.get("index", 0), _empty()), choice)
    return total


def _empty() -> dict[str, Any]:
    return {
        "content": "", "reasoning": "", "refusal": "", "calls": {}, "finish": None,
        "fields": {}, "delta": {},
    }  # fmt: skip


def _add(into: dict[str, Any], choice: dict[str, Any]) -> None:
    into["finish"] = choice.get("finish_reason") or into["finish"]
    _note(into["fields"], choice, {"index", "delta", "finish_reason"}, restated=True)
    delta = choice.get("delta") or {}
    into["content"] += delta.get("content") or ""
    into["refusal"] += delta.get("refusal") or ""
    into["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
    _note(into["delta"], delta, _DELTA)
    for piece in delta.get("tool_calls") or ():
        call = into["calls"].setdefault(
            piece["index"], {"id": "", "name": "", "arguments": "", "fields": {}, "function": {}}
        )
        function = piece.get("function") or {}
        call["id"] = piece.get("id") or call["id"]
        call["name"] = function.get("name") or call["name"]
        call["arguments"] += function.get("arguments") or ""
        _note(call["fields"], piece, {"index", "id", "function"})
        call["fields"].pop("type", None) if piece.get("type") == "function" else None
        _note(call["function"], function, {"name", "arguments"})


def _note(
    into: dict[str, list[Any]], fields: dict[str, Any], known: set[str], *, restated: bool = False
) -> None:
    """Add what is unknown to the list of what each name has been. ``restated``: the same value once
    more says nothing; of deltas that holds for numbers and the like."""
    for name, value in fields.items():
        if name in known or value is None:
            continue
        said = into.setdefault(name, [])
        piece = isinstance(value, str | list | dict) and not restated
        if not said or piece or said[-1] != value or type(said[-1]) is not type(value):
            said.append(value)
