"""The writer of one stream: events in, durable records out, one append under way at a time.

What arrives while an append is under way becomes the next append. So a fast provider costs one
append per commit, not one per token, and its memory is bounded by :attr:`Writer.full`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead.errors import FairleadError, StoreUnavailable, UpstreamProtocol
from fairlead.events.codec import encode
from fairlead.events.model import Event, Mark
from fairlead.events.states import Grammar, Phase
from fairlead.journal.position import Epoch
from fairlead.ports.store import Appended, AppendOutcome, Store

#: Bytes waiting for the store beyond which the provider is not read on.
MAX_PENDING = 64 * 1024
#: Tries of one append before the writer gives up, and the pause before the second (doubling).
_TRIES = 6
_PAUSE = 0.05
_ENDED = Phase.ENDED


class LostStream(FairleadError):
    """Another writer holds the stream now (or it is gone): this one must end without a word."""

    code = "interrupted"


class Writer:
    """Writes the events of one generation under one epoch.

    ``failed`` (set by its owner) is called once, when the writer can write no more; the reason is
    in ``failure``. What is written before the stream has been created waits for that.
    """

    __slots__ = (
        "_at",
        "_closing",
        "_epoch",
        "_flying",
        "_grammar",
        "_max_event_bytes",
        "_pending",
        "_size",
        "_store",
        "_tries",
        "_waiters",
        "failed",
        "failure",
        "stream",
    )

    def __init__(
        self,
        store: Store,
        stream: str,
        *,
        max_event_bytes: int,
        grammar: Grammar | None = None,
    ) -> None:
        """``grammar`` has followed the stream so far, if there is something in it already."""
        self.stream = stream
        self.failure: FairleadError | None = None
        self._store = store
        self._epoch: Epoch | None = None
        self._at = 0
        self._max_event_bytes = max_event_bytes
        self.failed: Callable[[], None] = _nothing
        self._grammar = grammar or Grammar()
        self._pending: list[bytes] = []
        self._size = 0
        #: What is under way to the store: at first the stream itself.
        self._flying = [b""]
        self._closing = False
        self._tries = 0
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def tail(self) -> int:
        """How many records are known to be durable."""
        return self._at

    @property
    def ended(self) -> bool:
        """Whether a terminal event has been written."""
        return self._grammar.phase is _ENDED

    @property
    def mark(self) -> Mark | None:
        """By what the work could be gone on with."""
        return self._grammar.mark

    @property
    def full(self) -> bool:
        """Whether the store is behind: wait for :meth:`room` before reading the provider on."""
        return self._size > MAX_PENDING

    def begin(self, epoch: Epoch, tail: int) -> None:
        """The stream is there, to be written under ``epoch`` from ``tail`` on."""
        self._epoch = epoch
        self._at = tail
        self._flown()

    def lose(self) -> None:
        """The stream has not come to be, or is not ours: nothing can be written."""
        self._fail(LostStream(f"the stream {self.stream} could not be created"))

    def follow(self, event: Event) -> None:
        """Take in an event that is in the log already (the first one, written at creation)."""
        self._grammar.step(event)

    def write(self, event: Event) -> None:
        """Write an event. Raises :class:`~fairlead.events.states.IllegalEvent` and writes nothing
        when it may not stand here, :class:`~fairlead.errors.UpstreamProtocol` when it is too large.
        A terminal event closes the stream."""
        record = encode(event)
        if len(record) > self._max_event_bytes:
            raise UpstreamProtocol(
                f"the provider sent an event of {len(record)} bytes; "
                f"at most {self._max_event_bytes} are taken"
            )
        grammar = self._grammar
        grammar.step(event)
        self._pending.append(record)
        self._size += len(record)
        if grammar.phase is _ENDED:
            self._closing = True
        if not self._flying:
            self._send()

    async def room(self) -> None:
        """Wait until the store has caught up. Raises the failure of the writer."""
        while self.full and self.failure is None:
            await self._wait()
        self._raise()

    async def durable(self) -> None:
        """Wait until everything written is durable. Raises the failure of the writer."""
        while (self._flying or self._pending) and self.failure is None:
            await self._wait()
        self._raise()

    def _raise(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _send(self) -> None:
        if self.failure is not None or self._epoch is None:
            return
        if not self._flying:
            self._flying, self._pending = self._pending, []
            self._size = 0
        # A repeated append closes only if it is the one that holds the terminal event.
        close = self._closing and not self._pending
        self._store.submit(self.stream, self._epoch, self._at, self._flying, close, self._outcome)

    def _outcome(self, outcome: AppendOutcome | Exception) -> None:
        if type(outcome) is not Appended:
            self._not_appended(outcome)
            return
        self._tries = 0
        self._at = outcome.tail
        self._flown()

    def _flown(self) -> None:
        self._flying = []
        if self._pending:
            self._send()
        if self._waiters:
            self._release()

    def _not_appended(self, outcome: AppendOutcome | Exception) -> None:
        if not isinstance(outcome, Exception):
            self._fail(LostStream(f"the stream {self.stream} has another writer: {outcome!r}"))
            return
        self._tries += 1
        if isinstance(outcome, StoreUnavailable) and self._tries < _TRIES:
            # The outcome is unknown; the append may be repeated as it was, and only so.
            loop = asyncio.get_running_loop()
            loop.call_later(_PAUSE * 2**self._tries, self._send)
            return
        known = isinstance(outcome, FairleadError)
        self._fail(outcome if known else StoreUnavailable(f"the store failed: {outcome!r}"))

    def _fail(self, error: BaseException) -> None:
        assert isinstance(error, FairleadError)
        self.failure = error
        self._flying = []
        self._pending = []
        self._size = 0
        self._release()
        self.failed()

    def _release(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _nothing() -> None:
    pass
