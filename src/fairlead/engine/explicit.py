"""An answer that a program writes itself, piece by piece, instead of a provider that is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import Self

from fairlead.engine.generation import Generation
from fairlead.errors import FairleadError, Interrupted
from fairlead.events import pieces
from fairlead.events.model import Event, Source
from fairlead.events.pieces import Pen, Piece
from fairlead.ports.provider import GenerationRequest

#: Events that the program may be ahead of the store by before it has to wait.
_AHEAD = 32
_OVER = "the answer has ended; nothing more can be written to it"


class Handed:
    """The provider of one answer whose events are handed in. ``over`` is true once it has ended,
    from whichever side."""

    context_tokens = 1 << 30  # it is asked nothing, so no dialogue is too long for it
    takes: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.over = False
        self.ended = _nothing
        self._given: asyncio.Queue[Event | Exception | asyncio.Future[None] | None]
        self._given = asyncio.Queue()
        self._taken = asyncio.Event()
        self._marks: set[asyncio.Future[None]] = set()

    async def hand(self, event: Event) -> None:
        """Hand in one event; waits while the store is behind."""
        self._given.put_nowait(event)
        await asyncio.sleep(
            0
        )  # however busily the program writes, what it wrote is stored and read
        while self._given.qsize() > _AHEAD and not self.over:
            self._taken.clear()
            await self._taken.wait()

    async def all_written(self) -> None:
        """Wait until what was handed in so far has been given to the writer, or it is over."""
        if not self.over:
            mark: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._marks.add(mark)
            self._given.put_nowait(mark)
            await mark

    def finish(self, error: Exception | None) -> None:
        """Nothing more comes."""
        self._given.put_nowait(error)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """What is handed in, until nothing more comes."""
        try:
            while (given := await self._given.get()) is not None:
                self._taken.set()
                if isinstance(given, asyncio.Future):
                    # It is asked for more only after the event before has been written.
                    self._pass(given)
                    continue
                if isinstance(given, Exception):
                    raise given
                yield given
        finally:
            self.end()

    def end(self) -> None:
        """The answer ends. Idempotent."""
        if not self.over:
            self.over = True
            self._taken.set()
            for mark in tuple(self._marks):
                self._pass(mark)
            self.ended()

    def _pass(self, mark: asyncio.Future[None]) -> None:
        self._marks.discard(mark)
        if not mark.done():
            mark.set_result(None)

    async def close(self) -> None:
        """There is nothing to free."""


class Output:
    """Where a program writes an answer. An asynchronous context manager: leaving it ends the answer
    as completed, an exception ends it as failed and goes on.

    When the answer is ended from elsewhere, the block is cancelled at its next ``await``. If
    somebody stopped it (or nobody watched it, or it was deleted) that is no error: the program goes
    on after the block, and ``status`` is ``stopped``. If it failed, the block raises why.

    ``id`` is the stream's id, ``conversation`` and ``message`` those of its dialogue.
    """

    def __init__(self, generation: Generation, source: Handed, pen: Pen) -> None:
        self.id = generation.stream
        self.conversation = generation.meta.conversation
        self.message = generation.meta.message
        self._generation = generation
        self._source = source
        self._pen = pen
        self._task: asyncio.Task[object] | None = None
        # A generation that is ended before its first step never asks its provider.
        self._over = asyncio.create_task(generation.wait())
        self._over.add_done_callback(lambda _: source.end())
        self._cancelling = 0
        self._cancelled = False

    @property
    def status(self) -> str:
        """``running``, ``completed``, ``stopped``, ``failed`` or ``interrupted``."""
        return self._generation.answer.status

    # -- writing

    async def write(self, *several: Piece) -> None:
        """Write text, pieces or events. Returns as soon as they are on their way; waits while the
        store is behind. Raises :class:`~fairlead.errors.Interrupted` if the answer has ended."""
        for piece in several:
            for event in self._pen.write(piece):
                if self._source.over:
                    raise Interrupted(_OVER)
                await self._source.hand(event)

    async def token(self, text: str) -> None:
        """The next piece of the answer's text."""
        await self.write(text)

    async def thinking(self, status: str, message: str = "") -> None:
        """What is being done, before or between pieces of text."""
        await self.write(pieces.thinking(status, message))

    async def reasoning(self, text: str) -> None:
        """The next piece of the reasoning."""
        await self.write(pieces.reasoning(text))

    async def progress(self, message: str = "", fraction: float | None = None) -> None:
        """How far a long task has come: ``fraction`` from 0 to 1."""
        await self.write(pieces.progress(message, fraction))

    async def sources(self, found: Iterable[Source]) -> None:
        """What the answer rests on, best first."""
        await self.write(pieces.sources(found))

    async def media(self, content_type: str, data: bytes = b"", *, address: str = "") -> None:
        """Binary output: its bytes, or the address where they are."""
        await self.write(pieces.media(content_type, data, address=address))

    # -- life

    async def stored(self) -> None:
        """Wait until everything written is durable, or the answer has ended. Raises why it cannot
        be stored."""
        await self._source.all_written()
        await self._generation.writer.durable()

    def interrupt(self, error: FairleadError) -> None:
        """End the answer by ``error``, at once. Idempotent."""
        self._generation.interrupt(error)

    async def wait(self) -> None:
        """Wait until the answer has ended."""
        await asyncio.wait([self._over])

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._source.ended = self._cancel
        if self._source.over:
            self._cancel()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        assert task is not None
        if self._cancelled:
            if error is None:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)  # the cancellation was still on its way
            outside = task.uncancel() > self._cancelling
        else:
            outside = error is not None
            await self.finish(error)
        await self._over
        if outside or not (error is None or isinstance(error, asyncio.CancelledError)):
            return False
        self._check()
        return True

    async def finish(self, error: BaseException | None = None) -> None:
        """End the answer, for a program that does not use the block: as completed, or by
        ``error``."""
        if error is None:
            with contextlib.suppress(Interrupted):
                for event in self._pen.end():
                    await self._source.hand(event)
            self._source.finish(None)
        elif isinstance(error, Exception):
            self._source.finish(error)
        else:
            self._source.finish(Interrupted("the program that wrote the answer was interrupted"))

    def _check(self) -> None:
        """Raise why the answer failed, if it did."""
        if self._generation.writer.failure is not None:
            raise self._generation.writer.failure
        failed = self._generation.answer.error
        if failed is not None:
            raise Interrupted(failed.error) if failed.retryable else FairleadError(failed.error)

    def _cancel(self) -> None:
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()


def _nothing() -> None:
    pass
