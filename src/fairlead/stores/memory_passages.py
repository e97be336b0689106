"""Passages in memory: for one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from fairlead.ports.knowledge import Passage
from fairlead.ports.passages import MOST


class MemoryPassages:
    """A :class:`~fairlead.ports.passages.Passages`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._passages: OrderedDict[str, Passage] = OrderedDict()

    async def open(self) -> None:
        """There is nothing to open."""

    async def keep(self, passages: Sequence[Passage]) -> None:
        for passage in passages:
            self._passages[passage.id] = passage
            self._passages.move_to_end(passage.id)
        while len(self._passages) > self._most:
            self._passages.popitem(last=False)

    async def find(self, id: str) -> Passage | None:
        return self._passages.get(id)
