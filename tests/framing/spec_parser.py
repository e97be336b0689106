"""The event-stream rules of WHATWG HTML 9.2.5 and 9.2.6, written down step by step.

Slow, without limits, and needs the whole input at once: the yardstick for the real parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fairlead.framing.event_stream import Frame


@dataclass
class Interpretation:
    frames: list[Frame] = field(default_factory=list)
    retry: int | None = None
    last_event_id: str | None = None


def interpret(stream: bytes) -> Interpretation:
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    # What follows the last line end is an unfinished line and is dropped.
    lines = re.split("\r\n|\r|\n", text)[:-1]
    out = Interpretation()
    data, event, last_id = "", "", None
    for line in lines:
        if line == "":
            out.last_event_id = last_id
            if data != "":
                if data.endswith("\n"):
                    data = data[:-1]
                out.frames.append(Frame(data.encode(), event, last_id))
            data, event = "", ""
            continue
        if line.startswith(":"):
            continue
        name, colon, value = line.partition(":")
        if colon and value.startswith(" "):
            value = value[1:]
        if name == "event":
            event = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and re.fullmatch("[0-9]{1,15}", value):
            out.retry = int(value)
    return out
