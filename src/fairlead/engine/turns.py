"""Turns: who writes now, and the queue of those who wait for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping

from fairlead.errors import Busy, TooMany
from fairlead.policy.admission import Admission, Room, Share

#: Seconds after which those who wait are told of their new places: each word is a record.
_TELL_AFTER = 0.25
#: How much the newest answer counts in the average by which a wait is estimated.
_NEWEST = 0.1
#: The ticket of those that stand in no line.
_BESIDE = -1
#: What is said of a wait at most, in seconds: longer estimates are worth nothing.
_LONGEST_WAIT = 60.0


class Turn:
    """One generation's turn. ``place``: 0 once it may begin, else where it stands in the queue.
    ``moved`` is called with each new place."""

    __slots__ = ("_begun", "_since", "_turns", "moved", "place", "ticket", "used")

    def __init__(self, turns: Turns, ticket: int) -> None:
        self._turns = turns
        self.ticket = ticket
        self.place = 0
        #: Whether a generation has it, which gives it back at its end.
        self.used = False
        self.moved: Callable[[int], None] = _nothing
        self._since = 0.0
        self._begun: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Until it may begin. Raises :class:`~fairlead.errors.Busy` when that takes too long."""
        if self._begun is None:
            return
        try:
            async with asyncio.timeout(self._turns.patience):
                await self._begun
        except TimeoutError:
            raise Busy(
                f"no room came free within {self._turns.patience:g} s",
                retry_after=self._turns.estimate(self.place),
            ) from None

    def leave(self) -> None:
        """The generation is over, or will not be. Idempotent."""
        self._turns.leave(self)


class Turns:
    """The turns of this node. ``patience``: seconds that one may wait."""

    def __init__(
        self,
        room: Room,
        shares: Mapping[str, Share] | None = None,
        *,
        patience: float = 60.0,
    ) -> None:
        self.patience = patience
        self._room = room
        self._admission = Admission(room, shares)
        self._turns: dict[int, Turn] = {}
        self._tickets = itertools.count()
        self._telling: asyncio.TimerHandle | None = None
        self._average = 5.0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._admission.waiting

    def take(self, consumer: str) -> Turn:
        """A turn, or a place in the queue, which :meth:`Turn.leave` gives back.

        Raises :class:`~fairlead.errors.TooMany` when the consumer has as many as it may,
        :class:`~fairlead.errors.Busy` when the queue is full.
        """
        ticket = next(self._tickets)
        turn = Turn(self, ticket)
        verdict = self._admission.ask(ticket, consumer)
        if verdict == "consumer":
            raise TooMany(
                "as many of your questions run and wait as may: let one end first",
                retry_after=self.estimate(1),
            )
        if verdict == "server":
            running = self._admission.running
            queue = f", and {self.waiting} questions wait" if self._room.waiting else ""
            raise Busy(
                f"{running} answers are being written, which is the cap{queue}",
                retry_after=self.estimate(self.waiting + 1),
            )
        self._turns[ticket] = turn
        loop = asyncio.get_running_loop()
        turn._since = loop.time()
        if verdict == "wait":
            turn._begun = loop.create_future()
            turn.place = self._admission.places()[ticket]
            # Whoever comes may stand before others.
            self._tell_soon()
        return turn

    def beside(self) -> Turn:
        """A turn that takes nobody's room."""
        return Turn(self, _BESIDE)

    def leave(self, turn: Turn) -> None:
        """Give a turn or a place back."""
        if self._turns.pop(turn.ticket, None) is None:
            return
        if turn.used and turn.place == 0:
            took = asyncio.get_running_loop().time() - turn._since
            self._average += _NEWEST * (took - self._average)
        self._begin(self._admission.leave(turn.ticket))

    def change(self, room: Room, shares: Mapping[str, Share], patience: float) -> None:
        """Other limits from now on; nobody who runs or waits is sent away."""
        self._room = room
        self.patience = patience
        self._begin(self._admission.change(room, shares))

    def estimate(self, place: int) -> float:
        """About how many seconds until a turn comes at this place: from how long answers take."""
        rounds = max(1, place) / max(1, self._room.running)
        return min(_LONGEST_WAIT, max(1.0, self._average * rounds))

    def _begin(self, tickets: list[int]) -> None:
        now = asyncio.get_running_loop().time()
        for ticket in tickets:
            turn = self._turns[ticket]
            turn.place = 0
            turn._since = now
            if turn._begun is not None and not turn._begun.done():
                turn._begun.set_result(None)
        if self._admission.waiting:
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(_TELL_AFTER, self._tell)

    def _tell(self) -> None:
        self._telling = None
        for ticket, place in self._admission.places().items():
            turn = self._turns[ticket]
            if turn.place != place:
                turn.place = place
                turn.moved(place)


def _nothing(place: int) -> None:
    pass
