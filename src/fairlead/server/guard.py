"""The guard of a plugin: whatever it does, only the call that needed it fails, under its name."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import structlog

from fairlead.errors import FairleadError, PluginFailed
from fairlead.server.alarm import Bounded, Stuck, stepwise

_log = structlog.get_logger("fairlead.server")

T = TypeVar("T")

#: Calls that go on although nobody waits for them any more.
_left: set[asyncio.Task[Any]] = set()


def is_text(value: object, most: int | None = None) -> bool:
    """Whether it is a text, of ``most`` characters at most: what a plugin gives may be anything."""
    return isinstance(value, str) and (most is None or len(value) <= most)


def is_number(value: object) -> bool:
    """Whether it is a number that there is."""
    return isinstance(value, int | float) and math.isfinite(value)


class Guard:
    """Calls a plugin. ``seconds``: how long one call may take.

    Every way raises :class:`~fairlead.errors.PluginFailed` for what goes wrong, and lets errors of
    the classes ``allowed`` through, by which a plugin says what it means to say.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds

    def run(
        self, function: Callable[..., T], *args: Any, allowed: tuple[type[Exception], ...] = ()
    ) -> T:
        """Call what does not wait."""
        try:
            with Bounded():
                return function(*args)
        except allowed:
            raise
        except BaseException as error:  # noqa: BLE001
            # Even SystemExit: a plugin does not end the server.
            raise self.failed(error) from None

    async def call(
        self, function: Callable[..., Any], *args: Any, allowed: tuple[type[Exception], ...] = ()
    ) -> Any:
        """Call what may wait. It has a task of its own, which is left behind if it cannot even be
        cancelled."""
        task = asyncio.create_task(_outcome(function, args), name=f"plugin {self.name}")
        _left.add(task)
        task.add_done_callback(_left.discard)
        try:
            await asyncio.wait((task,), timeout=self.seconds)
        finally:
            task.cancel()
        if not task.done():
            raise self.late()
        if task.cancelled():
            raise self.failed(asyncio.CancelledError())
        value, error = task.result()
        if error is None:
            return value
        if isinstance(error, allowed):
            raise error
        raise self.failed(error)

    async def pieces(self, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """What an asynchronous generator yields, one by one in time, in the task of whoever asks:
        it may hold what belongs to a task over a ``yield``."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self.seconds) as due:
                        piece = await stepwise(anext(pieces))
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError as error:
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():
                        raise
                    raise self.failed(error) from None
                except TimeoutError as error:
                    raise (self.late() if due.expired() else self.failed(error)) from None
                except BaseException as error:  # noqa: BLE001
                    raise self.failed(error) from None
                yield piece
        finally:
            await self._close(pieces)

    async def _close(self, pieces: AsyncGenerator[Any, None]) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await stepwise(pieces.aclose())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001
            # The answer has ended, whatever its generator does now.
            self.failed(error)

    def failed(self, error: BaseException | str) -> FairleadError:
        """The error that its failure is; the log has the rest. ``error``: what it raised, or what
        is wrong with what it gave."""
        if isinstance(error, Stuck):
            return self.late(error)
        if isinstance(error, str):
            _log.error("plugin_failed", plugin=self.name, error=error)
        else:
            _log.error("plugin_failed", plugin=self.name, exc_info=error)
        return PluginFailed(
            f"the plugin {self.name!r} of this server failed; its log says why", plugin=self.name
        )

    def late(self, error: Stuck | None = None) -> FairleadError:
        """The error that it is to take too long; ``error``: it blocked the loop."""
        if error is None:
            _log.error("plugin_failed", plugin=self.name, error=f"no answer in {self.seconds:g} s")
        else:
            # Where it stood.
            _log.error("plugin_failed", plugin=self.name, exc_info=error)
        return PluginFailed(
            f"the plugin {self.name!r} of this server took too long", plugin=self.name
        )


async def _outcome(
    function: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Any, BaseException | None]:
    """What it gives, or what it raises. A task that raises SystemExit would end the loop."""
    try:
        with Bounded():
            made = function(*args)
        if inspect.isawaitable(made):
            waited: Awaitable[Any] = made
            made = await stepwise(waited)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None, error
    except BaseException as error:  # noqa: BLE001
        return None, error
    return made, None
