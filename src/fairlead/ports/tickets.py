"""The port of tickets: credentials for places where a credential is seen, good once and not for
long."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """Whose authority a ticket stands for: as :class:`~fairlead.policy.caller.Caller` has it.
    ``until``: when the ticket itself ends, in seconds since 1970, UTC. ``settings``: what goes
    along with it, for whoever takes it (JSON; empty: nothing)."""

    consumer: str
    scopes: frozenset[str]
    expires_at: float | None
    credential: str
    claims: dict[str, str] = {}
    until: float
    settings: str = ""


class Tickets(Protocol):
    """The tickets of a deployment, shared by its processes. Every verb may raise the store
    errors."""

    async def open(self) -> None:
        """Be ready. Idempotent."""
        ...

    async def issue(self, ticket: Ticket, sha256: bytes, most: int) -> bool:
        """Keep a ticket by the SHA-256 of its text; False if its consumer has ``most`` unused ones
        already. Those that have ended are removed."""
        ...

    async def find(self, sha256: bytes) -> Ticket | None:
        """The ticket whose text has this SHA-256, which stays good; None: there is none, or it has
        ended."""
        ...

    async def take(self, sha256: bytes) -> Ticket | None:
        """The ticket whose text has this SHA-256, which is good no more from now on; None: there is
        none, or it has ended, or somebody has taken it: of several who try at once, in whatever
        process, one gets it."""
        ...
