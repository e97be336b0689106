"""Permissions: may this caller do this, to this, now?"""

from __future__ import annotations

from enum import StrEnum

from fairlead.policy.caller import ADMIN, ASK, READ, Caller, is_guest


class Verb(StrEnum):
    """What a caller may want of the engine."""

    START = "start"
    ATTACH = "attach"
    READ = "read"
    STOP = "stop"
    LIST = "list"
    CHANGE = "change"
    DELETE = "delete"
    OVERSEE = "oversee"


_NEEDS: dict[Verb, str] = {
    Verb.START: ASK,
    Verb.ATTACH: READ,
    Verb.READ: READ,
    Verb.STOP: ASK,
    Verb.LIST: READ,
    Verb.CHANGE: ASK,
    Verb.DELETE: ASK,
    Verb.OVERSEE: ADMIN,
}


def may(caller: Caller, verb: Verb, owner: str | None, now: float) -> bool:
    """Whether ``caller`` may do ``verb`` to a thing of ``owner`` (None: to nothing in particular)
    at ``now`` (seconds since 1970, UTC).

    A caller whose authority has expired may do nothing. To the outside, "may not" looks like
    "there is none".
    """
    if caller.expires_at is not None and now >= caller.expires_at:
        return False
    if ADMIN in caller.scopes:
        return True
    if _NEEDS[verb] not in caller.scopes or (verb is Verb.LIST and is_guest(caller)):
        return False
    return owner is None or owner == caller.consumer
