"""The course of a generation: its times and its pace, and who is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from fairlead.events.answer import Answer
from fairlead.ports.observer import Begun, Ended, Observer

#: Seconds from which on a wait for one's turn is worth telling; less is no queue.
_QUEUED = 0.05

_log = structlog.get_logger("fairlead.engine")

#: Seconds between two looks at the pace of what runs.
PERIOD = 1.0
#: A rate over less than this says nothing, in seconds.
_LEAST = 0.05


class Tokens(Protocol):
    """Who counts the tokens of an answer."""

    @property
    def output(self) -> int:
        """Those written so far."""
        ...

    def total(self) -> tuple[int, int, int]:
        """Tokens of the prompt and of the answer, and those of the prompt that were cached."""
        ...

    @property
    def estimated(self) -> bool:
        """Whether they were counted here."""
        ...


class Course:
    """One generation's. The token path does nothing for it but tell the first token: the rest is
    read off the count of tokens, now and then.

    ``clock`` is in seconds since 1970 (UTC). ``headers``: what the request to the model's server is
    to carry.
    """

    __slots__ = (
        "_before",
        "_clock",
        "_last",
        "_observers",
        "_tokens",
        "_told",
        "begun",
        "first_at",
        "headers",
        "turn_at",
    )

    def __init__(
        self,
        begun: Begun,
        tokens: Tokens,
        observers: Sequence[Observer],
        clock: Callable[[], float],
    ) -> None:
        self.begun = begun
        self.turn_at: float | None = None
        self.first_at: float | None = None
        self._tokens = tokens
        self._observers = observers
        self._clock = clock
        #: Where it stood at the last look, and at the one before.
        self._last = self._before = (begun.at, 0)
        #: Up to where the observers know its pace.
        self._told = self._last
        headers: dict[str, str] = {}
        for observer in observers:
            headers.update(observer.begun(begun))
        self.headers: Mapping[str, str] = headers

    def turn(self) -> None:
        """Its turn has come."""
        self.turn_at = self._clock()

    def first(self) -> None:
        """The first token is written. What follows is its pace."""
        now = self.first_at = self._clock()
        self._last = self._before = self._told = (now, self._tokens.output)

    def look(self) -> None:
        """Take its pace since the last look."""
        if self.first_at is None:
            return
        (then, had), now, has = self._told, self._clock(), self._tokens.output
        if has > had and now > then:
            # A pause counts with the token that ends it.
            self._told = (now, has)
            for observer in self._observers:
                observer.paced(self.begun, (now - then) / (has - had))
        self._before, self._last = self._last, (now, has)

    @property
    def rate(self) -> float:
        """Tokens a second, of late."""
        then, had = self._before
        seconds = self._clock() - then
        if self.first_at is None or seconds < _LEAST:
            return 0.0
        return (self._tokens.output - had) / seconds

    def end(self, answer: Answer, failure: str = "") -> None:
        """It is over, with this answer. ``failure`` is the code of what kept its end from being
        written; empty: nothing did."""
        self.look()
        begun, error = self.begun, answer.error
        input_tokens, output_tokens, cached_tokens = self._tokens.total()
        ended = Ended(
            begun=begun,
            provider=answer.provider or begun.provider,
            model=answer.model or begun.model,
            status="interrupted" if answer.status == "running" else answer.status,
            code=error.code if error is not None else failure,
            reason=answer.done.reason if answer.done is not None else "",
            budget=error.budget if error is not None else "",
            turn_at=self.turn_at,
            first_at=self.first_at,
            at=self._clock(),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            estimated=self._tokens.estimated,
        )
        _write_down(ended)
        for observer in self._observers:
            observer.ended(ended)


class Pulse:
    """Looks at the pace of all that runs, once a second."""

    def __init__(self, running: Callable[[], Iterable[Course]]) -> None:
        self._running = running
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin."""
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._beat)

    def close(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self.open()
        for course in self._running():
            course.look()


def _write_down(ended: Ended) -> None:
    """The one line of the log for a generation."""
    begun = ended.begun
    told: dict[str, str | int | float | bool] = {
        "stream": begun.stream,
        "consumer": begun.consumer,
        "model": begun.model,
        "provider": ended.provider,
        "status": ended.status,
        "input_tokens": ended.input_tokens,
        "output_tokens": ended.output_tokens,
        "seconds": round(ended.at - begun.at, 3),
    }
    if ended.first_at is not None:
        told["first_token"] = round(ended.first_at - begun.at, 3)
    if ended.turn_at is not None and ended.turn_at - begun.at >= _QUEUED:
        told["queued"] = round(ended.turn_at - begun.at, 3)
    for name in ("code", "reason", "budget"):
        if text := getattr(ended, name):
            told[name] = text
    log = _log.info if ended.status in ("completed", "stopped") else _log.warning
    log("generation_ended", **told)
