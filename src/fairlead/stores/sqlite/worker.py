"""A thread with a connection of its own, for calls that must not block the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from fairlead.errors import FairleadError
from fairlead.stores.common import store_closed
from fairlead.stores.sqlite.connection import explain

T = TypeVar("T")
_Job = tuple[Callable[[apsw.Connection], Any], "asyncio.Future[Any]"]
Settled = list[tuple["asyncio.Future[Any]", Any, BaseException | None]]


class Worker:
    """Runs calls one after the other; what was asked for meanwhile is answered in one go."""

    def __init__(
        self,
        name: str,
        path: Path,
        connection: apsw.Connection,
        idle: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._connection = connection
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._open = True
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[apsw.Connection], T]) -> asyncio.Future[T]:
        """The outcome of ``call``, made on the thread with its connection."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._open:
            self._jobs.put((call, future))
        else:
            future.set_exception(store_closed())
        return future

    async def close(self) -> None:
        """Finish what was asked for, end the thread, close the connection."""
        if self._open:
            self._open = False
            self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=None if self._idle is None else 2.0)
            except Empty:
                if self._idle is not None:
                    self._idle()
                job = self._jobs.get()
            jobs = [job, *(self._jobs.get() for _ in range(self._jobs.qsize()))]
            settled: Settled = []
            for job in jobs:
                if job is not None and not job[1].cancelled():
                    settled.append(self._settle(*job))
            hand_over(self._loop, settle, settled)
            if None in jobs:
                break
        self._connection.close()

    def _settle(
        self, call: Callable[[apsw.Connection], Any], future: asyncio.Future[Any]
    ) -> tuple[asyncio.Future[Any], Any, BaseException | None]:
        try:
            return future, call(self._connection), None
        except apsw.Error as error:
            ours = explain(error, self._path)
            ours.__cause__ = error
            return future, None, ours
        except (FairleadError, ValueError, OSError) as error:
            return future, None, error


def hand_over(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *args: Any) -> None:
    """Have the loop make a call; if the loop has been closed, nobody waits for it any more."""
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def settle(settled: Settled) -> None:
    """Tell whoever still waits. On the loop's thread."""
    for future, result, error in settled:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
