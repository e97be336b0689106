"""An alarm for code that blocks the event loop: it is interrupted, wherever it stands.

Coroutines can be cancelled only where they wait. Somebody else's code may do neither (an endless
loop, a blocking call), and everything would stand still with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Awaitable, Generator
from types import FrameType, TracebackType, coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that the event loop may be blocked by what is bounded.
LONGEST = 1.0


class Stuck(BaseException):
    """Raised within code that has blocked the loop for too long. Not an ``Exception``: that is what
    such code may catch."""


class _State:
    installed = False
    armed = False


def install() -> None:
    """From now on :class:`Bounded` bounds what runs on this thread, by SIGALRM. It must be the main
    one, of a system that has this signal; otherwise nothing is bounded."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGALRM, _ring)
    _State.installed = True


def _ring(number: int, frame: FrameType | None) -> None:
    if _State.armed:
        raise Stuck


class Bounded:
    """``with Bounded():`` raises :class:`Stuck` in what takes longer than :data:`LONGEST`. Not
    nested, and never around an ``await``."""

    __slots__ = ()

    def __enter__(self) -> None:
        if _State.installed and sys.platform != "win32":
            _State.armed = True
            # Again and again: what swallows it is interrupted once more.
            signal.setitimer(signal.ITIMER_REAL, LONGEST, LONGEST)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if _State.armed and sys.platform != "win32":
            _State.armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)


@coroutine
def stepwise(awaitable: Awaitable[T]) -> Generator[Any, Any, T]:
    """Await it, each step bounded: what a step is, between two waits, blocks the loop. What goes on
    although it was cancelled is left where it stands when it is cancelled again."""
    inner: Any = awaitable.__await__()
    error: BaseException | None = None
    value: Any = None
    bounded = Bounded()
    while True:
        try:
            with bounded:
                wanted = inner.send(value) if error is None else inner.throw(error)
        except StopIteration as end:
            found: T = end.value
            return found
        error = value = None
        try:
            value = yield wanted
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as thrown:
            task = asyncio.current_task()
            if task is not None and task.cancelling() > 1:
                # It has been told once before, and went on: it is not asked any more.
                with contextlib.suppress(BaseException), bounded:
                    inner.throw(GeneratorExit())
                raise
            # The inner one's to handle, a cancellation above all.
            error = thrown
