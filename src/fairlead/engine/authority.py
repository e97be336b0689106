"""Authority: the permissions, asked at the time of each verb."""

from __future__ import annotations

from collections.abc import Callable

from fairlead.errors import NotFound, Unauthenticated
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb, may


class Authority:
    """Asks :func:`fairlead.policy.permissions.may`, by the clock (seconds since 1970, UTC)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def allow(self, caller: Caller, verb: Verb, owner: str | None) -> None:
        """Raise unless ``caller`` may do ``verb`` to a thing of ``owner``: what may not be seen is
        :class:`~fairlead.errors.NotFound`, an expired authority
        :class:`~fairlead.errors.Unauthenticated`."""
        if self.expired(caller):
            raise Unauthenticated("the credential has expired")
        if not may(caller, verb, owner, self._clock()):
            raise NotFound("there is no such thing, or none that this credential may see")

    def expired(self, caller: Caller) -> bool:
        """Whether the caller's authority has ended."""
        return caller.expires_at is not None and self._clock() >= caller.expires_at
