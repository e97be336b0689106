"""What can be chosen for a run."""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``seconds`` are measured after ``warmup`` seconds. ``connections`` 0: what the workload says
    by itself; ``quick``: fewer of them."""

    seconds: float = 10.0
    warmup: float = 5.0
    connections: int = 0
    quick: bool = False

    def readers(self, usual: int, quick: int) -> int:
        """How many readers a workload has."""
        return self.connections or (quick if self.quick else usual)
