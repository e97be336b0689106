"""Identity by client secrets, as OpenAI's Realtime API has them: for a page or an app that opens
sessions itself, good until it ends, with settings for those sessions."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from fairlead.errors import Busy, Unauthenticated
from fairlead.identity.stored_keys import digest
from fairlead.policy.caller import Caller
from fairlead.ports.tickets import Ticket, Tickets
from fairlead.primitives import base32

#: Secrets of one consumer that have not ended.
MOST = 10_000

_SHAPE = re.compile(r"ek_[0-9a-z]{32}")


class Issued(NamedTuple):
    """A secret, and when it ends, in seconds since 1970."""

    value: str
    expires_at: float


class ClientSecrets:
    """Implements :class:`~fairlead.ports.identity.Identity` for client secrets, and issues them.
    They are tickets that nobody takes."""

    def __init__(
        self,
        tickets: Tickets,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._tickets = tickets
        self._clock = clock
        self._entropy = entropy

    async def issue(self, caller: Caller, seconds: float, settings: str) -> Issued:
        """A secret with the authority of ``caller``, which ends as theirs does, for sessions with
        these ``settings`` (JSON). Raises :class:`~fairlead.errors.Busy` if they have too many."""
        text = "ek_" + base32(self._entropy(20))
        until = self._clock() + seconds
        ticket = Ticket(
            consumer=caller.consumer,
            scopes=caller.scopes,
            expires_at=caller.expires_at,
            credential=caller.credential,
            claims=caller.claims,
            until=until,
            settings=settings,
        )
        if not await self._tickets.issue(ticket, digest(text), MOST):
            raise Busy(
                f"there are {MOST} client secrets of this consumer already", retry_after=seconds
            )
        return Issued(text, until)

    async def identify(self, credential: str | None) -> Caller:
        """The caller who was given the secret."""
        found = await self._found(credential or "")
        if found is None:
            raise Unauthenticated(
                "this client secret is unknown or has ended: get another one with "
                "POST /v1/realtime/client_secrets"
            )
        return Caller(
            found.consumer,
            scopes=found.scopes,
            expires_at=found.expires_at,
            credential=found.credential,
            claims=found.claims,
        )

    async def settings(self, credential: str) -> str:
        """What sessions are like that are opened with the secret (JSON); empty if it is none."""
        found = await self._found(credential)
        return "" if found is None else found.settings

    async def _found(self, credential: str) -> Ticket | None:
        return await self._tickets.find(digest(credential)) if is_secret(credential) else None


def is_secret(credential: str) -> bool:
    """Whether it has the shape of a client secret."""
    return _SHAPE.fullmatch(credential) is not None
