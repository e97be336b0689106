"""Identity by one-use tickets: for ``EventSource`` and WebSockets of browsers, which can send a
credential in their URL only, where it is seen by whatever keeps URLs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from fairlead.errors import Busy, Unauthenticated
from fairlead.identity.stored_keys import digest
from fairlead.policy.caller import Caller
from fairlead.ports.tickets import Ticket, Tickets
from fairlead.primitives import base32

PREFIX = "flt_"
#: Seconds that a ticket is good for.
LIFE = 30.0
#: Unused tickets of one consumer.
MOST = 1000

_TEXT = re.compile(r"flt_[0-9a-z]{32}")


class TicketIdentity:
    """Implements :class:`~fairlead.ports.identity.Identity` for tickets, and issues them."""

    def __init__(
        self,
        tickets: Tickets,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._tickets = tickets
        self._clock = clock
        self._entropy = entropy

    async def issue(self, caller: Caller) -> str:
        """A ticket with the authority of ``caller``, which ends as theirs does. Raises
        :class:`~fairlead.errors.Busy` if they have too many unused ones."""
        text = PREFIX + base32(self._entropy(20))
        ticket = Ticket(
            consumer=caller.consumer,
            scopes=caller.scopes,
            expires_at=caller.expires_at,
            credential=caller.credential,
            claims=caller.claims,
            until=self._clock() + LIFE,
        )
        if not await self._tickets.issue(ticket, digest(text), MOST):
            raise Busy(
                f"there are {MOST} unused tickets of this consumer already", retry_after=LIFE
            )
        return text

    async def identify(self, credential: str | None) -> Caller:
        """The caller who was given the ticket, which is used up."""
        text = credential or ""
        found = await self._tickets.take(digest(text)) if _TEXT.fullmatch(text) else None
        if found is None:
            raise Unauthenticated(
                "this ticket is not good: it can be used once, within "
                f"{LIFE:g} s; get another one with POST /tickets"
            )
        return Caller(
            found.consumer,
            scopes=found.scopes,
            expires_at=found.expires_at,
            credential=found.credential,
            claims=found.claims,
        )
