"""The sockets of this node that pass on what others say: to applications, and to upstreams that
hold a session. They are no streams: nothing of them is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol

import msgspec

from fairlead.engine.vigil import Holder
from fairlead.errors import NotFound
from fairlead.policy.caller import Caller
from fairlead.ports.observer import Observer
from fairlead.primitives import random_id

Kind = Literal["app", "realtime"]


class Passing(Holder, Protocol):
    """One of them."""

    @property
    def tokens(self) -> int:
        """What has been counted of it so far."""
        ...

    def stop(self) -> None:
        """Close it: somebody who oversees wants that. Idempotent."""
        ...


class LiveSocket(msgspec.Struct, frozen=True, kw_only=True):
    """A socket that is open: to the application ``name``, or (``realtime``) to an upstream that
    holds a session with the model ``name``. ``address`` is the client's, ``age`` in seconds."""

    socket: str
    kind: Kind
    name: str
    consumer: str
    address: str
    age: float
    tokens: int


class _Open(msgspec.Struct, frozen=True):
    kind: Kind
    name: str
    since: float
    passing: Passing


class Sockets:
    """Those that are open. ``holders`` are watched for their authority; ``observers`` are told
    where a budget ends one. ``clock``: seconds since 1970 (UTC); ``entropy`` gives so many random
    bytes."""

    def __init__(
        self,
        holders: set[Holder],
        observers: Sequence[Observer],
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        #: Of each kind and name how many there have been, and the tokens of those that have ended.
        self.opened: Counter[tuple[Kind, str]] = Counter()
        self._tokens: Counter[tuple[Kind, str]] = Counter()
        self._open: dict[str, _Open] = {}
        self._holders = holders
        self._observers = observers
        self._clock = clock
        self._entropy = entropy

    @contextmanager
    def held(self, passing: Passing, kind: Kind, name: str) -> Iterator[None]:
        """It is open for as long as this is."""
        id = random_id(self._entropy(16))
        self._open[id] = _Open(kind, name, self._clock(), passing)
        self.opened[kind, name] += 1
        self._holders.add(passing)
        try:
            yield
        finally:
            self._holders.discard(passing)
            del self._open[id]
            self._tokens[kind, name] += passing.tokens

    def exhausted(self, budget: str) -> None:
        """A budget has ended one."""
        for observer in self._observers:
            observer.exhausted(budget)

    def stop(self, socket: str) -> Caller:
        """Close one; whose it is. Raises :class:`~fairlead.errors.NotFound`."""
        found = self._open.get(socket)
        if found is None:
            raise NotFound("no such socket is open on this node")
        found.passing.stop()
        return found.passing.caller

    def all(self) -> list[LiveSocket]:
        """Those that are open, the oldest first."""
        now = self._clock()
        return [
            LiveSocket(
                socket=id,
                kind=each.kind,
                name=each.name,
                consumer=each.passing.caller.consumer,
                address=each.passing.caller.facts.address,
                age=round(max(0.0, now - each.since), 1),
                tokens=each.passing.tokens,
            )
            for id, each in self._open.items()
        ]

    def open(self) -> Counter[tuple[Kind, str]]:
        """How many are open, by kind and name."""
        return Counter((each.kind, each.name) for each in self._open.values())

    def tokens(self) -> Counter[tuple[Kind, str]]:
        """How many tokens have been counted, by kind and name, since the start."""
        found = self._tokens.copy()
        for each in self._open.values():
            found[each.kind, each.name] += each.passing.tokens
        return found
