"""Positions: where a reader stands in a stream.

A position is (epoch, offset, step). ``offset`` counts the records that the reader has behind it;
it never restarts. ``epoch`` rises each time a writer acquires the stream: its counter orders the
epochs, its random suffix tells two epochs with the same counter apart, which can both have existed
when a store lost acknowledged records. ``step`` counts the frames already shown of the record at
``offset``, where a dialect makes several frames of one record.

An offset alone would lie: a store that lost records 10 to 12 and wrote others in their place would
serve a reader who stood at 13 a text that it never saw begin. The epoch makes that visible.

Written as text a position is header-safe (``0-9 a-z -``), holds none of ``, & = ? /`` and sorts as
positions do: ``11k3f9az-2z8``.
"""

from __future__ import annotations

import msgspec

from fairlead.errors import BadPosition
from fairlead.primitives import ALPHABET, parse_sortable, sortable

#: Characters of an epoch's random suffix (30 bits).
SUFFIX_LENGTH = 6
#: The longest text that can be a position; longer input is refused unread.
MAX_TEXT = 96


class Epoch(msgspec.Struct, frozen=True, order=True, gc=False):
    """A writer's term, and its fencing token. ``counter`` starts at 1."""

    counter: int
    suffix: str

    def __str__(self) -> str:
        return sortable(self.counter) + self.suffix


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a reader stands: after ``offset`` records, as seen in ``epoch``."""

    epoch: Epoch
    offset: int
    step: int = 0

    def __str__(self) -> str:
        text = f"{self.epoch}-{sortable(self.offset)}"
        return f"{text}-{sortable(self.step)}" if self.step else text


def parse_epoch(text: str) -> Epoch:
    """The epoch that ``text`` writes; :class:`~fairlead.errors.BadPosition` if it writes none."""
    epoch, end = _epoch(text, 0)
    if end != len(text):
        raise _bad(text)
    return epoch


def parse_position(text: str) -> Position:
    """The position that ``text`` writes; :class:`~fairlead.errors.BadPosition` if it writes none.

    Exactly one text writes each position: whatever parses is what ``str()`` gives back.
    """
    if len(text) > MAX_TEXT:
        raise _bad(text)
    epoch, at = _epoch(text, 0)
    try:
        if text[at : at + 1] != "-":
            raise _bad(text)
        offset, at = parse_sortable(text, at + 1)
        step = 0
        if at != len(text):
            if text[at] != "-":
                raise _bad(text)
            step, at = parse_sortable(text, at + 1)
            if step == 0 or at != len(text):
                raise _bad(text)
    except ValueError:
        raise _bad(text) from None
    return Position(epoch, offset, step)


def _epoch(text: str, start: int) -> tuple[Epoch, int]:
    try:
        counter, at = parse_sortable(text, start)
    except ValueError:
        raise _bad(text) from None
    suffix = text[at : at + SUFFIX_LENGTH]
    if counter == 0 or len(suffix) != SUFFIX_LENGTH or any(c not in ALPHABET for c in suffix):
        raise _bad(text)
    return Epoch(counter, suffix), at + SUFFIX_LENGTH


def _bad(text: str) -> BadPosition:
    shown = text if len(text) <= 40 else text[:40] + "…"
    return BadPosition(
        f"{shown!r} is not a position. Send back, unchanged, a position that the server gave you "
        "(the part of an event's id after the dot), or leave it out to read from the start."
    )


class Writer:
    """Writes the positions of one epoch quickly, for readers that follow a live stream."""

    __slots__ = ("_high", "_high_text", "_prefix", "epoch")

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch
        self._prefix = f"{epoch}-".encode()
        self._high = -1
        self._high_text = b""

    def text(self, offset: int) -> bytes:
        """``str(Position(epoch, offset))`` in ASCII."""
        if offset < 1024:
            return self._prefix + _LOW[offset]
        high = offset >> 10
        if high != self._high:
            self._high = high
            self._high_text = self._prefix + sortable(offset)[:-2].encode()
        return self._high_text + _PAIRS[offset & 1023]


_LOW = tuple(sortable(n).encode() for n in range(1024))
_PAIRS = tuple((a + b).encode() for a in ALPHABET for b in ALPHABET)
