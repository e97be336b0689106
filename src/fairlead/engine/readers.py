"""The readers of this node: attached, counted, shown to the other nodes, detached."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from fairlead.engine.answers import add_up
from fairlead.engine.reader import READ_BYTES, Live, Reader
from fairlead.engine.wire import NumberedWire, W, Wire, WireFactory
from fairlead.errors import (
    BadPosition,
    Busy,
    FairleadError,
    HistoryGone,
    TooMany,
)
from fairlead.events.codec import decode
from fairlead.events.meta import decode_meta
from fairlead.events.model import Reset
from fairlead.journal.log import Gone, Head, Lost, locate, position
from fairlead.journal.position import Position
from fairlead.policy.caller import Caller
from fairlead.ports.store import Store, StreamInfo

#: How long this node's readers count on other nodes' streams after its last word, in seconds.
PRESENCE = 30.0


class Readers:
    """The readers of this node.

    ``counted(stream, n)`` is called when a stream has ``n`` readers here, and says whether it is
    written here too: then nobody else need know of them.
    """

    def __init__(
        self,
        store: Store,
        node: str,
        limit: int,
        limit_each: int,
        clock: Callable[[], float],
        counted: Callable[[str, int], bool],
    ) -> None:
        self.open = 0
        #: How many readers each transport has here.
        self.by_transport: Counter[str] = Counter()
        self._store = store
        self._node = node
        self._limit = limit
        self._limit_each = limit_each
        self._each: Counter[str] = Counter()
        self._clock = clock
        self._counted = counted
        self._lives: dict[str, Live] = {}
        self._errands: set[asyncio.Task[None]] = set()

    def change(self, limit: int, limit_each: int) -> None:
        """Other caps from now on; nobody who reads is sent away."""
        self._limit = limit
        self._limit_each = limit_each

    def admit(self, consumer: str) -> None:
        """Take the room of one reader, which :meth:`leave` or :meth:`detach` gives back."""
        if self.open >= self._limit:
            raise Busy(f"{self._limit} connections are open, which is the cap", retry_after=5)
        if self._limit_each and self._each[consumer] >= self._limit_each:
            raise TooMany(
                f"{self._limit_each} of your connections read answers, which is the cap",
                retry_after=5,
            )
        self.open += 1
        self._each[consumer] += 1

    def leave(self, consumer: str) -> None:
        """Give back a room in which no reader was put."""
        self.open -= 1
        self._each[consumer] -= 1
        if not self._each[consumer]:
            del self._each[consumer]

    async def attach(
        self,
        caller: Caller,
        info: StreamInfo,
        after: Position | None,
        wire: WireFactory[W],
        shown: int = 0,
    ) -> Reader[W]:
        """Put a reader in the room taken before; see :meth:`Engine.attach`."""
        stream = info.spec.id
        meta = decode_meta(info.meta)
        place = locate(info.head, after)
        if isinstance(place, Lost):
            # What is at hand may be behind what a reader has been shown from the store itself.
            info = await self._store.info(stream)
            place = locate(info.head, after)
        made = wire(stream, meta)
        if isinstance(place, Lost) and (meta.relayed or made.remembers):
            # Another application's events have no whole that could replace them, and some dialects
            # no word for it.
            raise HistoryGone("the store has lost records that this reader was shown")
        if isinstance(place, Gone):
            raise HistoryGone(
                "the records after this position were removed by retention",
                first=str(position(info.head, place.first)),
            )
        head, prefix, state = info.head, b"", None
        if isinstance(place, Lost):
            answer, offset, head = await add_up(self._store, stream)
            reset = Reset(int(self._clock() * 1000), place.reason, answer.text)
            _, prefix = made.step(made.begin(0), reset, str(position(head, offset)).encode())
        else:
            offset = place.offset
            if place.step or shown:
                if not isinstance(made, NumberedWire):
                    raise BadPosition(
                        "this position stands inside a record, as another dialect showed it; "
                        "read on in that dialect, or from the start"
                    )
                state, offset, prefix = await self._between(
                    made, stream, head, offset, place.step, shown
                )
            elif made.remembers and offset:
                state = await self._folded(made, stream, offset)
        live = self._lives.get(stream)
        if live is None:
            live = self._lives[stream] = Live(self._store, info.spec, meta, head)
        elif head.tail >= live.head.tail:
            live.head = head
        reader = Reader(live, made, offset, caller, prefix=prefix, state=state)
        live.readers.add(reader)
        self.by_transport[made.transport] += 1
        if not self._counted(stream, len(live.readers)) and not head.closed:
            await self._store.present([stream], self._node, PRESENCE)
        return reader

    async def _folded(self, wire: Wire, stream: str, offset: int) -> Any:
        """The state of ``wire`` after the first ``offset`` records of a stream."""
        state, done = wire.begin(0), 0
        while done < offset:
            batch = await self._store.read(stream, done, READ_BYTES)
            if batch.offset != done or not batch.records:
                raise HistoryGone("the beginning of this answer was removed by retention")
            for record in batch.records[: offset - done]:
                state, _ = wire.step(state, decode(record), b"")
            done += len(batch.records)
        return state

    async def _between(
        self, wire: NumberedWire, stream: str, head: Head, offset: int, step: int, shown: int
    ) -> tuple[Any, int, bytes]:
        """The state of ``wire`` after all records of which something has been shown, how many these
        are, and what of the last one has not been: after ``step`` frames of the record at
        ``offset``, or, where that is 0, after the first ``shown`` frames of all."""
        state, done = wire.begin(0), 0
        while True:
            batch = await self._store.read(stream, done, READ_BYTES)
            if batch.offset != done:
                raise HistoryGone("the beginning of this answer was removed by retention")
            for record in batch.records:
                event, before = decode(record), wire.number(state)
                after, _ = wire.step(state, event, b"")
                made = wire.number(after) - before
                if done == offset and 0 < step < made:
                    break
                if not step and before + made >= shown:
                    step, offset = shown - before, done
                    break
                state, done = after, done + 1
                if step and done > offset:
                    raise BadPosition("this position was not shown in this dialect")
            else:
                if batch.records:
                    continue
                raise BadPosition(
                    "nothing has been shown under this number yet; go on after the last one that "
                    "you have, or leave it out to read from the start"
                )
            text = str(position(head, done + 1)).encode()
            state, prefix = wire.rest(state, event, text, step)
            return state, done + 1, prefix

    def detach(self, reader: Reader[Any], *, lingers: bool = False) -> None:
        """The reader has gone. Doing it twice is fine. One that ``lingers`` (a poller) stays shown
        to the other nodes until its presence expires."""
        live = reader.live
        if reader not in live.readers:
            return
        live.readers.discard(reader)
        self.by_transport[reader.wire.transport] -= 1
        self.leave(reader.admitted)
        written_here = self._counted(live.stream, len(live.readers))
        if not live.readers:
            self._lives.pop(live.stream, None)
            live.close()
            if not lingers and not written_here and not live.head.closed:
                self._errand(self._store.present([live.stream], self._node, 0))

    def end(self, stream: str, failure: FairleadError) -> None:
        """End all readers of a stream here."""
        live = self._lives.get(stream)
        if live is not None:
            for reader in tuple(live.readers):
                reader.end(failure)

    def all(self) -> list[Reader[Any]]:
        """The readers of all streams."""
        return [reader for live in self._lives.values() for reader in live.readers]

    def streams(self) -> list[Live]:
        """The streams that have readers."""
        return list(self._lives.values())

    @property
    def by_consumer(self) -> Counter[str]:
        """How many readers each consumer has here."""
        return self._each

    def of(self, stream: str) -> list[Reader[Any]]:
        """The readers of a stream."""
        live = self._lives.get(stream)
        return [] if live is None else list(live.readers)

    async def show(self) -> None:
        """Show the other nodes which of their streams have readers here."""
        streams = [
            id
            for id, live in self._lives.items()
            if not live.head.closed and not self._counted(id, len(live.readers))
        ]
        if streams:
            await self._store.present(streams, self._node, PRESENCE)

    async def close(self) -> None:
        """End all watches."""
        await asyncio.gather(*self._errands)
        for live in tuple(self._lives.values()):
            live.close()
        self._lives.clear()

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for; what it cannot do, time will (presence expires)."""

        async def run() -> None:
            with contextlib.suppress(FairleadError):
                await work

        task = asyncio.create_task(run())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
