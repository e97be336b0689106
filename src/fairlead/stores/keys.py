"""What the stores of API keys have in common: how a key changes, and what is said of it."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.errors import Conflict, NotFound
from fairlead.ports.keys import StoredKey


def unknown_key(id: str) -> NotFound:
    """The error for an id that no key has."""
    return NotFound(f"there is no API key {id[:64]!r}")


def known_already(id: str) -> Conflict:
    """The error for making a key twice."""
    return Conflict(f"there is an API key {id!r} already, or one with the same text")


def rotated(
    key: StoredKey, successor: str, overlap: float, now: float
) -> tuple[StoredKey, StoredKey]:
    """The old key, which is to end, and the new one."""
    if key.successor:
        raise Conflict(f"the API key {key.id!r} is replaced by {key.successor!r} already")
    if not key.alive(now):
        state = "expired" if key.revoked_at is None else "revoked"
        raise Conflict(f"the API key {key.id!r} is {state}; make a new one")
    end = now + overlap
    if key.expires_at is not None:
        end = min(end, key.expires_at)
    new = replace(key, id=successor, created=now, last_used=None)
    return replace(key, expires_at=end, successor=successor), new


def revoked(key: StoredKey, now: float) -> StoredKey:
    """The key as one that has ended."""
    return key if key.revoked_at is not None else replace(key, revoked_at=now)
