"""Which content coding a client wants (``Accept-Encoding``, RFC 9110, section 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: RFC 9110, section 12.4.2.
_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
#: RFC 9110, section 8.4.1.3.
_ALIASES = {"x-gzip": "gzip"}
#: More members than any client sends.
_MOST = 32


def negotiate(header: str, offered: Sequence[str]) -> str:
    """The one of the ``offered`` codings (best first) that the client prefers; empty: none.

    Uncompressed is what everybody understands, so a coding is taken only if the client names it,
    and prefers it to none at least as much: ``*`` and a missing header name nothing. A member that
    is malformed counts for nothing, and neither does anything behind the first 32.
    """
    weights: dict[str, float] = {}
    for member in header.split(",", _MOST)[:_MOST]:
        name, semicolon, parameter = member.partition(";")
        weight = 1.0
        if semicolon:
            found = _WEIGHT.fullmatch(parameter.strip(" \t"))
            if found is None:
                continue
            weight = float(found[1])
        name = name.strip(" \t").lower()
        weights.setdefault(_ALIASES.get(name, name), weight)
    best, chosen = weights.get("identity", weights.get("*", 0.0)), ""
    for coding in offered:
        weight = weights.get(coding, 0.0)
        if weight > best or (weight == best and weight and not chosen):
            best, chosen = weight, coding
    return chosen
