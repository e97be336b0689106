"""Who asks: the caller that every verb of the engine takes."""

from __future__ import annotations

import msgspec

from fairlead.policy.facts import NOWHERE, Facts

#: Scopes and what they allow. ``admin`` allows everything, on everyone's streams.
ASK = "ask"
READ = "read"
ADMIN = "admin"
ALL_SCOPES = frozenset({ASK, READ})


class Caller(msgspec.Struct, frozen=True):
    """``consumer`` is who the work is accounted to, ``expires_at`` (seconds since 1970, UTC) when
    this authority ends; None: it does not end by itself.

    ``credential`` is the public id of what was presented (of an API key, a session, a token), by
    which it can be revoked; never a secret. ``claims``: what a token says of its bearer, as far as
    a decision asks about it. ``facts``: how and from where the request came.
    """

    consumer: str
    scopes: frozenset[str] = ALL_SCOPES
    expires_at: float | None = None
    credential: str = ""
    claims: dict[str, str] = {}
    facts: Facts = NOWHERE


#: Whoever asks where nobody needs a credential: then all are one, and the operator too.
ANONYMOUS = Caller("anonymous", ALL_SCOPES | {ADMIN}, credential="anonymous")

#: The same, from elsewhere, of a server that is there for its own machine alone: somebody who may
#: ask and read what was asked so, but is shown no list of it, since it is not known whose that is.
GUEST = Caller("guest", ALL_SCOPES, credential=ANONYMOUS.credential)


def is_guest(caller: Caller) -> bool:
    """Whether it is :data:`GUEST`, not a consumer who is called so."""
    return caller.consumer == GUEST.consumer and caller.credential == GUEST.credential
