"""The port of sessions: who has logged in with a browser."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from fairlead.policy.caller import ALL_SCOPES


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login. ``id`` is public; the cookie's text is nowhere but in the browser. Times in seconds
    since 1970, UTC."""

    id: str
    consumer: str
    scopes: frozenset[str] = ALL_SCOPES
    claims: dict[str, str] = {}
    created: float = 0.0
    expires_at: float


class Sessions(Protocol):
    """The sessions of a deployment, shared by its processes. Every verb may raise the store
    errors."""

    async def open(self) -> None:
        """Be ready. Idempotent."""
        ...

    async def begin(self, session: Session, sha256: bytes) -> None:
        """Keep a new session by the SHA-256 of its cookie; those that have expired are removed."""
        ...

    async def find(self, sha256: bytes) -> Session | None:
        """The session whose cookie has this SHA-256, unless it has ended."""
        ...

    async def end(self, id: str) -> None:
        """End a session. Idempotent."""
        ...

    async def alive(self, ids: Collection[str]) -> set[str]:
        """Which of these sessions have not ended."""
        ...
