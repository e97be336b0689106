"""Bodies of event streams, read plainly: what Fairlead's own parser thinks does not matter here."""

from __future__ import annotations

import json


def whole_events(body: bytes | bytearray) -> bytes:
    """What came, up to the last event that came whole."""
    return bytes(body[: body.rfind(b"\n\n") + 2])


def last_id(body: bytes) -> str:
    """The last ``id`` of a body."""
    at = body.rfind(b"id: ")
    return body[at + 4 : body.index(b"\n", at)].decode()


def text_of(body: bytes) -> str:
    """The text that the tokens of a body add up to."""
    pieces: list[str] = []
    name = ""
    for line in body.decode().split("\n"):
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: ") and name == "token":
            pieces.append(json.loads(line[6:])["token"])
    return "".join(pieces)
