"""The identity of a program that has Fairlead inside, with Fairlead's tickets and client secrets
beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fairlead.errors import Unauthenticated
from fairlead.identity.client_secrets import ClientSecrets, is_secret
from fairlead.identity.tickets import PREFIX, TicketIdentity
from fairlead.policy.caller import Caller
from fairlead.ports.identity import Identity, Revocable


class OwnIdentity:
    """Implements :class:`~fairlead.ports.identity.Identity` and
    :class:`~fairlead.ports.identity.Revocable`: the program's own is asked about everything but
    what Fairlead issues, and about ends if it knows of any."""

    def __init__(self, own: Identity, tickets: TicketIdentity, secrets: ClientSecrets) -> None:
        self._own = own
        self._tickets = tickets
        self._secrets = secrets

    async def identify(self, credential: str | None) -> Caller:
        """The caller."""
        if credential is not None and credential.startswith(PREFIX):
            return await self._tickets.identify(credential)
        if credential is not None and is_secret(credential):
            return await self._secrets.identify(credential)
        return await self._own.identify(credential)

    async def ended(self, credentials: Collection[str]) -> Mapping[str, Unauthenticated]:
        """Which of the credentials have ended."""
        return await self._own.ended(credentials) if isinstance(self._own, Revocable) else {}
