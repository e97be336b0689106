"""Answers that are written from outside, request by request.

Each line is taken once, from one writer at a time; an answer whose writer is not heard of any more
is ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.engine.explicit import Output
from fairlead.errors import Conflict, Interrupted, NotFound, TooLarge
from fairlead.events.codec import encode
from fairlead.events.model import Terminal
from fairlead.events.pieces import Pen, Piece
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb, may

#: Seconds after the end within which the last request may be repeated by a writer that did not hear
#: of it.
_LINGER = 60.0


class Writing:
    """One answer on its way.

    ``writer`` is the number of the newest writer, which alone may write; ``lines`` counts what has
    been taken, and is where the next line belongs. ``lease``: seconds within which the writer has
    to be heard of.
    """

    def __init__(self, output: Output, owner: str, lease: float) -> None:
        self.output = output
        self.owner = owner
        self.lease = lease
        self.writer = 0
        self.lines = 0
        self.at_work = asyncio.Lock()
        self._due: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """The writer lives."""
        self.rest()
        if self.output.status == "running":
            self._due = asyncio.get_running_loop().call_later(self.lease, self._lapsed)

    def rest(self) -> None:
        """Expect nothing of the writer."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _lapsed(self) -> None:
        if self.at_work.locked():  # it waits for the store, not we for it
            self.heard()
            return
        self.output.interrupt(
            Interrupted(f"the program that writes this answer has been silent for {self.lease:g} s")
        )


class Outside:
    """The answers of this node that are written from outside.

    ``clock`` gives seconds since 1970 (UTC).
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._writings: dict[str, Writing] = {}
        #: Who begins with the same key at the same time does so one after another.
        self._keys: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._ends: set[asyncio.Task[None]] = set()

    async def begin(
        self, caller: Caller, ask: Ask, key: str, name: str, lease: float
    ) -> tuple[Writing, bool]:
        """Begin an answer, or go on with the one that the idempotency key began; and whether it is
        new. Either way the caller becomes its writer, and an earlier one may write no more.

        Raises what :meth:`Engine.write` raises, :class:`~fairlead.errors.Conflict` for an answer
        that was begun elsewhere.
        """
        lock = asyncio.Lock()
        if key:
            lock = self._keys.setdefault((caller.consumer, key), lock)
        async with lock:
            try:
                output = await self._engine.write(caller, ask, key, name)
            except Conflict as error:
                found = self._writings.get(str(error.details.get("stream", "")))
                if found is None:
                    raise
                created, writing = False, found
            else:
                created, writing = True, Writing(output, caller.consumer, lease)
                self._writings[output.id] = writing
                end = asyncio.create_task(self._end(writing))
                self._ends.add(end)
                end.add_done_callback(self._ends.discard)
        # What the earlier writer is just writing counts: the new one goes on after it.
        async with writing.at_work:
            writing.writer += 1
            writing.lease = lease
            writing.heard()
            return writing, created

    async def append(
        self, caller: Caller, stream: str, writer: int, at: int, pieces: Sequence[Piece]
    ) -> Writing:
        """Write ``pieces`` as the lines from ``at`` on, and return when they are durable. Without
        pieces: the writer lives. Lines taken before are passed over, so that a request whose answer
        was lost may be repeated as it was.

        Raises :class:`~fairlead.errors.Conflict` with ``reason`` in its details: ``fenced``,
        another writer has taken the answer over; ``gap``, lines before ``at`` are missing, from
        ``next`` on; ``ended``, as ``status`` says. :class:`~fairlead.errors.TooLarge` for an event
        beyond the limit. Then nothing is written.
        """
        writing = self._mine(caller, stream)
        async with writing.at_work:
            if writer != writing.writer:
                raise Conflict("another writer has taken this answer over", reason="fenced")
            if at > writing.lines:
                raise Conflict(
                    f"the next line is {writing.lines}, not {at}; repeat those between",
                    reason="gap",
                    next=writing.lines,
                )
            new = pieces[writing.lines - at :]
            self._check(new)
            await self._write(writing, new)
        writing.heard()
        return writing

    def _mine(self, caller: Caller, stream: str) -> Writing:
        writing = self._writings.get(stream)
        if (
            writing is None
            or writing.owner != caller.consumer
            or not may(caller, Verb.START, writing.owner, self._clock())
        ):
            raise NotFound(
                "no such answer is written here; it may have ended, or another process writes it"
            )
        return writing

    def _check(self, pieces: Sequence[Piece]) -> None:
        limit = self._engine.limits.event_bytes
        pen = Pen(lambda: 1 << 41)
        for piece in pieces:
            for event in pen.write(piece):
                if len(encode(event)) > limit:
                    raise TooLarge(f"an event has more than {limit} bytes, which is the limit")

    async def _write(self, writing: Writing, pieces: Sequence[Piece]) -> None:
        output = writing.output
        if pieces and output.status != "running":
            raise self._ended(writing)
        try:
            for piece in pieces:
                await output.write(piece)
                writing.lines += 1
            if pieces and isinstance(pieces[-1], Terminal):
                await output.finish()
                await output.wait()
                return
        except Interrupted:
            await output.wait()
            raise self._ended(writing) from None
        await output.stored()
        if pieces and output.status != "running":
            raise self._ended(writing)

    def _ended(self, writing: Writing) -> Conflict:
        status = writing.output.status
        return Conflict(f"the answer has ended: it is {status}", reason="ended", status=status)

    async def _end(self, writing: Writing) -> None:
        await writing.output.wait()
        writing.rest()
        loop = asyncio.get_running_loop()
        loop.call_later(_LINGER, self._writings.pop, writing.output.id, None)
