"""Bodies of several parts: ``multipart/form-data``.

Source: RFC 7578, and RFC 2046, section 5.1.1.
"""

from __future__ import annotations

import re

from fairlead.errors import BadRequest

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'^content-disposition:\s*form-data\b.*?;\s*name="([^"]*)"', re.I | re.M)
_MAX_PARTS = 20


def parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a form, by their names; of several of a name the last. Raises
    :class:`~fairlead.errors.BadRequest`."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("'Content-Type' names no boundary of the parts")
    mark = b"--" + (found[1] or found[2]).encode()
    # What stands before the first boundary belongs to no part.
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)[1:]
    if not pieces or not pieces[-1].startswith(b"--") or len(pieces) > _MAX_PARTS + 1:
        raise BadRequest("the body is no form of a few parts, or does not come to its end")
    made: dict[str, bytes] = {}
    for piece in pieces[:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        named = _NAME.search(head)
        if not blank or named is None:
            raise BadRequest("a part of the body has no name")
        made[named[1].decode("utf-8", "replace")] = content
    return made
