"""The port of kept passages: what sources found that cannot be asked for it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fairlead.ports.knowledge import Passage

#: Passages that are kept; the ones longest not found are removed first.
MOST = 10_000


class Passages(Protocol):
    """Passages by id, :data:`MOST` at most. Every verb may raise the store errors."""

    async def open(self) -> None:
        """Be ready. Idempotent."""
        ...

    async def keep(self, passages: Sequence[Passage]) -> None:
        """Keep them, in the place of those that have their ids."""
        ...

    async def find(self, id: str) -> Passage | None:
        """The passage that is kept by this id."""
        ...
