"""Rows of ``streams`` and ``terms`` as values."""

from __future__ import annotations

from typing import NamedTuple

import apsw

from fairlead.journal.log import Head, Term
from fairlead.journal.position import Epoch
from fairlead.ports.store import Lease, StreamInfo, StreamSpec

_COLUMNS = (
    "num, id, owner, content_type, fingerprint, first_meta, meta, meta_version, "
    "created, touched, first, tail, bytes, closed, deleted, writer, signal"
)


class Row(NamedTuple):
    """A row of ``streams``; ``meta`` None means that it is still the first."""

    num: int
    id: str
    owner: str
    content_type: str
    fingerprint: bytes
    first_meta: bytes
    meta: bytes | None
    meta_version: int
    created: float
    touched: float
    first: int
    tail: int
    bytes: int
    closed: int
    deleted: int
    writer: str | None
    signal: str

    def spec(self) -> StreamSpec:
        """What the stream was created with."""
        return StreamSpec(
            id=self.id,
            owner=self.owner,
            content_type=self.content_type,
            fingerprint=self.fingerprint,
            meta=self.first_meta,
        )

    def info(self, head: Head) -> StreamInfo:
        """The stream without its records."""
        return StreamInfo(
            spec=self.spec(),
            head=head,
            created=self.created,
            touched=self.touched,
            meta=self.first_meta if self.meta is None else self.meta,
            meta_version=self.meta_version,
            signal=self.signal,
        )

    def lease(self) -> Lease:
        """The stream as its writer holds it."""
        return Lease(
            writer=self.writer or "",
            spec=self.spec(),
            meta=self.first_meta if self.meta is None else self.meta,
            created=self.created,
        )


def find(db: apsw.Connection, id: str) -> Row | None:
    """The row of a stream, which may be a tombstone; None for an unknown id."""
    row = db.execute(f"SELECT {_COLUMNS} FROM streams WHERE id = ?", (id,)).fetchone()
    return None if row is None else Row(*row)


def select(db: apsw.Connection, where: str, bindings: tuple[object, ...]) -> list[Row]:
    """The rows that a condition names."""
    return [Row(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM streams {where}", bindings)]


def terms(db: apsw.Connection, num: int) -> tuple[Term, ...]:
    """The epochs of a stream, in order."""
    found = db.execute(
        "SELECT counter, suffix, first FROM terms WHERE num = ? ORDER BY counter", (num,)
    )
    return tuple(Term(Epoch(counter, suffix), first) for counter, suffix, first in found)
