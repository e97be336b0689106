"""A clock that stands still until it is moved."""

from __future__ import annotations


class Clock:
    """Stands for ``time.time``: seconds since 1970 (UTC), moved by :meth:`advance` alone."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds
