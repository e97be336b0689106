"""The overview: what runs, waits and is read on this node, for whoever oversees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from fairlead.engine.authority import Authority
from fairlead.engine.generation import Generation
from fairlead.engine.metering import Metering
from fairlead.engine.readers import Readers
from fairlead.engine.turns import Turns
from fairlead.events.meta import decode_meta
from fairlead.policy.budgets import Budget
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb
from fairlead.ports.counters import Taken
from fairlead.ports.store import Lease, Store
from fairlead.ports.usage import Usage


class LiveStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that is written or read.

    ``state``: ``queued`` (at ``place``), ``writing``, ``elsewhere`` (by another ``node``, where it
    may wait as well), or ``read``: only read here. ``consumer``: whose it is. ``readers`` on this
    node, by their transports. ``age`` in seconds since it began, None for one that is only read;
    ``rate``: tokens a second, of late; ``tokens`` of its answer so far, both known of this node's.
    """

    stream: str
    state: Literal["queued", "writing", "elsewhere", "read"]
    readers: dict[str, int]
    node: str = ""
    consumer: str = ""
    model: str = ""
    provider: str = ""
    conversation: str = ""
    place: int = 0
    age: float | None = None
    tokens: int = 0
    rate: float = 0.0


Sort = Literal["order", "age", "rate", "tokens", "readers", "consumer", "model", "state"]

#: Streams of other nodes that one look finds.
_MOST_LEASES = 1000

#: What streams can be sorted by.
SORTS: tuple[Sort, ...] = (
    "order",
    "age",
    "rate",
    "tokens",
    "readers",
    "consumer",
    "model",
    "state",
)


def chosen(
    streams: Iterable[LiveStream],
    *,
    search: str = "",
    state: str = "",
    sort: Sort = "order",
    backwards: bool = False,
) -> list[LiveStream]:
    """Those of a ``state`` (empty: of any) that have ``search`` in their stream, consumer, model,
    provider or conversation, whatever its case; sorted: numbers the largest first, words as in a
    dictionary, ``order`` as they came, or all of it ``backwards``. Pure."""
    wanted = search.casefold()
    found = [
        each
        for each in streams
        if (not state or each.state == state)
        and any(wanted in text.casefold() for text in _words(each))
    ]
    if sort in ("consumer", "model", "state"):
        found.sort(key=lambda each: str(getattr(each, sort)).casefold(), reverse=backwards)
    elif sort == "readers":
        found.sort(key=lambda each: sum(each.readers.values()), reverse=not backwards)
    elif sort != "order":
        found.sort(key=lambda each: float(getattr(each, sort) or 0.0), reverse=not backwards)
    elif backwards:
        found.reverse()
    return found


def _words(each: LiveStream) -> tuple[str, ...]:
    return each.stream, each.consumer, each.model, each.provider, each.conversation


def _elsewhere(lease: Lease, readers: dict[str, int], now: float) -> LiveStream:
    meta = decode_meta(lease.meta)
    return LiveStream(
        stream=lease.spec.id,
        state="elsewhere",
        readers=readers,
        node=lease.writer,
        consumer=lease.spec.owner,
        model=meta.model,
        provider=meta.provider,
        conversation=meta.conversation,
        age=max(0.0, now - lease.created),
    )


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer holds on this node now."""

    writing: int = 0
    queued: int = 0
    readers: int = 0


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are on this node: answers ``writing`` and ``queued``, ``readers`` by
    transport."""

    writing: int
    queued: int
    readers: dict[str, int]


class Overview:
    """What is shown to those who may oversee. ``running`` are the generations of this node, by
    stream."""

    def __init__(
        self,
        authority: Authority,
        running: Mapping[str, Generation],
        readers: Readers,
        turns: Turns,
        metering: Metering,
        store: Store,
        node: str,
        clock: Callable[[], float],
    ) -> None:
        self._authority = authority
        self._running = running
        self._readers = readers
        self._turns = turns
        self._metering = metering
        self._store = store
        self._node = node
        self._clock = clock

    def allow(self, caller: Caller) -> None:
        """Raise :class:`~fairlead.errors.NotFound` unless the caller may oversee: to others it
        looks as if there were nothing to see."""
        self._authority.allow(caller, Verb.OVERSEE, None)

    def census(self) -> Census:
        """The counts alone: they are kept, and cost the same however many there are."""
        queued = self._turns.waiting
        return Census(
            writing=max(0, len(self._running) - queued),
            queued=queued,
            readers={name: n for name, n in self._readers.by_transport.items() if n},
        )

    def streams(self, caller: Caller) -> list[LiveStream]:
        """Every stream that is written or read here: the queue by place, then those that are
        written, the oldest first, then the rest."""
        self.allow(caller)
        now = self._clock()
        reading = {
            live.stream: (live, dict(Counter(each.wire.transport for each in live.readers)))
            for live in self._readers.streams()
        }
        found = [
            self._running_one(generation, reading.get(stream, (None, {}))[1], now)
            for stream, generation in self._running.items()
        ]
        found.sort(key=lambda each: (each.place or 1 << 30, -(each.age or 0.0)))
        for stream, (live, readers) in reading.items():
            if stream not in self._running:
                meta = live.meta
                found.append(
                    LiveStream(
                        stream=stream,
                        state="read",
                        readers=readers,
                        consumer=live.consumer,
                        model=meta.model,
                        provider=meta.provider,
                        conversation=meta.conversation,
                    )
                )
        return found

    async def everywhere(self, caller: Caller) -> tuple[list[LiveStream], tuple[str, ...]]:
        """As :meth:`streams`, and before those that are only read what other nodes of the store
        write (the 1000 newest); and the living nodes, this one first."""
        self.allow(caller)
        leases = await self._store.leases(_MOST_LEASES, self._node)
        now = self._clock()
        here = self.streams(caller)
        read = {each.stream: each.readers for each in here if each.state == "read"}
        others = [
            _elsewhere(lease, read.get(lease.spec.id, {}), now)
            for lease in leases.held
            if lease.spec.id not in self._running
        ]
        known = {each.stream for each in others}
        found = [each for each in here if each.state != "read"]
        found += sorted(others, key=lambda each: -(each.age or 0.0))
        found += [each for each in here if each.state == "read" and each.stream not in known]
        nodes = (self._node, *(owner for owner in leases.owners if owner != self._node))
        return found, nodes

    def _running_one(
        self, generation: Generation, readers: dict[str, int], now: float
    ) -> LiveStream:
        course = generation.course
        begun, place = course.begun, generation.turn.place
        return LiveStream(
            stream=begun.stream,
            state="queued" if place else "writing",
            readers=readers,
            consumer=begun.consumer,
            model=generation.answer.model or begun.model,
            provider=generation.answer.provider or begun.provider,
            conversation=begun.conversation,
            place=place,
            age=max(0.0, now - begun.at),
            tokens=generation.meter.output,
            rate=course.rate,
        )

    def loads(self, caller: Caller) -> dict[str, Load]:
        """What each consumer holds here now."""
        self.allow(caller)
        writing: Counter[str] = Counter()
        queued: Counter[str] = Counter()
        for generation in self._running.values():
            count = queued if generation.turn.place else writing
            count[generation.course.begun.consumer] += 1
        readers = self._readers.by_consumer
        return {
            name: Load(writing=writing[name], queued=queued[name], readers=readers[name])
            for name in sorted({*writing, *queued, *readers})
        }

    async def usage(
        self, caller: Caller, consumer: str | None, since: str, until: str
    ) -> list[Usage]:
        """What a consumer (None: each of all) used, day by day."""
        self.allow(caller)
        return await self._metering.usage(consumer, since, until)

    async def budgets(self, caller: Caller, limit: int) -> list[tuple[Budget, int, list[Taken]]]:
        """Each budget, when it refills (seconds since 1970, UTC), and what is taken of it in this
        window by those who took most, ``limit`` at most. What running answers hold is taken."""
        self.allow(caller)
        return await self._metering.everybody(limit)
