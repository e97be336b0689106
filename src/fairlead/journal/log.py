"""The rules of a stream's log: who may append, where a reader may go on.

Everything here is a pure function over :class:`Head`, the few facts that describe a log without its
records. Stores keep heads and records; whether an append or a read is right is decided here, once,
for all of them.
"""

from __future__ import annotations

import msgspec

from fairlead.journal.position import Epoch, Position


class Term(msgspec.Struct, frozen=True, gc=False):
    """An epoch and the offset at which it began."""

    epoch: Epoch
    first: int


class Head(msgspec.Struct, frozen=True, gc=False):
    """What describes a log without its records.

    ``terms`` in order of time (counters rise, firsts never fall); ``first``: the lowest offset that
    is still kept; ``tail``: how many records were ever written, which is the next one's offset;
    ``closed``: no record will follow.
    """

    terms: tuple[Term, ...] = ()
    first: int = 0
    tail: int = 0
    closed: bool = False

    @property
    def epoch(self) -> Epoch | None:
        """The newest epoch: the only one that may write. None before the first writer."""
        return self.terms[-1].epoch if self.terms else None


# -- writing ---------------------------------------------------------------------------------------


class Fenced(msgspec.Struct, frozen=True):
    """The append came from an epoch that is not the newest: its writer must end."""

    current: Epoch | None


class Gap(msgspec.Struct, frozen=True):
    """The append would leave a hole, or reach before its own epoch."""

    tail: int


class Closed(msgspec.Struct, frozen=True):
    """The stream was closed before this append, which is not a repetition of what closed it."""

    tail: int


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The append is right: drop its first ``skip`` records, which the log has, add the others."""

    skip: int
    head: Head


def acquire(head: Head, suffix: str) -> tuple[Head, Epoch]:
    """Begin a new epoch at the tail. ``suffix``: six random characters of the id alphabet."""
    current = head.epoch
    epoch = Epoch(current.counter + 1 if current else 1, suffix)
    return msgspec.structs.replace(head, terms=(*head.terms, Term(epoch, head.tail))), epoch


def append(
    head: Head, epoch: Epoch, at: int, count: int, *, close: bool = False
) -> Accepted | Fenced | Gap | Closed:
    """Judge an append of ``count`` records at offset ``at`` by the writer of ``epoch``.

    An append whose outcome was unknown may be repeated as it was: what the log has already is
    skipped, which is safe because only one writer ever writes under an epoch.
    """
    terms = head.terms
    if not terms or epoch != terms[-1].epoch:
        return Fenced(head.epoch)
    if at == head.tail and not head.closed:
        return Accepted(0, Head(terms, head.first, at + count, close))
    if at > head.tail or at < terms[-1].first:
        return Gap(head.tail)
    skip = min(head.tail - at, count)
    if head.closed and (skip < count or not close):
        return Closed(head.tail)
    tail = head.tail + count - skip
    return Accepted(skip, Head(terms, head.first, tail, head.closed or close))


def trim(head: Head, first: int) -> Head:
    """Forget the records before ``first`` (never beyond the tail, never backwards)."""
    return msgspec.structs.replace(head, first=max(head.first, min(first, head.tail)))


# -- reading ---------------------------------------------------------------------------------------


class At(msgspec.Struct, frozen=True):
    """Read on from ``offset``, leaving out the first ``step`` frames of that record."""

    offset: int
    step: int


class Lost(msgspec.Struct, frozen=True):
    """The position is no place in this log: what its reader saw was lost. It needs a reset."""

    reason: str


class Gone(msgspec.Struct, frozen=True):
    """Records after the position were trimmed; the log begins at ``first``."""

    first: int


def locate(head: Head, after: Position | None) -> At | Lost | Gone:
    """Where reading after ``after`` goes on (None: the start).

    A position is valid if its epoch is known, what its reader has seen lies before the next epoch's
    first offset, and is not past the tail.
    """
    if after is None:
        return At(0, 0) if head.first == 0 else Gone(head.first)
    limit = head.tail
    for i, term in enumerate(head.terms):
        if term.epoch == after.epoch:
            if i + 1 < len(head.terms):
                limit = head.terms[i + 1].first
            break
    else:
        return Lost("the position belongs to a writer whose records were lost")
    # A step counts frames of the record at the offset, so that record has been seen too.
    seen = after.offset + (1 if after.step else 0)
    if seen > limit:
        return Lost("the records before the position were lost")
    if after.offset < head.first:
        return Gone(head.first)
    return At(after.offset, after.step)


def position(head: Head, offset: int, step: int = 0) -> Position | None:
    """The position of a reader who has ``offset`` records behind it; None before any writer.

    At the border of two epochs it is the end of the earlier one: the record last seen is what the
    position vouches for. With a ``step`` the record at ``offset`` has been seen in part.
    """
    seen = offset + (1 if step else 0)
    found: Epoch | None = None
    for term in head.terms:
        if found is not None and term.first >= seen:
            break
        found = term.epoch
    return None if found is None else Position(found, offset, step)
