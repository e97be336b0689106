"""Several upstreams as one provider: picks, fails over before the first piece, falls back.

Once an upstream has begun to answer, it writes to whoever asked by itself: nothing stands between.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

import msgspec
import structlog

from fairlead.errors import (
    Busy,
    FairleadError,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from fairlead.events.model import Event, Mark, Thinking
from fairlead.policy.attachments import takes
from fairlead.policy.balance import Candidate, Obstacle, Strategy, preferred
from fairlead.policy.tokens import is_dense
from fairlead.ports.health import UpstreamHealth
from fairlead.ports.passing import Passed, Passing
from fairlead.ports.pouring import Sink, pour
from fairlead.ports.provider import GenerationRequest, Provider, bounds, speaks
from fairlead.ports.resuming import Resuming, told
from fairlead.providers.gate import Gate, Visit, counts
from fairlead.providers.poured import poured

_log = structlog.get_logger("fairlead.providers")

#: What people are told.
_WORDS = {"queued": ("Waiting for room…", "正在排队…"), "writing": ("Writing…", "正在回答…")}


class Upstreams:
    """All gates of this server, and those who wait before them, first come first served.
    Implements :class:`~fairlead.ports.health.Health`."""

    def __init__(self, gates: Iterable[Gate], before: Upstreams | None = None) -> None:
        """``before``: those in whose place they come, whose waiters go on waiting here."""
        self.gates = tuple(gates)
        self._waiters: list[asyncio.Future[None]] = [] if before is None else before._waiters
        for gate in self.gates:
            gate.room = self._room

    def snapshot(self) -> tuple[UpstreamHealth, ...]:
        return tuple(gate.health() for gate in self.gates)

    async def wait(self, seconds: float) -> None:
        """Wait until a gate may have room, for so many seconds at most."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)

    def _room(self) -> None:
        # All of them, in the order in which they came: each takes what it finds.
        waiters = tuple(self._waiters)
        self._waiters.clear()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Choice(msgspec.Struct, frozen=True):
    """A model and the gates that lead to it. ``upstream_name``: the model's name there."""

    model: str
    gates: tuple[Gate, ...]
    strategy: Strategy = "weighted"


