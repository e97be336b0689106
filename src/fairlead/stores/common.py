"""What several stores need: cutting a run of records by bytes, random suffixes of epochs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import accumulate

from fairlead.errors import BadRequest, NotFound, StoreUnavailable
from fairlead.journal.position import SUFFIX_LENGTH
from fairlead.ports.store import AppendOutcome, StreamSpec
from fairlead.primitives import base32, parse_sortable

#: What SQLite can count to.
_LARGEST = (1 << 63) - 1


class Promise(asyncio.Future[AppendOutcome]):
    """The outcome of an append, for whoever awaits it."""

    def told(self, outcome: AppendOutcome | Exception) -> None:
        """It is known now."""
        if self.done():
            return
        if isinstance(outcome, Exception):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)


def bounded(records: list[bytes], max_bytes: int) -> list[bytes]:
    """The longest beginning of ``records`` within ``max_bytes``, but at least one record."""
    for i, total in enumerate(accumulate(map(len, records))):
        if total > max_bytes:
            return records[: max(i, 1)]
    return records


def epoch_suffix(entropy: Callable[[int], bytes]) -> str:
    """The random part of a new epoch."""
    return base32(entropy(4))[:SUFFIX_LENGTH]


def same_content(a: StreamSpec, b: StreamSpec) -> bool:
    """Whether two creations of the same id ask for the same stream."""
    return (a.owner, a.content_type, a.fingerprint) == (b.owner, b.content_type, b.fingerprint)


def check_creation(writer: str | None, records: Sequence[bytes]) -> None:
    """Refuse what is not bytes, and records that nobody writes: they would belong to no epoch."""
    b"".join(records)
    if records and writer is None:
        raise ValueError("a stream that is created with records needs a writer")


def unknown_stream(id: str) -> NotFound:
    """The error for an id that is unknown or deleted."""
    return NotFound(f"there is no stream {id!r}")


def not_joined(owner: str) -> StoreUnavailable:
    """The error for writing as an owner whose lease is over or never began."""
    return StoreUnavailable(
        f"the owner {owner!r} holds no lease: it never joined, or did not renew in time; join again"
    )


def store_closed() -> StoreUnavailable:
    """The error for using a store that is not open."""
    return StoreUnavailable("the store is closed")


def parse_cursor(cursor: str | None) -> int | None:
    """The number in a listing's cursor; :class:`~fairlead.errors.BadRequest` if there is none."""
    if cursor is None:
        return None
    try:
        number, end = parse_sortable(cursor)
    except ValueError:
        number, end = 0, -1
    if end != len(cursor) or number > _LARGEST:
        raise BadRequest("the cursor is not one that the server gave")
    return number
