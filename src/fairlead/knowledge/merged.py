"""Several sources of knowledge as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import zip_longest

from fairlead.errors import NotFound
from fairlead.ports.knowledge import Knowledge, Passage


class MergedKnowledge:
    """Implements :class:`~fairlead.ports.knowledge.Knowledge` with the documents' (``own``; None:
    they are not searched) and ``others`` by name, whose passages' ids begin with it."""

    def __init__(self, own: Knowledge | None, others: Mapping[str, Knowledge]) -> None:
        self.own = own
        self._others = dict(others)

    async def open(self) -> None:
        """There is nothing to open: whoever made the sources opens them."""

    async def close(self) -> None:
        """There is nothing to free."""

    async def retrieve(self, question: str, limit: int = 5, before: str = "") -> list[Passage]:
        """The best of each in turn: scores of different sources cannot be compared."""
        sources = [*([self.own] if self.own is not None else []), *self._others.values()]
        found = await asyncio.gather(
            *(source.retrieve(question, limit, before) for source in sources)
        )
        ranks = zip_longest(*found)
        return [passage for rank in ranks for passage in rank if passage is not None][:limit]

    async def passage(self, id: str, around: int = 0) -> Passage:
        """One passage, by the source that found it."""
        source = self._others.get(id.partition(":")[0], self.own)
        if source is None:
            raise NotFound("there is no such passage")
        return await source.passage(id, around)


def documents_of(knowledge: Knowledge | None) -> Knowledge | None:
    """Of what is searched, the documents."""
    return knowledge.own if isinstance(knowledge, MergedKnowledge) else knowledge


def merged(own: Knowledge | None, others: Mapping[str, Knowledge]) -> Knowledge | None:
    """What is searched, where there are other sources than the documents."""
    return MergedKnowledge(own, others) if others else own