class BalancedProvider:
    """Answers with the first of its ``choices`` (the model asked for, then those to fall back on)
    that has an upstream which answers. Implements :class:`~fairlead.ports.provider.Provider`.

    Each upstream is asked once per question; the last one that is left is tried as often as it is
    configured to be. What needs an upstream with room waits for it, ``max_wait`` seconds of the
    most patient of them at most. ``entropy`` gives so many random bytes; ``now_ms`` the time of
    events, ms since 1970; ``clock`` never goes back.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        choices: Sequence[Choice],
        *,
        entropy: Callable[[int], bytes],
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.choices = tuple(choices)
        providers = [gate.provider for choice in choices for gate in choice.gates]
        self.name = " | ".join(dict.fromkeys(provider.name for provider in providers))
        # Whoever answers in the end can take what the question is made of.
        self.context_tokens = min(provider.context_tokens for provider in providers)
        self.takes = _taken_by_all(providers)
        self.speaks = _spoken_by_all(providers)
        self.bounds = any(map(bounds, providers))
        self._upstreams = upstreams
        self._entropy = entropy
        self._now_ms = now_ms
        self._clock = clock
        #: With one upstream alone there is nothing to tell that the answer's metadata does not.
        self._tells = len(providers) > 1

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """What :meth:`pour` writes, one after the other."""
        return poured(self, request)

    async def pour(self, request: GenerationRequest, sink: Sink) -> None:
        """Write the events of the answer; see :class:`~fairlead.ports.pouring.Pouring`. Where there
        was a choice, a ``thinking`` event says who answers, before the first piece.

        Raises what the last upstream raised; :class:`~fairlead.errors.Busy` when none had room in
        time, :class:`~fairlead.errors.UpstreamUnavailable` when all of them rest after failures.
        """
        failure: FairleadError | None = None
        for choice in self.choices:
            key = self._key(choice, request)
            deadline = self._clock() + max(gate.max_wait for gate in choice.gates)
            untried = list(choice.gates)
            queued = False
            while untried:
                gate = self._first(choice, untried, key, queued)
                if gate is None:
                    wait = self._worth_waiting(untried, deadline)
                    if wait is None:
                        break
                    if not queued:
                        queued = True
                        if not sink.write((self._thinking("queued", request),)):
                            await sink.room()
                    await self._wait(untried, wait)
                    continue
                untried.remove(gate)
                once = self._others(choice, untried)
                asked = msgspec.structs.replace(request, model=choice.model, once=once)
                told: tuple[Event, ...] = ()
                if self._tells:
                    told = (self._thinking("writing", request, gate.name, choice.model),)
                visit = gate.enter()
                mouth = _Mouth(sink, visit, told)
                try:
                    await pour(gate.provider, asked, mouth)
                    visit.leave(True)
                    return
                except FairleadError as error:
                    if mouth.open:
                        visit.leave(error if isinstance(error, UpstreamError) else None)
                        raise
                    visit.leave(error)
                    if not counts(error):
                        raise
                    failure = error
                    if mouth.marked is not None:
                        await self.forsake(mouth.marked)
                        if not sink.write((Mark(self._now_ms()),)):
                            await sink.room()
                    _log.warning(
                        "upstream_failed", stream=request.stream, upstream=gate.name,
                        model=choice.model, code=error.code, error=error.message,
                    )  # fmt: skip
                finally:
                    visit.leave(None)
                    mouth.close()
        raise failure or self._nobody()

    def resumes(self, mark: Mark) -> bool:
        """See :class:`~fairlead.ports.resuming.Resuming`."""
        return self._marked(mark) is not None

    def told(self, mark: Mark) -> int:
        """See :func:`~fairlead.ports.resuming.told`."""
        found = self._marked(mark)
        return 0 if found is None else told(found[1], mark)

    async def resume(
        self, request: GenerationRequest, mark: Mark, seen: Sequence[Event], sink: Sink
    ) -> None:
        """See :class:`~fairlead.ports.resuming.Resuming`. Whoever has begun the answer goes on with
        it, whatever stands against asking it something new."""
        found = self._marked(mark)
        if found is None:
            raise UpstreamUnavailable(f"there is no upstream {mark.upstream!r} any more")
        gate, provider = found
        visit = gate.enter()
        try:
            await provider.resume(request, mark, seen, sink)
            visit.leave(True)
        except UpstreamError as error:
            visit.leave(error)
            raise
        finally:
            visit.leave(None)

    async def forsake(self, mark: Mark) -> None:
        """See :class:`~fairlead.ports.resuming.Resuming`."""
        found = self._marked(mark)
        if found is not None:
            await found[1].forsake(mark)

    def _marked(self, mark: Mark) -> tuple[Gate, Resuming] | None:
        """Who has set the mark, if it is one of these."""
        for choice in self.choices:
            for gate in choice.gates:
                provider = gate.provider
                if isinstance(provider, Resuming) and provider.resumes(mark):
                    return gate, provider
        return None

    def at(self, upstream: str) -> BalancedProvider | None:
        """See :class:`~fairlead.ports.files.Keeping`."""
        choices = [
            Choice(choice.model, gates, choice.strategy)
            for choice in self.choices
            if (gates := tuple(gate for gate in choice.gates if gate.name == upstream))
        ]
        if not choices:
            return None
        return BalancedProvider(
            self._upstreams, choices, entropy=self._entropy, now_ms=self._now_ms, clock=self._clock
        )

    async def close(self) -> None:
        """There is nothing to free: the upstreams are the server's."""

    async def pass_on(self, path: str, fields: dict[str, msgspec.Raw], model: str) -> Passed:
        """Pass a request to an upstream of the model asked for; see
        :class:`~fairlead.ports.passing.Passing`. Another one is asked if it fails, but no other
        model: its numbers would mean something else."""
        choice = self.choices[0]
        failure: FairleadError | None = None
        untried = list(choice.gates)
        while untried:
            gate = self._first(choice, untried, self._entropy(16), queued=True)
            if gate is None:
                break
            untried.remove(gate)
            provider = gate.provider
            if not isinstance(provider, Passing):
                continue
            visit = gate.enter()
            try:
                passed = await provider.pass_on(path, fields, choice.model)
            except FairleadError as error:
                visit.leave(error)
                if not counts(error):
                    raise
                failure = error
            else:
                visit.leave(True)
                return passed
            finally:
                visit.leave(None)
        raise failure or self._nobody()

    # -- choosing ----------------------------------------------------------------------------------

    def _thinking(
        self, status: str, request: GenerationRequest, provider: str = "", model: str = ""
    ) -> Thinking:
        english, chinese = _WORDS[status]
        dense = bool(request.turns) and is_dense(request.turns[-1].text)
        message = chinese if dense else english
        return Thinking(self._now_ms(), status, message, provider=provider, model=model)

    def _key(self, choice: Choice, request: GenerationRequest) -> bytes:
        if choice.strategy == "sticky" and request.conversation:
            return request.conversation.encode()
        return self._entropy(16)

    def _first(self, choice: Choice, untried: list[Gate], key: bytes, queued: bool) -> Gate | None:
        """The gate to go through now. Who comes anew does not pass those who wait."""
        gates = untried if len(untried) == 1 else _in_turn(choice, untried, key)
        for gate in gates:
            if (queued or not gate.waiting) and gate.obstacle() is None:
                return gate
        return None

    def _worth_waiting(self, untried: list[Gate], deadline: float) -> float | None:
        """Seconds until one of the gates may let pass, at most; None: not in time."""
        now = self._clock()
        longest = deadline - now
        waits: list[float] = []
        for gate in untried:
            obstacle = gate.obstacle()
            if obstacle is None:  # others wait before it
                waits.append(longest)
            elif obstacle.passing:
                waits.append(longest if obstacle.until is None else obstacle.until - now)
        soonest = min(waits, default=longest + 1)
        return max(soonest, 0.0) if soonest <= longest and longest > 0 else None

    async def _wait(self, untried: list[Gate], seconds: float) -> None:
        for gate in untried:
            gate.waiting += 1
        try:
            await self._upstreams.wait(seconds)
        finally:
            for gate in untried:
                gate.waiting -= 1

    def _others(self, choice: Choice, untried: list[Gate]) -> bool:
        """Whether somebody else can be asked if this one fails."""
        later = self.choices[self.choices.index(choice) + 1 :]
        gates = [*untried, *(gate for other in later for gate in other.gates)]
        return any(gate.obstacle() is None for gate in gates)

    def _nobody(self) -> FairleadError:
        """Why nobody has been asked."""
        gates = dict.fromkeys(gate for choice in self.choices for gate in choice.gates)
        obstacles = [obstacle for gate in gates if (obstacle := gate.obstacle()) is not None]
        passing = [obstacle for obstacle in obstacles if obstacle.passing]
        model = self.choices[0].model
        after = self._soonest(passing or obstacles)
        if passing and all(obstacle.kind == "paused" for obstacle in passing):
            return UpstreamRateLimited(
                f"the upstreams of the model {model!r} limit our rate", retry_after=after
            )
        if passing or not obstacles:
            return Busy(
                f"the upstreams of the model {model!r} are given as much as they may be",
                retry_after=after,
            )
        return UpstreamUnavailable(
            f"the upstreams of the model {model!r} are left alone for a while, because they failed",
            retry_after=after,
        )

    def _soonest(self, obstacles: Sequence[Obstacle]) -> float:
        now = self._clock()
        return max(1.0, min((o.until - now for o in obstacles if o.until is not None), default=1.0))


