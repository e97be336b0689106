"""Retention: how long streams are kept, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fairlead.journal.log import Head


class Retention(msgspec.Struct, frozen=True):
    """What a store keeps. None means no limit.

    ``max_age``: seconds that a closed stream is kept after it was last written or touched.
    ``max_bytes`` and ``max_records``: how much of one stream is kept, newest first.
    """

    max_age: float | None = 30 * 24 * 3600.0
    max_bytes: int | None = 256 * 1024 * 1024
    max_records: int | None = None


def expired(retention: Retention, *, closed: bool, touched: float, now: float) -> bool:
    """Whether a stream last written or touched at ``touched`` may go. Open streams never may."""
    return closed and retention.max_age is not None and now - touched > retention.max_age


def keep_from(retention: Retention, head: Head, runs: Sequence[tuple[int, int]]) -> int:
    """The lowest offset to keep.

    ``runs`` are (first offset, bytes) of consecutive stretches of the log, in order; trimming is by
    whole stretch, so that a store need not repackage what it keeps. The newest stretch always
    stays: a limit never empties a log.
    """
    first = head.first
    if retention.max_records is not None:
        floor = head.tail - retention.max_records
        for start, _ in runs:
            if start <= floor:
                first = max(first, start)
    if retention.max_bytes is not None:
        total = 0
        for i, (start, size) in enumerate(reversed(runs)):
            total += size
            if total > retention.max_bytes and i > 0:
                previous = runs[len(runs) - i][0]
                first = max(first, previous)
                break
            if start <= first:
                break
    return first
