"""Appends that are shown ahead of the database, once they stand on a slate. Loop thread only.

A stream is written this way from its first append in the database on, which tells where it ends and
that its epoch is ours, until anything else than the next append is asked for it. From then on, and
until the thread has done that, the stream's appends go the way of everything else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from fairlead.journal.position import Epoch
from fairlead.ports.store import AppendOutcome, Commits
from fairlead.stores.sqlite.slates import Note, Slate

Tell = Callable[[AppendOutcome | Exception], None]
Append = tuple[str, Epoch, int, Sequence[bytes], bool, Tell, int]
#: What the thread is to move: stream, epoch, offset, records, bytes.
Moving = tuple[str, Epoch, int, Sequence[bytes], int]

#: A slate is followed by another beyond this many bytes: whoever takes over reads all of it.
SLATE_BYTES = 1024 * 1024
#: While the database lacks this many bytes, nothing more is shown ahead of it.
AHEAD_BYTES = 8 * 1024 * 1024
#: Stands for all streams.
ALL = ""


class _Stream:
    __slots__ = ("epoch", "num", "tail")

    def __init__(self, num: int, epoch: Epoch, tail: int) -> None:
        self.num = num
        self.epoch = epoch
        self.tail = tail


class Ahead:
    """``show`` makes records visible; ``ask`` has the thread make another slate."""

    def __init__(
        self,
        show: Callable[[list[Append]], None],
        ask: Callable[[], asyncio.Future[None] | None],
        commits: Commits,
    ) -> None:
        self._show = show
        self._ask = ask
        self._commits = commits
        self._streams: dict[str, _Stream] = {}
        #: How much of each stream the thread has still to do.
        self._waiting: dict[str, int] = {}
        self._slate: Slate | None = None
        self._next: Slate | None = None
        self._asked = False
        self._closed = False
        self._turn: list[Append] = []
        self._notes: list[Note] = []
        self._moving: list[Moving | Slate] = []
        self._shown = 0
        #: How much of it the thread has moved; the thread counts.
        self.moved = 0

    # -- streams

    def take(self, item: Append) -> bool:
        """Take in an append, if it may be shown ahead."""
        stream = self._streams.get(item[0])
        if stream is None:
            return False
        _, epoch, at, records, close, _, _ = item
        if (
            close
            or not records
            or at != stream.tail
            or (epoch is not stream.epoch and epoch != stream.epoch)
            or self._shown - self.moved > AHEAD_BYTES
        ):
            return False
        stream.tail = at + len(records)
        self._turn.append(item)
        self._notes.append((stream.num, at, records))
        return True

    def hold(self, id: str) -> None:
        """The thread is asked for something of a stream."""
        if id == ALL:
            self._streams.clear()
        else:
            self._streams.pop(id, None)
        self._waiting[id] = self._waiting.get(id, 0) + 1

    def done(self, ids: Iterable[str]) -> None:
        """The thread has done what was asked, once for each time a stream is named."""
        waiting = self._waiting
        for id in ids:
            if waiting[id] == 1:
                del waiting[id]
            else:
                waiting[id] -= 1

    def drop(self, id: str) -> None:
        """Something else has become of a stream."""
        self._streams.pop(id, None)

    def ready(self, id: str, num: int, epoch: Epoch, tail: int) -> None:
        """The database has so much of a stream, and it is ours."""
        if self._slate is None:
            self._want()
        elif id not in self._waiting and ALL not in self._waiting:
            self._streams[id] = _Stream(num, epoch, tail)

    # -- slates

    def _want(self) -> None:
        if not (self._asked or self._next or self._closed):
            made = self._ask()
            if made is not None:
                self._asked = True
                made.add_done_callback(self._answered)

    def _answered(self, made: asyncio.Future[None]) -> None:
        """Where no slate can be made, appends are shown when the database has them."""
        made.exception()
        self._asked = False

    def come(self, slate: Slate) -> None:
        """What was asked for. Where nothing is written by now it is asked for again: at rest there
        is one slate, or none."""
        if self._closed or (self._slate is not None and not self._streams):
            slate.remove()
            return
        self._next = slate
        if self._slate is None:
            self._change()

    def _change(self) -> None:
        """Go on with the next slate. Who took over streams before it was made sealed the one
        before; who does so later finds it."""
        if self._slate is not None:
            if not self._slate.whole():
                self._streams.clear()
            self._moving.append(self._slate)
        self._slate, self._next = self._next, None

    def write(self) -> list[Append]:
        """At the end of the loop's turn: note what was taken, and show it. Returns what must go to
        the thread instead, before anything else."""
        turn, self._turn = self._turn, []
        notes, self._notes = self._notes, []
        slate = self._slate
        if turn:
            began = time.monotonic()
            if slate is None or not slate.write(notes):
                self._streams.clear()
                if slate is not None:
                    self._moving.append(slate)
                    self._slate = None
                if self._next is not None:
                    self._change()
                else:
                    self._want()
                for item in turn:
                    self.hold(item[0])
                return turn
            for id, epoch, at, records, _, _, size in turn:
                self._moving.append((id, epoch, at, records, size))
                self._shown += size
            self._commits.add(time.monotonic() - began)
            if slate.end > SLATE_BYTES:
                self._want()
        if self._next is not None:
            # While nothing is taken that was judged by what the one before allowed.
            self._change()
        if turn:
            self._show(turn)
        return []

    def moving(self) -> list[Moving | Slate]:
        """What the thread is to move, in order; a slate after all that stands on it."""
        moving, self._moving = self._moving, []
        return moving

    def close(self) -> list[Moving | Slate]:
        """Nothing more is shown ahead."""
        self._closed = True
        self._streams.clear()
        for slate in (self._slate, self._next):
            if slate is not None:
                self._moving.append(slate)
        self._slate = self._next = None
        return self.moving()
