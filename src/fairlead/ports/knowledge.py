"""The port of a knowledge base: passages of the user's own documents."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Passage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A passage and its place: ``document`` is the document's id, ``address`` where a person finds
    it, ``heading`` the path of headings above it, ``span`` first and past-the-last character in the
    document's text, ``snippet`` a few words around what matched, ``score`` higher is better.
    ``before`` and ``after`` are what surrounds it, where that was asked for."""

    id: str
    document: str
    title: str
    address: str
    heading: str
    span: tuple[int, int]
    text: str
    snippet: str = ""
    score: float = 0.0
    before: str = ""
    after: str = ""


class Knowledge(Protocol):
    """Finds passages."""

    async def open(self) -> None:
        """Make ready for use."""
        ...

    async def close(self) -> None:
        """Free everything. Idempotent."""
        ...

    async def retrieve(self, question: str, limit: int = 5, before: str = "") -> list[Passage]:
        """The passages that bear on the question, best first; none if nothing does. ``before`` is
        the question asked before in the dialogue (empty: none), for one that leans on it."""
        ...

    async def passage(self, id: str, around: int = 0) -> Passage:
        """One passage by id, with up to ``around`` characters before and after it;
        :class:`~fairlead.errors.NotFound` if there is none."""
        ...
