"""The port of stored API keys: made, listed, rotated and revoked while servers run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from fairlead.policy.caller import ALL_SCOPES

#: The longest name, and the most quotas, of a key.
MAX_NAME = 200
MAX_QUOTAS = 20


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an API key besides its SHA-256; the key itself is nowhere.

    ``id`` is public, a part of the key's text. ``quotas`` name the budgets that it draws on, as
    the configuration calls them. Times in seconds since 1970, UTC; ``expires_at`` None: it does
    not end by itself; ``last_used`` is right to about a minute. ``successor``: the id of the key
    that replaces it.
    """

    id: str
    consumer: str
    name: str = ""
    scopes: frozenset[str] = ALL_SCOPES
    quotas: tuple[str, ...] = ()
    created: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used: float | None = None
    successor: str = ""

    def alive(self, now: float) -> bool:
        """Whether it is neither revoked nor expired at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyPage(msgspec.Struct, frozen=True):
    """Some keys, newest first; ``cursor`` leads to the next page, None: there is none."""

    items: tuple[StoredKey, ...]
    cursor: str | None


class Keys(Protocol):
    """The keys of a deployment, shared by its processes. A revoked or expired key stays listed.

    Every verb may raise the store errors; what names an unknown id raises
    :class:`~fairlead.errors.NotFound`.
    """

    async def open(self) -> None:
        """Be ready. Idempotent."""
        ...

    async def create(self, key: StoredKey, sha256: bytes) -> None:
        """Keep a new key by the SHA-256 of its text. Raises :class:`~fairlead.errors.Conflict` if
        its id or its text is known already."""
        ...

    async def page(
        self, consumer: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> KeyPage:
        """The keys of a consumer (None: of all)."""
        ...

    async def get(self, id: str) -> StoredKey:
        """The key of this id."""
        ...

    async def find(self, sha256: bytes) -> StoredKey | None:
        """The key whose text has this SHA-256, whatever its state; None: there is none."""
        ...

    async def rotate(self, id: str, successor: str, sha256: bytes, overlap: float) -> StoredKey:
        """Put a new key of the id ``successor`` into the place of this one, with all that it has;
        the old one ends after ``overlap`` seconds, or when it would have. The new one's.

        Raises :class:`~fairlead.errors.Conflict` for a key that is revoked, expired or replaced
        already.
        """
        ...

    async def revoke(self, id: str) -> StoredKey:
        """End the key now, for good. Idempotent."""
        ...

    async def used(self, id: str, at: float) -> None:
        """Remember that it was used; an unknown id is passed over."""
        ...

    async def alive(self, ids: Collection[str]) -> set[str]:
        """Which of these keys are neither revoked nor expired."""
        ...

    async def any(self) -> bool:
        """Whether a key was ever made, in whatever state it is."""
        ...
