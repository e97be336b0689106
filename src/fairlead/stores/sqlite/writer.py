"""The thread that writes: takes what is queued, commits it at once, hands the outcomes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from fairlead.errors import FairleadError, NotFound
from fairlead.journal.log import Gap
from fairlead.journal.position import Epoch
from fairlead.ports.store import Appended, AppendOutcome, Commits
from fairlead.stores.common import store_closed
from fairlead.stores.sqlite.ahead import Ahead, Append, Moving, Tell
from fairlead.stores.sqlite.checkpoint import Checkpointer
from fairlead.stores.sqlite.connection import explain
from fairlead.stores.sqlite.following import Follower
from fairlead.stores.sqlite.journal import Journal
from fairlead.stores.sqlite.news import News
from fairlead.stores.sqlite.slates import Slate
from fairlead.stores.sqlite.worker import Settled, hand_over, settle

T = TypeVar("T")
Told = list[tuple[Tell, AppendOutcome | Exception]]
#: What to call, for whom, and the stream it concerns (none, one, or all: see ``ahead``).
Command = tuple[Callable[[Journal], Any], "asyncio.Future[Any]", str | None]
Item = Append | Command | Moving | Slate | None

#: How often to look for other processes' commits, in seconds: while they come, and at rest.
POLL = 0.002
POLL_AT_REST = 0.02
#: How long they may stay away before the poll slows down.
ATTENTION = 1.0
#: A commit takes in no more than this many bytes; the rest is the next commit.
COMMIT_BYTES = 32 * 1024 * 1024
#: How long to wait after upkeep has failed (a full disk).
RETRY = 1.0
#: When what was shown ahead of the database is moved there at the latest, in seconds: while other
#: processes have the file open, whose readers wait for it, and while there are none.
MOVE_AFTER = 0.02
MOVE_AFTER_ALONE = 0.25


class Writer:
    """Owns the writing connection. ``deliver`` is called on the loop, once per commit."""

    def __init__(
        self,
        path: Path,
        journal: Journal,
        follower: Follower,
        checkpointer: Checkpointer,
        commits: Commits,
        deliver: Callable[[Settled, Told, News, list[str]], None],
        ahead: Ahead | None,
    ) -> None:
        self._path = path
        self._journal = journal
        self._follower = follower
        self._checkpointer = checkpointer
        self._commits = commits
        self._deliver = deliver
        self._ahead = ahead
        self._loop = asyncio.get_running_loop()
        #: Handed to the thread at the end of the loop's turn, all at once: waking it for each
        #: would cost more than what it then does.
        self._gathered: list[Item] = []
        self._turn_ends = False
        self._moves: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[list[Item]] = SimpleQueue()
        self._open = True
        self._following = False
        self._followed = -1
        self._attentive_until = 0.0
        self._retry_at = 0.0
        #: What was shown and could not be moved yet; and whether some of it cannot be moved at all.
        self._backlog: list[Item] = []
        self._stuck = False
        #: Whether no other process has the file open, as of the last commit.
        self._alone = False
        self._thread = threading.Thread(target=self._run, name="fairlead-writer", daemon=True)
        self._thread.start()

    # -- called on the loop's thread

    def append(self, item: Append) -> None:
        """Take in an append."""
        if not self._open:
            self._loop.call_soon(item[5], store_closed())
            return
        ahead = self._ahead
        if ahead is not None:
            if ahead.take(item):
                self._end_turn()
                return
            ahead.hold(item[0])
        self._gather(item)

    def run(self, call: Callable[[Journal], T], of: str | None = None) -> asyncio.Future[T]:
        """The outcome of ``call``, made within the next commit, known when that is durable. ``of``:
        the stream whose end or writer it may change."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._open:
            if of is not None and self._ahead is not None:
                self._ahead.hold(of)
            self._gather((call, future, of))
        else:
            future.set_exception(store_closed())
        return future

    def follow(self, wanted: bool) -> None:
        """Whether anybody here wants to know what other processes commit."""
        if wanted != self._following and self._open:
            self._following = wanted
            if wanted:
                # The thread may be waiting without a limit.
                self._gather((_nothing, self._loop.create_future(), None))

    def _gather(self, item: Item) -> None:
        self._end_turn()
        self._gathered.append(item)

    def _end_turn(self) -> None:
        if not self._turn_ends:
            self._turn_ends = True
            self._loop.call_soon(self._hand_in)

    def _hand_in(self) -> None:
        self._turn_ends = False
        ahead = self._ahead
        if ahead is None:
            if self._gathered:
                gathered, self._gathered = self._gathered, []
                self._queue.put(gathered)
            return
        gathered, self._gathered = [*ahead.write(), *self._gathered], []
        if gathered:
            self._move(gathered)
        elif self._moves is None and self._open:
            after = MOVE_AFTER_ALONE if self._alone else MOVE_AFTER
            self._moves = self._loop.call_later(after, self._move, [])

    def _move(self, gathered: list[Item]) -> None:
        """Hand in what was shown ahead, and what comes after it."""
        if self._moves is not None:
            self._moves.cancel()
            self._moves = None
        assert self._ahead is not None
        self._queue.put([*self._ahead.moving(), *gathered])

    async def close(self) -> None:
        """Commit what was accepted, fold, end the thread."""
        if self._open:
            self._open = False
            self._hand_in()
            rest: list[Item] = [] if self._ahead is None else [*self._ahead.close()]
            self._queue.put([*rest, None])
        await self._loop.run_in_executor(None, self._thread.join)

    # -- the thread

    def _run(self) -> None:
        ended = False
        try:
            while not ended:
                batch = self._take()
                if batch:
                    ended = batch[-1] is None
                    if ended:
                        batch.pop()
                if batch or (self._backlog and (ended or time.monotonic() >= self._retry_at)):
                    self._commit(batch)
                self._upkeep(committed=bool(batch))
        finally:
            # However the thread ends, nobody waits for it in vain.
            self._open = False
            hand_over(self._loop, self._refuse)
            self._finish(moved=ended and not self._backlog and not self._stuck)

    def _finish(self, *, moved: bool) -> None:
        self._checkpointer.close()
        try:
            # As long as slates hold what the file lacks, we are one of its writers, and whoever
            # opens it next moves that.
            if moved:
                self._journal.close()
        except (apsw.Error, FairleadError):
            # What could not be folded is in the ticks, and whoever opens the file next folds it.
            pass
        finally:
            self._journal.db.close()

    def _refuse(self) -> None:
        """On the loop's thread: tell those who asked too late."""
        self._hand_in()
        while not self._queue.empty():
            for item in self._queue.get():
                if item is None or isinstance(item, Slate):
                    continue
                if len(item) == 7:
                    item[5](store_closed())
                elif len(item) == 3:
                    settle([(item[1], None, store_closed())])

    def _take(self) -> list[Item]:
        """What is queued; waits for it until something else is due."""
        queue = self._queue
        try:
            timeout = self._patience()
            batch = (
                queue.get(timeout=timeout) if timeout is None or timeout > 0 else queue.get(False)
            )
        except Empty:
            return []
        size = _size(batch)
        for _ in range(queue.qsize()):
            if size > COMMIT_BYTES:
                break
            more = queue.get()
            batch += more
            size += _size(more)
        return batch

    def _patience(self) -> float | None:
        now = time.monotonic()
        due: list[float] = []
        if self._following:
            due.append(POLL if now < self._attentive_until else POLL_AT_REST)
        fold = self._journal.next_fold()
        if fold is not None:
            due.append(max(fold, self._retry_at) - now)
        if self._backlog:
            due.append(self._retry_at - now)
        return min(due, default=None)

    def _commit(self, batch: list[Item]) -> None:
        journal = self._journal
        settled: Settled = []
        told: Told = []
        done: list[str] = []
        slates: list[Slate] = []
        lost: set[tuple[str, Epoch]] = set()
        news = journal.news
        moved = 0
        began = time.monotonic()
        if self._backlog:
            batch = self._backlog + batch
        try:
            journal.begin()
            for item in batch:
                if isinstance(item, Slate):
                    slates.append(item)
                    continue
                assert item is not None
                if len(item) == 7:
                    id, epoch, at, records, close, tell, _ = item
                    done.append(id)
                    try:
                        told.append((tell, journal.append(id, epoch, at, records, close)))
                    except FairleadError as error:
                        told.append((tell, error))
                elif len(item) == 5:
                    moved += item[4]
                    if item[:2] not in lost and not self._move_on(*item):
                        lost.add(item[:2])
                else:
                    call, future, of = item
                    if of is not None:
                        done.append(of)
                    try:
                        settled.append((future, call(journal), None))
                    except (FairleadError, ValueError, OSError) as error:
                        settled.append((future, None, error))
            if self._ahead is not None:
                self._alone = not journal.others()
            news = journal.commit()
            self._backlog = []
            if told or settled:
                self._commits.add(time.monotonic() - began)
        except Exception as error:  # noqa: BLE001
            # Whatever it was, nothing of the batch is written, and each who waits is told. What was
            # shown already stands on a slate, and is tried again.
            journal.abandon()
            news = News()
            settled = []
            told = []
            done = []
            moved = 0
            slates = []
            self._backlog = []
            self._retry_at = time.monotonic() + RETRY
            for item in batch:
                assert item is not None
                if isinstance(item, Slate) or len(item) == 5:
                    self._backlog.append(item)
                elif len(item) == 7:
                    done.append(item[0])
                    told.append((item[5], self._explain(error)))
                else:
                    if item[2] is not None:
                        done.append(item[2])
                    settled.append((item[1], None, self._explain(error)))
        if self._ahead is not None:
            self._ahead.moved += moved
        for slate in slates:
            if self._stuck:
                slate.close()
            else:
                slate.remove()
        if settled or told or news or done:
            hand_over(self._loop, self._deliver, settled, told, news, done)

    def _move_on(
        self, id: str, epoch: Epoch, at: int, records: Sequence[bytes], _size: int
    ) -> bool:
        """Move what was shown already; whether the stream is still ours."""
        try:
            outcome = self._journal.append(id, epoch, at, records, False, shown=True)
        except NotFound:
            return False
        except FairleadError:
            # The file is damaged. The records stay on their slate, where the next to open the file
            # finds them, and says so.
            self._stuck = True
            return False
        if isinstance(outcome, Gap):
            self._stuck = True
        # Fenced or closed: whoever did that has taken over what was shown until then.
        return isinstance(outcome, Appended)

    def _explain(self, error: Exception) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        ours = explain(error, self._path)
        ours.__cause__ = error
        return ours

    def _upkeep(self, *, committed: bool) -> None:
        """Between commits: look for others' commits, fold what is due."""
        journal = self._journal
        now = time.monotonic()
        try:
            if self._checkpointer.due():
                self._checkpointer.finish()
            if self._following:
                # A transaction has just asked; otherwise nobody has for a while.
                version = journal.known_version if committed else journal.version()
                if version != self._followed:
                    self._attentive_until = now + ATTENTION
                    news = self._follower.follow()
                    self._followed = version
                    journal.retell(news)
                    if news:
                        hand_over(self._loop, self._deliver, [], [], news, [])
            due = journal.next_fold()
            if due is not None and max(due, self._retry_at) <= now:
                journal.fold()
        except (apsw.Error, FairleadError):
            # Nothing is lost by waiting: records stay in the ticks, and the next look sees what
            # this one did not. Whoever appends meanwhile is told what is wrong.
            self._retry_at = now + RETRY


def _nothing(_: Journal) -> None:
    """A command that only wakes the thread."""


def _size(items: list[Item]) -> int:
    return sum(item[-1] for item in items if isinstance(item, tuple) and len(item) != 3)