class _Mouth:
    """What one upstream pours into: once it has begun to answer, the sink itself. With marks alone
    (``marked``: the last one) it has not: another one can still be asked."""

    # A slot of this name is what is called, with no call of ours in between.
    __slots__ = ("_sink", "_told", "_visit", "marked", "open", "room", "write")

    write: Callable[[Sequence[Event]], bool]

    def __init__(self, sink: Sink, visit: Visit, told: tuple[Event, ...]) -> None:
        self.marked: Mark | None = None
        self.open = False
        self.room = sink.room
        self.write = self._first
        self._sink = sink
        self._visit = visit
        self._told = told

    def close(self) -> None:
        """It is over; no cycle is left behind."""
        self.write = self._sink.write

    def _first(self, events: Sequence[Event]) -> bool:
        told, self._told = self._told, ()
        for event in events:
            if isinstance(event, Mark):
                self.marked = event if event.upstream else None
            elif not self.open:
                self.open = True
                self.write = self._sink.write
                self._visit.answering()
        return self._sink.write((*told, *events))


def _in_turn(choice: Choice, gates: list[Gate], key: bytes) -> list[Gate]:
    """The gates, the one to go through first in front."""
    candidates = [Candidate(gate.name, gate.weight) for gate in gates]
    loads = {gate.name: gate.in_flight for gate in gates}
    named = {gate.name: gate for gate in gates}
    return [named[name] for name in preferred(choice.strategy, candidates, key, loads)]


def _spoken_by_all(providers: Sequence[Provider]) -> tuple[str, ...]:
    """The dialects whose requests every one of them can be given as they are."""
    first: tuple[str, ...] = getattr(providers[0], "speaks", ())
    return tuple(each for each in first if all(speaks(provider, each) for provider in providers))


def _taken_by_all(providers: Sequence[Provider]) -> tuple[str, ...]:
    """The media types that every one of them takes."""
    types = dict.fromkeys(type for provider in providers for type in provider.takes)
    return tuple(t for t in types if all(t in p.takes or takes(p.takes, t) for p in providers))
