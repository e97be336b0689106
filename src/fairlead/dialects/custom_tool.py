"""Custom tools: those that are called with any text, where a function is called with JSON.

To whoever has functions alone a custom tool is one with a single argument, ``input``; an answer's
call of it is such a function's, and is read back while it is being written.

Source: OpenAI API guides, "Function calling", "Custom tools".
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

import msgspec

#: How arguments begin that are those of a custom tool.
_BEFORE = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_OPENING = '{"input":"'
#: More than this is not waited for.
_LONGEST = 64
_SPECIAL = re.compile(r'["\\]')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([^u]))", re.DOTALL)
_CHARACTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class Reading(NamedTuple):
    """Where the reading of a call's arguments stands: ``before`` the text, ``in`` it, ``after`` it;
    ``plain``: they are not of that form, and are the text themselves. ``held``: what has come and
    cannot be understood yet."""

    place: Literal["before", "in", "after", "plain"] = "before"
    held: str = ""


def function(name: str, description: str | None = None) -> dict[str, Any]:
    """A custom tool as the definition of a function, in the words of Chat Completions."""
    made: dict[str, Any] = {"name": name}
    if description:
        made["description"] = description
    made["parameters"] = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": made}


def arguments(text: str) -> str:
    """The arguments of the function that stands for a custom tool called with ``text``."""
    return msgspec.json.encode({"input": text}).decode()


def read(reading: Reading, piece: str) -> tuple[Reading, str]:
    """Read one more piece of the arguments: what it adds to the text."""
    place, data = reading.place, reading.held + piece
    if place == "plain":
        return Reading("plain"), data
    if place == "before":
        found = _BEFORE.match(data)
        if found is None:
            if len(data) <= _LONGEST and _OPENING.startswith("".join(data.split())):
                return Reading("before", data), ""
            return Reading("plain"), data
        place, data = "in", data[found.end() :]
    if place == "after":
        return Reading("after"), ""
    return _within(data)


def rest(reading: Reading) -> str:
    """What was held back, at the end."""
    return "" if reading.place == "after" else reading.held


def _within(data: str) -> tuple[Reading, str]:
    """Read inside the text (RFC 8259, section 7)."""
    text: list[str] = []
    at = 0
    while special := _SPECIAL.search(data, at):
        start = special.start()
        text.append(data[at:start])
        if special[0] == '"':
            return Reading("after"), "".join(text)
        escape = _ESCAPE.match(data, start)
        if escape is None:
            return Reading("in", data[start:]), "".join(text)
        at = escape.end()
        if escape[1] is None:
            text.append(_CHARACTERS.get(escape[2], escape[2]))
            continue
        code = int(escape[1], 16)
        if 0xD800 <= code < 0xDC00:
            low = _ESCAPE.match(data, at)
            if low is None and len(data) - at < 6 and "\\u".startswith(data[at : at + 2]):
                return Reading("in", data[start:]), "".join(text)
            if low is not None and low[1] and 0xDC00 <= int(low[1], 16) < 0xE000:
                code = 0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00
                at = low.end()
        # Half of a pair is no character.
        text.append("\ufffd" if 0xD800 <= code < 0xE000 else chr(code))
    text.append(data[at:])
    return Reading("in"), "".join(text)
