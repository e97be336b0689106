"""How long the body of a request may take to arrive."""

from __future__ import annotations

import asyncio

#: Seconds that a body may take.
TIMEOUT = 30.0
#: A large one has more, while it comes with at least so many bytes a second.
SLOWEST = 64 * 1024


class Arrival:
    """The arrival of one body, which begins now. ``deadline`` is by the loop's clock."""

    __slots__ = ("deadline",)

    def __init__(self) -> None:
        self.deadline = asyncio.get_running_loop().time() + TIMEOUT

    def came(self, size: int) -> None:
        """So many bytes more are there."""
        self.deadline += size / SLOWEST
