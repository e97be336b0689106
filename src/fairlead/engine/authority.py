"""Authority: the permissions, asked at the time of each verb."""

from __future__ import annotations

from collections.abc import Callable

from fairlead.errors import Forbidden, NotFound, Unauthenticated
from fairlead.policy.caller import Caller, is_guest
from fairlead.policy.permissions import Verb, may


class Authority:
    """Asks :func:`fairlead.policy.permissions.may`, by the clock (seconds since 1970, UTC)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def allow(self, caller: Caller, verb: Verb, owner: str | None) -> None:
        """Raise unless ``caller`` may do ``verb`` to a thing of ``owner``: what may not be seen is
        :class:`~fairlead.errors.NotFound`, an expired authority
        :class:`~fairlead.errors.Unauthenticated`; a guest who asks for a list is told why there is
        none (:class:`~fairlead.errors.Forbidden`)."""
        if self.expired(caller):
            raise Unauthenticated("the credential has expired")
        if verb is Verb.LIST and is_guest(caller):
            raise Forbidden(
                "this server asks nobody for a key, and shows what was asked to its own machine "
                "alone: under a name such as localhost, and not through a proxy. Name the host "
                "under which it is reached in 'hosts', make API keys ('fairlead keys create'), or "
                "let everybody in with 'insecure'"
            )
        if not may(caller, verb, owner, self._clock()):
            raise NotFound("there is no such thing, or none that this credential may see")

    def expired(self, caller: Caller) -> bool:
        """Whether the caller's authority has ended."""
        return caller.expires_at is not None and self._clock() >= caller.expires_at
