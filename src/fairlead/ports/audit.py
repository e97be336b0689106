"""The port of the audit log: who changed what, when, and from where."""

from __future__ import annotations

from typing import Protocol

import msgspec

from fairlead.policy.caller import Caller

#: So many of the newest entries are kept.
KEPT = 100_000
#: The longest text of an entry.
MAX_TEXT = 500


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One change, at a time in seconds since 1970 (UTC). ``consumer`` made it, with ``credential``
    (its public id), from ``address``; ``action`` says what was done, such as ``key.revoked``, and
    ``target`` to what. ``details`` are further facts. None of it is ever a secret."""

    at: float
    consumer: str
    action: str
    target: str = ""
    credential: str = ""
    address: str = ""
    details: dict[str, str] = {}


class EntryPage(msgspec.Struct, frozen=True):
    """Some entries, newest first; ``cursor`` leads to the next page, None: there is none."""

    items: tuple[Entry, ...]
    cursor: str | None


class Audit(Protocol):
    """The log of a deployment, shared by its processes; what is in it never changes, and only the
    newest :data:`KEPT` entries stay. Raises the store errors."""

    async def open(self) -> None:
        """Be ready. Idempotent."""
        ...

    async def add(self, entry: Entry) -> None:
        """Enter it."""
        ...

    async def page(
        self, cursor: str | None = None, limit: int = 50, *, action: str = "", target: str = ""
    ) -> EntryPage:
        """The newest entries: of an ``action`` (or of all that begin with it and a dot), and of a
        ``target``, where these are given."""
        ...


def entry(caller: Caller, at: float, action: str, target: str = "", **details: str) -> Entry:
    """What ``caller`` did, shortened to what is kept."""
    return Entry(
        at=at,
        consumer=caller.consumer[:MAX_TEXT],
        action=action,
        target=target[:MAX_TEXT],
        credential=caller.credential[:MAX_TEXT],
        address=caller.facts.address[:MAX_TEXT],
        details={name: text[:MAX_TEXT] for name, text in details.items()},
    )


def concerns(found: Entry, action: str, target: str) -> bool:
    """Whether the entry is among those asked for."""
    return (not target or found.target == target) and (
        not action or found.action == action or found.action.startswith(f"{action}.")
    )
