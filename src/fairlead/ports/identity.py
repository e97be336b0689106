"""The port of identity: from a credential to a caller, and when that is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from fairlead.errors import Unauthenticated
from fairlead.policy.caller import Caller


class Identity(Protocol):
    """Names the caller of a request."""

    async def identify(self, credential: str | None) -> Caller:
        """The caller who holds the bearer credential (None: the request carried none).

        Raises :class:`~fairlead.errors.Unauthenticated`, whose message never repeats it, and
        :class:`~fairlead.errors.IdentityUnavailable` where that cannot be found out now.
        """
        ...


@runtime_checkable
class Revocable(Protocol):
    """What an identity can tell besides, whose credentials can end before they expire."""

    async def ended(self, credentials: Collection[str]) -> Mapping[str, Unauthenticated]:
        """Which of these have ended (they are :attr:`~fairlead.policy.caller.Caller.credential` of
        callers that it named), and what their holders are to be told.

        It is asked every second or two about the credentials of all that is open, and answers with
        what is true now, not with what it remembers. One that it does not know has ended, if it is
        of a kind that it remembers; others' are passed over. Where it cannot know for the moment,
        it leaves the credential out, or raises :class:`~fairlead.errors.FairleadError`: then
        everything stays open until the next time.
        """
        ...
