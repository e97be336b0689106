"""The port of the usage ledger: who used how much of which model, day by day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

import msgspec
from msgspec.structs import replace

By = Literal["day", "consumer", "model"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What ``consumer`` used of ``model`` on ``day`` (``2026-11-20``, UTC; an answer counts on the
    day on which it ended). ``money`` is in micro-units of ``currency``, by the prices of the time;
    without a price 0 and an empty currency. ``estimated``: how many of the requests were counted
    here because nobody stated their tokens."""

    day: str
    consumer: str
    model: str
    currency: str = ""
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    money: int = 0
    estimated: int = 0

    @property
    def row(self) -> tuple[str, str, str, str]:
        """What is added up under one."""
        return self.day, self.consumer, self.model, self.currency

    def __add__(self, other: Usage) -> Usage:
        """Both, which are of one row."""
        return msgspec.structs.replace(
            self,
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            money=self.money + other.money,
            estimated=self.estimated + other.estimated,
        )


#: What rows can be added up by.
BY: tuple[By, ...] = ("day", "consumer", "model")


def grouped(rows: Iterable[Usage], by: By) -> list[Usage]:
    """The rows added up by one of their columns; the other ones are then empty. What is of several
    currencies stays apart."""
    empty = {name: "" for name in BY if name != by}
    return [found for _, found in sorted(added_up(replace(row, **empty) for row in rows).items())]


def added_up(entries: Iterable[Usage]) -> dict[tuple[str, str, str, str], Usage]:
    """One entry for each row."""
    found: dict[tuple[str, str, str, str], Usage] = {}
    for entry in entries:
        known = found.get(entry.row)
        found[entry.row] = entry if known is None else known + entry
    return found


class UsageLedger(Protocol):
    """The ledger. Calls that wait raise :class:`~fairlead.errors.StoreUnavailable`."""

    async def open(self) -> None:
        """Make ready. Idempotent."""
        ...

    async def close(self) -> None:
        """Write what was added and free everything. Idempotent."""
        ...

    def add(self, entry: Usage) -> None:
        """Add to the row of the entry. Returns at once; it is written soon."""
        ...

    async def flush(self) -> None:
        """Wait until all that was added is written."""
        ...

    async def read(self, consumer: str | None, since: str, until: str) -> list[Usage]:
        """The rows of a consumer (None: of all) from one day up to another, both included, by day,
        consumer, model and currency."""
        ...
