"""Whether an output has the shape of the one that a document shows."""

from __future__ import annotations

import json
import re
from typing import Any

from fairlead.framing.event_stream import Frame, Parser

_KEY = re.compile(r'"(\w+)":')


def frames(text: str) -> list[Frame]:
    """The events of an event stream."""
    return Parser().feed(text.encode())


def check_events(shown: str, real: str) -> None:
    """Events shown must come in this order; first and last must be the same, and each has all keys
    that are shown of it."""
    expected, got = frames(shown.rstrip("\n") + "\n\n"), frames(real)
    names = [frame.event for frame in got]
    assert [names[0], names[-1]] == [expected[0].event, expected[-1].event], real
    assert shown.startswith(real[: real.index("event:")]), "the lines before the first event differ"
    at = 0
    for frame in expected:
        assert frame.event in names[at:], f"no {frame.event} after the {at}th event"
        at += names[at:].index(frame.event) + 1
        _check_keys(frame, got[at - 1])


def _check_keys(shown: Frame, real: Frame) -> None:
    # What is shown may be cut short with "…", which is not JSON.
    keys = set(_KEY.findall(shown.data.decode()))
    have = set(_KEY.findall(real.data.decode()))
    missing = keys - have
    assert not missing, f"{shown.event} has no {missing}"
    if "…" not in shown.data.decode():
        check_json(json.loads(shown.data), json.loads(real.data), shown.event)
    assert shown.id is not None
    assert re.fullmatch(r"[0-9a-z]{26}\.[0-9a-z-]+", shown.id)


def check_json(shown: Any, real: Any, where: str = "$") -> None:
    """The same keys, and values of the same types."""
    assert type(shown) is type(real), f"{where}: {shown!r} is shown, {real!r} is real"
    if isinstance(shown, dict):
        assert shown.keys() == real.keys(), where
        for key in shown:
            check_json(shown[key], real[key], f"{where}.{key}")
