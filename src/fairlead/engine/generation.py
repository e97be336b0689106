"""A generation: the work that writes a stream, from retrieval to the terminal event."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from fairlead.engine.allowed import Allowed, alternatives, longest
from fairlead.engine.course import Course
from fairlead.engine.meter import Meter
from fairlead.engine.tap import Tap
from fairlead.engine.turns import Turn
from fairlead.engine.writer import Writer
from fairlead.errors import (
    BadRequest,
    DeadlineExceeded,
    FairleadError,
    Fault,
    Interrupted,
    UpstreamProtocol,
)
from fairlead.events.answer import Answer
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Done, Error, Event, Source, Sources, Thinking
from fairlead.events.states import IllegalEvent
from fairlead.policy.caller import Caller
from fairlead.policy.tokens import is_dense
from fairlead.ports.knowledge import Knowledge, Passage
from fairlead.ports.pouring import Sink, pour
from fairlead.ports.provider import GenerationRequest, Provider, bounds
from fairlead.ports.provider import Turn as Said
from fairlead.ports.resuming import Resuming
from fairlead.ports.store import Created, StreamInfo
from fairlead.ports.transform import Transforms

_log = structlog.get_logger("fairlead.engine")

#: Passages given to a provider at most.
_PASSAGES = 5


class Left(FairleadError):
    """The work goes on elsewhere, and so does its stream: there is no end to write."""

    code = "interrupted"


class Generation:
    """One running generation. It owns its writer and its task; connections own nothing of it.

    ``info`` is its stream as it was created, None until then. ``finished`` is awaited with the
    answer (``max_chars`` of its text at most) once the terminal event is durable (or the writer has
    failed), before the generation counts as over. ``work`` writes the rest of an answer that
    another process has begun, of which ``answer`` is there already.
    """

    def __init__(
        self,
        *,
        stream: str,
        meta: GenerationMeta,
        writer: Writer,
        provider: Provider,
        knowledge: Knowledge | None,
        transforms: Transforms | None,
        caller: Caller,
        meter: Meter,
        turn: Turn,
        course: Course,
        deadline: float,
        max_chars: int,
        clock: Callable[[], float],
        watched_elsewhere: Callable[[], Awaitable[bool]],
        finished: Callable[[Generation, Answer], Awaitable[None]],
        work: Callable[[GenerationRequest, Sink], Awaitable[None]] | None = None,
        answer: Answer | None = None,
    ) -> None:
        self.info: StreamInfo | None = None
        self.stream = stream
        self.meta = meta
        self.writer = writer
        writer.failed = self.writer_failed
        self._provider = provider
        self._knowledge = knowledge
        self._transforms = transforms
        self._caller = caller
        self.meter = meter
        self.turn = turn
        turn.used = True
        self.course = course
        self._deadline = deadline
        self._clock = clock
        self._watched_elsewhere = watched_elsewhere
        self._finished = finished
        self._answer = Answer(max_chars) if answer is None else answer
        self._pour = functools.partial(pour, provider) if work is None else work
        #: The model of what was begun elsewhere was told there where to stop.
        self._bounds = work is None and bounds(provider)
        self._cause: Event | FairleadError | None = None
        self._task: asyncio.Task[None] | None = None
        self._orphan_timer: asyncio.TimerHandle | None = None
        self._orphan_check: asyncio.Task[None] | None = None
        self._readers = 0
        self._due = 0.0
        self._begun = False
        self._ending = False
        self._void = False

    # -- life

    def created(self, outcome: Created) -> None:
        """The stream is there, and ours to write."""
        assert outcome.epoch is not None
        self.info = outcome.info
        self.writer.begin(outcome.epoch, outcome.info.head.tail)

    async def void(self) -> None:
        """The stream could not be created: end without a word, charged for nothing. Returns when
        it is over."""
        self._void = True
        self.writer.lose()
        await self.wait()

    def start(
        self, request: GenerationRequest, question: str, opening: Thinking
    ) -> asyncio.Task[None]:
        """Begin the work in the background. ``opening`` is in the log already, unless the
        generation has to wait for its turn. Who asked cannot watch it yet: :meth:`seen` begins the
        time for which it goes on unwatched."""
        self._task = asyncio.create_task(
            self._run(request, question, opening), name=f"generation {self.stream}"
        )
        return self._task

    async def wait(self) -> None:
        """Wait until the generation is over."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def stop(self, reason: str) -> None:
        """End it as stopped, at once: the provider's connection is closed. Idempotent."""
        self._end(Done(self._now(), status="stopped", reason=reason))

    def interrupt(self, error: FairleadError) -> None:
        """End it with an error from outside (drain, lost store). Idempotent."""
        self._end(error)

    def leave(self) -> bool:
        """End it here without a word, if the work goes on where it is done and another process can
        have the rest. False: it does not."""
        if self.writer.mark is None or self._transforms is not None:
            return False
        self._end(Left("the answer is written on by another process"))
        return True

    def writer_failed(self) -> None:
        """The writer can write no more, so the work is in vain."""
        self._end(self.writer.failure or Interrupted("the stream cannot be written any more"))

    def _end(self, cause: Event | FairleadError) -> None:
        if self._cause is None and not self._ending and self._task is not None:
            self._cause = cause
            # A task cancelled before its first step would never run, nor end its stream.
            if self._begun:
                self._task.cancel()

    @property
    def left(self) -> bool:
        """Whether it has ended here without an end."""
        return isinstance(self._cause, Left)

    @property
    def answer(self) -> Answer:
        """What it has written so far."""
        return self._answer

    # -- watching

    @property
    def readers(self) -> int:
        """Readers on this node."""
        return self._readers

    @readers.setter
    def readers(self, count: int) -> None:
        self._readers = count
        if count == 0:
            self._arm()
        elif self._orphan_timer is not None:
            self._orphan_timer.cancel()
            self._orphan_timer = None

    def seen(self, due: float = 0.0) -> None:
        """Somebody looked at it without staying (a snapshot, a poll): the clock starts anew. A
        poller's next look is due in ``due`` seconds."""
        self._due = max(self._due, asyncio.get_running_loop().time() + due)
        if self._readers == 0:
            self._arm()

    def _arm(self) -> None:
        window = self.meta.orphan_window
        if window is None or self._task is None or self._task.done():
            return
        if self._orphan_timer is not None:
            self._orphan_timer.cancel()
        loop = asyncio.get_running_loop()
        until = max(loop.time() + window, self._due)
        self._orphan_timer = loop.call_at(until, self._orphaned)

    def _orphaned(self) -> None:
        self._orphan_timer = None
        self._orphan_check = asyncio.create_task(self._check_orphaned())

    async def _check_orphaned(self) -> None:
        # Readers on other nodes are known to the store alone; it is asked only now.
        if self._readers == 0 and not await self._watched_elsewhere():
            if self._readers == 0:
                self.stop("abandoned")
        else:
            self.seen()

    # -- work

    async def _run(self, request: GenerationRequest, question: str, opening: Thinking) -> None:
        self._begun = True
        try:
            end = await self._outcome(request, question, opening)
            forsaking = self._forsake(end)
            await self._finish(end)
            if forsaking is not None:
                await forsaking
        finally:
            if self._orphan_timer is not None:
                self._orphan_timer.cancel()
            if self._orphan_check is not None:
                self._orphan_check.cancel()
            await self._finished(self, self._answer)

    async def _outcome(self, request: GenerationRequest, question: str, opening: Thinking) -> Event:
        """Do the work; the terminal event that ends it."""
        try:
            if self._cause is None:
                if self.turn.place:
                    await self._queue(question, opening)
                self.course.turn()
                async with asyncio.timeout(self._deadline):
                    await self._work(request, question)
        except asyncio.CancelledError:
            if self._cause is None:  # cancelled by nobody who gave a cause: the loop is ending
                self._cause = Interrupted("the server ended in the middle of the answer")
        except TimeoutError:
            self._cause = DeadlineExceeded(
                f"the generation ran longer than its deadline of {self._deadline:g} s"
            )
        except FairleadError as error:
            self._cause = error
        except IllegalEvent as error:
            self._cause = UpstreamProtocol(f"the provider's events are out of order: {error}")
        except Exception as error:  # noqa: BLE001
            # A provider may be anybody's code: its fault must end its own stream, in words.
            _log.exception("provider_failed", stream=self.stream, provider=self._provider.name)
            self._cause = FairleadError(f"the provider failed: {type(error).__name__}")
        cause = self._cause
        if cause is None:
            return Done(self._now())
        if isinstance(cause, FairleadError):
            if cause.fault is Fault.SERVER and not isinstance(cause, Left):
                # In our own words; what a model's server says may repeat the prompt.
                _log.warning(
                    "generation_failed", stream=self.stream, code=cause.code, error=cause.message
                )
            return Error(
                self._now(),
                error=cause.message,
                code=cause.code,
                retryable=cause.retryable,
                retry_after=cause.retry_after,
                budget=str(cause.details.get("budget", "")),
                vendor_code=str(cause.details.get("vendor_code", "")),
            )
        return cause

    async def _queue(self, question: str, opening: Thinking) -> None:
        """Wait for the turn, and tell its place."""
        self.turn.moved = lambda place: self.writer.write(queued(question, self._now(), place))
        await self.turn.wait()
        self.writer.write(msgspec.structs.replace(opening, at=self._now()))

    async def _work(self, request: GenerationRequest, question: str) -> None:
        meter, transforms, transform = self.meter, self._transforms, None
        if transforms is not None:
            transform = transforms.stream(self._caller)
            turns = await transforms.prompt(request.turns, self._caller)
            if turns != request.turns:
                question = [turn.text for turn in turns if turn.role == "user"][-1]
                await meter.reworded(request.turns, turns)
                request = reworded(request, turns)
        passages = await self._retrieve(question, _asked_before(request))
        if passages is not None:
            request = msgspec.structs.replace(request, passages=tuple(passages))
        told = longest(request.parameters) if self._bounds else None
        each = alternatives(request.parameters)
        most = await meter.asked(request.passages, told, each)
        tap = Tap(self.writer, self._answer, meter, self.course, transform, self._now)
        sink: Sink = tap
        if most:
            most //= each
            request = msgspec.structs.replace(request, most=most)
            sink = Allowed(tap, meter, most)
        await self._pour(request, sink)
        await tap.end()

    async def _retrieve(self, question: str, before: str) -> list[Passage] | None:
        if self._knowledge is None:
            return None
        passages = await self._knowledge.retrieve(question, _PASSAGES, before)
        event = Sources(self._now(), tuple(_source(p) for p in passages))
        self.writer.write(event)
        self._answer.add(event)
        return passages

    def _forsake(self, end: Event) -> asyncio.Task[None] | None:
        """Have the work stopped that would go on elsewhere for nobody."""
        mark = self.writer.mark
        if mark is None or not isinstance(self._provider, Resuming):
            return None
        if self.left or (self.writer.failure is not None and not self._void):
            return None  # somebody else has it, or will
        if self.writer.ended or (isinstance(end, Done) and end.status == "completed"):
            return None
        return asyncio.create_task(self._provider.forsake(mark), name=f"forsake {self.stream}")

    async def _finish(self, end: Event) -> None:
        self._ending = True
        # Whoever sees the end may ask again at once, in its room and with what was not used.
        self.turn.leave()
        if self._void:
            await self.meter.cancel()
        else:
            await self.meter.close(end.code if isinstance(end, Error) else "")
        if self.writer.failure is None and not self.writer.ended and not self.left:
            self.writer.write(end)
            self._answer.add(end)
        # The end must become durable although everybody wants to be gone by now.
        with contextlib.suppress(FairleadError):
            await self.writer.durable()

    def _now(self) -> int:
        return int(self._clock() * 1000)


def queued(question: str, at: int, place: int) -> Thinking:
    """What is shown of a place in the queue."""
    message = f"排队中，第 {place} 位…" if is_dense(question) else f"Waiting, place {place}…"
    return Thinking(at, "queued", message, position=place)


def reworded(request: GenerationRequest, turns: tuple[Said, ...]) -> GenerationRequest:
    """The request with other turns. In its asker's own words it would still be as it was."""
    for turn in turns:
        if turn.unsaid:
            raise BadRequest(
                f"this server changes what is asked, and cannot do so beside {turn.unsaid[0]}, "
                "which it could only send on as it is"
            )
    return msgspec.structs.replace(request, turns=turns, vendor=None)


def _asked_before(request: GenerationRequest) -> str:
    """The question before the last one, if the provider is told of it."""
    asked = [turn.text for turn in request.turns if turn.role == "user"]
    return asked[-2] if len(asked) > 1 else ""


def _source(p: Passage) -> Source:
    return Source(
        id=p.id,
        title=p.title,
        address=p.address,
        span=p.span,
        score=p.score,
        snippet=p.snippet,
        heading=p.heading,
    )
