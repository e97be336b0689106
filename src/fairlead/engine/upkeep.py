"""Upkeep: what a node does every few seconds, whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from fairlead.engine.answers import add_up, settle
from fairlead.engine.readers import Readers
from fairlead.errors import FairleadError, Interrupted
from fairlead.events.codec import encode
from fairlead.events.meta import decode_meta
from fairlead.events.model import Error
from fairlead.journal.retention import Retention
from fairlead.ports.conversations import Conversations
from fairlead.ports.store import Acquired, Appended, Held, Store

_log = structlog.get_logger("fairlead.engine")

#: A node's leases live this long after its last sign of life, in seconds.
LEASE = 15.0
_RETENTION_EVERY = 60.0


class Upkeep:
    """Keeps the node's leases alive, closes what lost its writer, applies retention."""

    def __init__(
        self,
        store: Store,
        conversations: Conversations,
        readers: Readers,
        node: str,
        retention: Retention,
        message_chars: int,
        clock: Callable[[], float],
        resume: Callable[[str, Acquired], Awaitable[bool]],
    ) -> None:
        """``resume`` goes on with a stream that has lost its writer, and is the node's now, if that
        can be done."""
        self._store = store
        self._conversations = conversations
        self._readers = readers
        self._node = node
        self._retention = retention
        self._message_chars = message_chars
        self._clock = clock
        self._resume = resume
        #: What has lost its writer is left to those who go on.
        self.draining = False
        self._unfinished: dict[str, FairleadError] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Join the store as an owner, close what died before, begin."""
        await self._store.join(self._node, LEASE)
        await self.recover()
        self._task = asyncio.create_task(self._run(), name="engine upkeep")

    async def close(self) -> None:
        """End, and give up the node's leases. Idempotent."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        await self._store.leave(self._node)

    def left_open(self, stream: str, failure: FairleadError) -> None:
        """The stream's end could not be written: it is to be closed as soon as that is possible."""
        self._unfinished[stream] = failure

    async def recover(self) -> None:
        """Go on with the streams that have lost their writer, or close them, so that their readers
        learn it."""
        interrupted = Interrupted("the server ended in the middle of the answer")
        for stream in () if self.draining else await self._store.abandoned():
            self._unfinished.setdefault(stream, interrupted)
        for stream, error in tuple(self._unfinished.items()):
            await self._close(stream, error)
            del self._unfinished[stream]

    async def _close(self, stream: str, error: FairleadError) -> None:
        acquired = await self._store.acquire(stream, self._node)
        if isinstance(acquired, Held) or acquired.head.closed:
            return
        if not self.draining and await self._resume(stream, acquired):
            return
        now = int(self._clock() * 1000)
        end = Error(now, error.message, error.code, retryable=error.retryable)
        outcome = await self._store.append(
            stream, acquired.epoch, acquired.head.tail, [encode(end)], close=True
        )
        if isinstance(outcome, Appended):
            _log.warning("generation_interrupted", stream=stream, code=error.code)
            answer, _, _ = await add_up(self._store, stream, self._message_chars)
            meta = decode_meta((await self._store.info(stream)).meta)
            await settle(self._conversations, meta, answer)

    async def _run(self) -> None:
        last_retention = time.monotonic()
        while True:
            await asyncio.sleep(LEASE / 5)
            try:
                await self._store.join(self._node, LEASE)
                await self.recover()
                await self._readers.show()
                if time.monotonic() - last_retention > _RETENTION_EVERY:
                    last_retention = time.monotonic()
                    await self._store.expire(self._retention)
            except FairleadError as error:
                # The next round tries again; generations learn of a lost store by themselves.
                _log.error("upkeep_failed", code=error.code, error=error.message)
