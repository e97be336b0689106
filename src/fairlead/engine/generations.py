"""The generations of this node: begun, counted while they run, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from fairlead.engine.allowed import Allowed
from fairlead.engine.answers import settle
from fairlead.engine.course import Course
from fairlead.engine.generation import Generation
from fairlead.engine.limits import Limits
from fairlead.engine.meter import Meter
from fairlead.engine.resuming import Unfinished
from fairlead.engine.turns import Turn
from fairlead.engine.writer import LostStream, Writer
from fairlead.errors import FairleadError, Interrupted
from fairlead.events.answer import Answer
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Thinking
from fairlead.policy.caller import Caller
from fairlead.policy.tokens import is_dense
from fairlead.ports.conversations import Conversations
from fairlead.ports.knowledge import Knowledge
from fairlead.ports.observer import Begun, Observer
from fairlead.ports.pouring import Sink
from fairlead.ports.provider import GenerationRequest, Provider
from fairlead.ports.resuming import Resuming, told
from fairlead.ports.store import Store, StreamInfo
from fairlead.ports.transform import Transforms

_log = structlog.get_logger("fairlead.engine")


class Generations:
    """What is written on this node, by stream (``running``).

    ``limits`` gives those that hold for what begins now; ``left_open`` (set by the owner) is told
    of a stream whose end could not be written, and why.
    """

    def __init__(
        self,
        store: Store,
        conversations: Conversations,
        observers: Sequence[Observer],
        clock: Callable[[], float],
        limits: Callable[[], Limits],
    ) -> None:
        self.running: dict[str, Generation] = {}
        self._store = store
        self._conversations = conversations
        self._observers = observers
        self._clock = clock
        self._limits = limits
        self.left_open: Callable[[str, FairleadError], None] = _nothing
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(
        self,
        stream: str,
        meta: GenerationMeta,
        provider: Provider,
        knowledge: Knowledge | None,
        transforms: Transforms | None,
        meter: Meter,
        turn: Turn,
        caller: Caller,
        rest: Unfinished | None = None,
        resuming: Resuming | None = None,
        since: float | None = None,
    ) -> Generation:
        """The generation of a stream, counted as running, yet to start. Nothing is written until it
        is told that the stream is there and ours: :meth:`Generation.created`.

        ``rest``: what another process has left of it since ``since`` (seconds since 1970, UTC),
        which ``resuming`` goes on with."""
        limits = self._limits()
        begun = Begun(
            stream=stream,
            consumer=caller.consumer,
            model=meta.model,
            provider=provider.name,
            conversation=meta.conversation,
            at=self._clock(),
        )
        writer = Writer(
            self._store,
            stream,
            max_event_bytes=limits.event_bytes,
            grammar=None if rest is None else rest.grammar,
        )
        deadline, work = limits.deadline, None
        if rest is not None and resuming is not None:
            if since is not None:
                deadline = max(1.0, deadline + since - self._clock())

            async def work(request: GenerationRequest, sink: Sink) -> None:
                most = told(resuming, rest.mark)
                if most and meter.recall(most):
                    sink = Allowed(sink, meter, most)
                await resuming.resume(request, rest.mark, rest.seen, sink)

        generation = Generation(
            stream=stream,
            meta=meta,
            writer=writer,
            provider=provider,
            knowledge=knowledge,
            transforms=transforms,
            caller=caller,
            meter=meter,
            turn=turn,
            course=Course(begun, meter, self._observers, self._clock),
            deadline=deadline,
            max_chars=limits.message_chars,
            clock=self._clock,
            watched_elsewhere=lambda: self._watched_elsewhere(stream),
            finished=self._finished,
            work=work,
            answer=None if rest is None else rest.answer,
        )
        self.running[stream] = generation
        self._idle.clear()
        return generation

    async def _finished(self, generation: Generation, answer: Answer) -> None:
        failure = generation.writer.failure
        try:
            if generation.left:
                pass  # it has no end yet
            elif failure is None:
                await settle(self._conversations, generation.meta, answer)
            elif not isinstance(failure, LostStream):
                self.left_open(generation.stream, failure)
        except FairleadError as error:
            # The log has the answer; reading the dialogue settles the message again.
            _log.warning("message_not_settled", stream=generation.stream, error=error.message)
        finally:
            code = "left" if generation.left else "" if failure is None else failure.code
            generation.course.end(answer, code)
            if self.running.get(generation.stream) is generation:
                del self.running[generation.stream]
            if not self.running:
                self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no generation runs on this node."""
        await self._idle.wait()

    async def interrupt_all(self) -> None:
        """End every generation of this node as interrupted, and wait until that is durable. Those
        that another process can go on with are left to it."""
        running = tuple(self.running.values())
        for generation in running:
            if not generation.leave():
                generation.interrupt(
                    Interrupted(
                        "the server is restarting; ask again to have the rest", retry_after=1
                    )
                )
        await asyncio.gather(*(generation.wait() for generation in running))

    def signalled(self, stream: str, name: str) -> None:
        """Somebody has sent a signal to a stream."""
        generation = self.running.get(stream)
        if generation is not None and name == "stop":
            generation.stop("stop")

    def info(self, stream: str) -> StreamInfo | None:
        """What is known of a stream that is written here, without asking the store's file: after
        a cut all readers come back at once."""
        generation = self.running.get(stream)
        if generation is None or generation.info is None:
            return None
        batch = self._store.recent(stream, generation.writer.tail, 0)
        return None if batch is None else msgspec.structs.replace(generation.info, head=batch.head)

    def watched(self, stream: str, readers: int) -> bool:
        """It has so many readers on this node. Whether it is written here."""
        generation = self.running.get(stream)
        if generation is None:
            return False
        generation.readers = readers
        return True

    async def _watched_elsewhere(self, stream: str) -> bool:
        return await self._store.watchers(stream) > 0


def opening(question: str, at: int, *, searching: bool) -> Thinking:
    """What is shown when the work begins."""
    if not searching:
        status, message = "writing", "正在回答…" if is_dense(question) else "Writing…"
    elif is_dense(question):
        status, message = "retrieving", "正在检索文档…"
    else:
        status, message = "retrieving", "Searching the documents…"
    return Thinking(at, status, message)


def _nothing(stream: str, why: FairleadError) -> None:
    pass
