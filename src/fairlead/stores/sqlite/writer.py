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

from fairlead.errors import FairleadError
from fairlead.journal.position import Epoch
from fairlead.ports.store import AppendOutcome, Commits
from fairlead.stores.common import store_closed
from fairlead.stores.sqlite.checkpoint import Checkpointer
from fairlead.stores.sqlite.connection import explain
from fairlead.stores.sqlite.following import Follower
from fairlead.stores.sqlite.journal import Journal
from fairlead.stores.sqlite.news import News
from fairlead.stores.sqlite.worker import Settled, hand_over, settle

T = TypeVar("T")
Tell = Callable[[AppendOutcome | Exception], None]
Told = list[tuple[Tell, AppendOutcome | Exception]]
Append = tuple[str, Epoch, int, Sequence[bytes], bool, Tell, int]
Command = tuple[Callable[[Journal], Any], "asyncio.Future[Any]"]
Item = Append | Command | None

#: How often to look for other processes' commits, in seconds: while they come, and at rest.
POLL = 0.002
POLL_AT_REST = 0.02
#: How long they may stay away before the poll slows down.
ATTENTION = 1.0
#: A commit takes in no more than this many bytes; the rest is the next commit.
COMMIT_BYTES = 32 * 1024 * 1024
#: How long to wait after upkeep has failed (a full disk).
RETRY = 1.0


class Writer:
    """Owns the writing connection. ``deliver`` is called on the loop, once per commit."""

    def __init__(
        self,
        path: Path,
        journal: Journal,
        follower: Follower,
        checkpointer: Checkpointer,
        commits: Commits,
        deliver: Callable[[Settled, Told, News], None],
    ) -> None:
        self._path = path
        self._journal = journal
        self._follower = follower
        self._checkpointer = checkpointer
        self._commits = commits
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        #: Handed to the thread at the end of the loop's turn, all at once: waking it for each
        #: would cost more than what it then does.
        self._gathered: list[Item] = []
        self._queue: SimpleQueue[list[Item]] = SimpleQueue()
        self._open = True
        self._following = False
        self._followed = -1
        self._attentive_until = 0.0
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="fairlead-writer", daemon=True)
        self._thread.start()

    # -- called on the loop's thread

    def append(self, item: Append) -> None:
        """Queue an append."""
        if self._open:
            self._gather(item)
        else:
            self._loop.call_soon(item[5], store_closed())

    def run(self, call: Callable[[Journal], T]) -> asyncio.Future[T]:
        """The outcome of ``call``, made within the next commit, known when that is durable."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._open:
            self._gather((call, future))
        else:
            future.set_exception(store_closed())
        return future

    def follow(self, wanted: bool) -> None:
        """Whether anybody here wants to know what other processes commit."""
        if wanted != self._following and self._open:
            self._following = wanted
            if wanted:
                # The thread may be waiting without a limit.
                self._gather((_nothing, self._loop.create_future()))

    def _gather(self, item: Item) -> None:
        if not self._gathered:
            self._loop.call_soon(self._hand_in)
        self._gathered.append(item)

    def _hand_in(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._queue.put(gathered)

    async def close(self) -> None:
        """Commit what was accepted, fold, end the thread."""
        if self._open:
            self._open = False
            self._gathered.append(None)
            self._hand_in()
        await self._loop.run_in_executor(None, self._thread.join)

    # -- the thread

    def _run(self) -> None:
        try:
            ended = False
            while not ended:
                batch = self._take()
                if batch:
                    ended = batch[-1] is None
                    if ended:
                        batch.pop()
                if batch:
                    self._commit(batch)
                self._upkeep(committed=bool(batch))
        finally:
            # However the thread ends, nobody waits for it in vain.
            self._open = False
            hand_over(self._loop, self._refuse)
            self._finish()

    def _finish(self) -> None:
        self._checkpointer.close()
        try:
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
                if item is None:
                    continue
                if len(item) == 7:
                    item[5](store_closed())
                else:
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
        return min(due, default=None)

    def _commit(self, batch: list[Item]) -> None:
        journal = self._journal
        settled: Settled = []
        told: Told = []
        news = journal.news
        began = time.monotonic()
        try:
            journal.begin()
            for item in batch:
                assert item is not None
                if len(item) == 7:
                    id, epoch, at, records, close, tell, _ = item
                    try:
                        told.append((tell, journal.append(id, epoch, at, records, close)))
                    except FairleadError as error:
                        told.append((tell, error))
                else:
                    call, future = item
                    try:
                        settled.append((future, call(journal), None))
                    except (FairleadError, ValueError, OSError) as error:
                        settled.append((future, None, error))
            news = journal.commit()
            self._commits.add(time.monotonic() - began)
        except Exception as error:  # noqa: BLE001
            # Whatever it was, nothing of the batch is written, and each who waits is told.
            journal.abandon()
            news = News()
            settled = []
            told = []
            for item in batch:
                assert item is not None
                if len(item) == 7:
                    told.append((item[5], self._explain(error)))
                else:
                    settled.append((item[1], None, self._explain(error)))
        hand_over(self._loop, self._deliver, settled, told, news)

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
                        hand_over(self._loop, self._deliver, [], [], news)
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
    return sum(item[6] for item in items if item is not None and len(item) == 7)
