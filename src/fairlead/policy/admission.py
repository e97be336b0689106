"""Admission: who may begin now, who waits and at which place, who is sent away.

There is room for so many at once, in all and of one consumer. Whoever finds none waits in a queue
of bounded length, which is fair: consumers take turns, in proportion to their weights (stride
scheduling, Waldspurger and Weihl 1995), and of one consumer's own who came first goes first.
A consumer with a hundred questions in the queue so keeps another one waiting for a single turn.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from typing import Literal

import msgspec

#: Consumers remembered that have neither anything running nor waiting.
_REMEMBERED = 10_000

#: ``enter``: begin now. ``wait``: there is a place in the queue. ``consumer``, ``server``: sent
#: away, because the consumer has filled its own part of the queue, or all have filled it.
Verdict = Literal["enter", "wait", "consumer", "server"]


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many may run and wait at once, in all and of one consumer. 0 for ``running_each`` and
    ``waiting_each``: as many as in all; for ``waiting``: nobody waits."""

    running: int = 200
    running_each: int = 0
    waiting: int = 100
    waiting_each: int = 20


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumer gets: with twice the ``weight`` twice as many turns; ``running`` at once
    (None: as everybody)."""

    weight: float = 1.0
    running: int | None = None


class _Consumer:
    __slots__ = ("running", "spent", "waiting")

    def __init__(self, spent: float) -> None:
        self.spent = spent
        """Turns taken, each divided by the weight: who has spent least is next."""
        self.running = 0
        self.waiting: deque[int] = deque()


class Admission:
    """The state of one node's admission. Tickets are numbers that the caller chooses, each used
    once."""

    def __init__(self, room: Room, shares: Mapping[str, Share] | None = None) -> None:
        self._room = room
        self._shares = dict(shares or {})
        self._consumers: dict[str, _Consumer] = {}
        self._running: dict[int, str] = {}
        self._waiting: dict[int, str] = {}
        #: What the last one to begin had spent: who comes anew begins there, and so neither goes
        #: before those who have been waiting nor pays for what was before its time.
        self._level = 0.0

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def ask(self, ticket: int, consumer: str) -> Verdict:
        """May this one of ``consumer`` begin?"""
        known = self._known(consumer)
        if not known.waiting and self._has_room(consumer, known):
            # Whoever waits while there is room does so for room of its own consumer.
            self._begin(ticket, consumer, known)
            return "enter"
        room = self._room
        if room.waiting_each and len(known.waiting) >= room.waiting_each:
            return "consumer"
        if len(self._waiting) >= room.waiting:
            # Where there is room, its own cap is what it would have waited for.
            return "consumer" if len(self._running) < room.running else "server"
        known.waiting.append(ticket)
        self._waiting[ticket] = consumer
        return "wait"

    def leave(self, ticket: int) -> list[int]:
        """This one has ended, or waits no longer. Whose turn it is now. Idempotent."""
        consumer = self._waiting.pop(ticket, None)
        if consumer is not None:
            self._consumers[consumer].waiting.remove(ticket)
            return []
        consumer = self._running.pop(ticket, None)
        if consumer is None:
            return []
        self._consumers[consumer].running -= 1
        return self._advance()

    def change(self, room: Room, shares: Mapping[str, Share]) -> list[int]:
        """Other limits from now on: who runs or waits stays. Whose turn it is now."""
        self._room = room
        self._shares = dict(shares)
        return self._advance()

    def places(self) -> dict[int, int]:
        """The places of those who wait, from 1, in the order in which their turns would come if
        each who runs ended in time."""
        heap = [(known.spent, name, 0) for name, known in self._consumers.items() if known.waiting]
        heapq.heapify(heap)
        found: dict[int, int] = {}
        while heap:
            spent, name, taken = heapq.heappop(heap)
            waiting = self._consumers[name].waiting
            found[waiting[taken]] = len(found) + 1
            if taken + 1 < len(waiting):
                heapq.heappush(heap, (spent + 1 / self._weight(name), name, taken + 1))
        return found

    def _advance(self) -> list[int]:
        begun: list[int] = []
        while self._waiting and len(self._running) < self._room.running:
            able = [
                (known.spent, name)
                for name, known in self._consumers.items()
                if known.waiting and known.running < self._cap(name)
            ]
            if not able:
                break
            _, name = min(able)
            known = self._consumers[name]
            ticket = known.waiting.popleft()
            del self._waiting[ticket]
            self._begin(ticket, name, known)
            begun.append(ticket)
        return begun

    def _begin(self, ticket: int, consumer: str, known: _Consumer) -> None:
        self._running[ticket] = consumer
        known.running += 1
        self._level = max(self._level, known.spent)
        known.spent += 1 / self._weight(consumer)

    def _known(self, consumer: str) -> _Consumer:
        known = self._consumers.get(consumer)
        if known is None:
            if len(self._consumers) >= _REMEMBERED:
                self._forget()
            known = self._consumers[consumer] = _Consumer(self._level)
        elif not known.waiting:
            known.spent = max(known.spent, self._level)
        return known

    def _forget(self) -> None:
        self._consumers = {
            name: known for name, known in self._consumers.items() if known.running or known.waiting
        }

    def _has_room(self, consumer: str, known: _Consumer) -> bool:
        return len(self._running) < self._room.running and known.running < self._cap(consumer)

    def _cap(self, consumer: str) -> int:
        share = self._shares.get(consumer)
        if share is not None and share.running is not None:
            return share.running
        return self._room.running_each or self._room.running

    def _weight(self, consumer: str) -> float:
        share = self._shares.get(consumer)
        return 1.0 if share is None else share.weight
