"""Who asks: the caller that every verb of the engine takes."""

from __future__ import annotations

import msgspec

#: Scopes and what they allow. ``admin`` allows everything, on everyone's streams.
ASK = "ask"
READ = "read"
ADMIN = "admin"
ALL_SCOPES = frozenset({ASK, READ})


class Caller(msgspec.Struct, frozen=True):
    """``consumer`` is who the work is accounted to, ``expires_at`` (seconds since 1970, UTC) when
    this authority ends; None: it does not end by itself."""

    consumer: str
    scopes: frozenset[str] = ALL_SCOPES
    expires_at: float | None = None


#: Whoever asks where nobody needs a credential: then all are one, and the operator too.
ANONYMOUS = Caller("anonymous", ALL_SCOPES | {ADMIN})
