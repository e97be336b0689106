"""The port of identity: from a credential to a caller."""

from __future__ import annotations

from typing import Protocol

from fairlead.policy.caller import Caller


class Identity(Protocol):
    """Names the caller of a request."""

    async def identify(self, credential: str | None) -> Caller:
        """The caller who holds the bearer credential (None: the request carried none).

        Raises :class:`~fairlead.errors.Unauthenticated`, whose message never repeats it.
        """
        ...
