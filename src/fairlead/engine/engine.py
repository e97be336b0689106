"""The engine: start, attach, stop, read, and the dialogues, without any wire.

Every verb takes a :class:`~fairlead.policy.caller.Caller` and asks the permissions itself, so that
no route can forget to. What a caller may not see is not found.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import structlog

from fairlead.engine.ask import MAX_NAME, Ask, Started
from fairlead.engine.dialogue import Exchange, exchange, within_context
from fairlead.engine.generation import Generation
from fairlead.engine.limits import Limits
from fairlead.engine.models import Model, Models
from fairlead.engine.reader import READ_BYTES, Live, Reader
from fairlead.engine.wire import WireFactory
from fairlead.engine.writer import Writer
from fairlead.errors import (
    BadPosition,
    BadRequest,
    Busy,
    Conflict,
    Draining,
    FairleadError,
    HistoryGone,
    Interrupted,
    NotFound,
    Unauthenticated,
)
from fairlead.events.answer import Answer
from fairlead.events.codec import CONTENT_TYPE, decode, encode
from fairlead.events.meta import GenerationMeta, decode_meta, encode_meta
from fairlead.events.model import Error, Reset, Thinking
from fairlead.journal.log import Gone, Head, Lost, locate, position
from fairlead.journal.position import Position
from fairlead.journal.retention import Retention
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb, may
from fairlead.policy.tokens import is_dense
from fairlead.ports import store as ports
from fairlead.ports.conversations import (
    Conversation,
    ConversationPage,
    Conversations,
    Message,
    Status,
)
from fairlead.ports.knowledge import Knowledge, Passage
from fairlead.ports.provider import GenerationRequest
from fairlead.primitives import ID_LENGTH, is_id, keyed_id, random_id

_log = structlog.get_logger("fairlead.engine")

#: A node's leases live this long after its last sign of life, in seconds.
LEASE = 15.0
#: Presence of this node's readers on other nodes' streams, likewise.
PRESENCE = 30.0
_RETENTION_EVERY = 60.0


class Snapshot(NamedTuple):
    """A stream at one moment: who and what it is, the answer so far, and where that ends."""

    info: ports.StreamInfo
    meta: GenerationMeta
    answer: Answer
    position: Position | None


class Engine:
    """Runs generations and serves readers on one node.

    ``secret`` (of the deployment) makes ids of idempotency keys; ``notice`` is a line for people
    about who answers, shown with each answer (empty: none).
    """

    def __init__(
        self,
        *,
        store: ports.Store,
        conversations: Conversations,
        models: Models,
        knowledge: Knowledge | None,
        secret: bytes,
        limits: Limits | None = None,
        retention: Retention | None = None,
        notice: str = "",
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.store = store
        self.conversations = conversations
        self.models = models
        self.knowledge = knowledge
        self.limits = limits or Limits()
        self.retention = retention or Retention()
        self.node = random_id(entropy(16))
        self.draining = False
        self._secret = secret
        self._notice = notice
        self._clock = clock
        self._entropy = entropy
        self._running: dict[str, Generation] = {}
        self._starting = 0
        self._lives: dict[str, Live] = {}
        self._readers = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._upkeep: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._signals: ports.Subscription | None = None

    # -- life

    async def open(self) -> None:
        """Join the store as an owner and begin the upkeep. Stores must be open already."""
        await self.store.join(self.node, LEASE)
        self._signals = self.store.on_signal(self.node, self._signalled)
        await self._recover()
        self._upkeep = asyncio.create_task(self._keep_up(), name="engine upkeep")

    async def close(self) -> None:
        """End everything that runs as interrupted, and leave. Idempotent."""
        self.draining = True
        await self.interrupt_all()
        if self._upkeep is not None:
            self._upkeep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._upkeep
            self._upkeep = None
            await self.store.leave(self.node)
        if self._signals is not None:
            self._signals.cancel()
            self._signals = None
        await asyncio.gather(*self._errands)
        for live in tuple(self._lives.values()):
            live.close()
        self._lives.clear()

    async def wait_idle(self) -> None:
        """Wait until no generation runs on this node."""
        await self._idle.wait()

    async def interrupt_all(self) -> None:
        """End every generation of this node as interrupted, and wait until that is durable."""
        running = tuple(self._running.values())
        for generation in running:
            generation.interrupt(
                Interrupted("the server is restarting; ask again to have the rest", retry_after=1)
            )
        await asyncio.gather(*(generation.wait() for generation in running))

    @property
    def running(self) -> int:
        """Generations running on this node."""
        return len(self._running)

    @property
    def readers(self) -> int:
        """Readers open on this node."""
        return self._readers

    # -- start

    async def start(self, caller: Caller, ask: Ask, key: str = "") -> Started:
        """Start a generation, or find the one that the idempotency key began.

        Raises :class:`~fairlead.errors.BadRequest` and :class:`~fairlead.errors.TooLarge` for what
        cannot be asked, :class:`~fairlead.errors.Conflict` when the key was used for another
        question, :class:`~fairlead.errors.Busy` at the cap and
        :class:`~fairlead.errors.Draining` when nothing new is begun.
        """
        self._allow(caller, Verb.START, None)
        ask.check(self.limits)
        model = self.models.choose(ask.model)
        if key:
            if len(key) > MAX_NAME or not key.isascii() or not key.isprintable():
                raise BadRequest(
                    f"an idempotency key must be at most {MAX_NAME} printable ASCII characters"
                )
            stream = keyed_id(self._secret, caller.consumer, key)
            # Found before any limit is charged: a repetition costs nothing.
            with contextlib.suppress(NotFound):
                return self._same(await self.store.info(stream), ask)
        else:
            stream = random_id(self._entropy(16))
        if self.draining:
            raise Draining("the server starts nothing new while it shuts down", retry_after=2)
        if len(self._running) + self._starting >= self.limits.generations:
            raise Busy(
                f"{self.limits.generations} answers are being written, which is the cap",
                retry_after=5,
            )
        self._starting += 1
        try:
            return await self._create(caller, ask, model, stream)
        finally:
            self._starting -= 1

    async def _create(self, caller: Caller, ask: Ask, model: Model, stream: str) -> Started:
        now = self._clock()
        placed = await exchange(
            self.conversations,
            ask,
            stream=stream,
            owner=caller.consumer,
            now=now,
            limit=self.limits.history_messages,
        )
        window = self.limits.orphan_window if ask.orphan_window is None else ask.orphan_window
        meta = GenerationMeta(
            provider=model.provider.name,
            model=model.name,
            notice=self._notice,
            conversation=placed.conversation.id,
            question=placed.question_id,
            message=placed.answer_id,
            orphan_window=None if ask.background else window,
        )
        first = self._first_event(placed.question, now)
        outcome = await self.store.create(
            ports.StreamSpec(
                id=stream,
                owner=caller.consumer,
                content_type=CONTENT_TYPE,
                fingerprint=ask.fingerprint(),
                meta=encode_meta(meta),
            ),
            writer=self.node,
            records=[encode(first)],
        )
        if isinstance(outcome, ports.Conflict):
            raise _conflict()
        if isinstance(outcome, ports.Exists):
            return self._same(outcome.info, ask)
        assert outcome.epoch is not None
        writer = Writer(
            self.store,
            stream,
            outcome.epoch,
            outcome.info.head.tail,
            max_event_bytes=self.limits.event_bytes,
        )
        writer.follow(first)
        generation = Generation(
            stream=stream,
            meta=meta,
            writer=writer,
            provider=model.provider,
            knowledge=self.knowledge,
            deadline=self.limits.deadline,
            max_chars=self.limits.message_chars,
            clock=self._clock,
            watched_elsewhere=lambda: self._watched_elsewhere(stream),
            finished=self._finished,
        )
        self._running[stream] = generation
        self._idle.clear()
        generation.start(
            GenerationRequest(
                stream=stream,
                turns=within_context(placed.turns, model.provider.context_tokens),
                model=model.upstream_name,
                parameters=ask.parameters,
            ),
            placed.question,
        )
        # Beside the provider's first work, not before it; but known before the caller is told.
        await self._remember(generation, placed)
        return Started(stream, meta, outcome.info, created=True)

    async def _remember(self, generation: Generation, placed: Exchange) -> None:
        try:
            await self.conversations.put(placed.conversation, placed.messages)
        except FairleadError as error:
            generation.interrupt(error)
            raise

    def _first_event(self, question: str, now: float) -> Thinking:
        if self.knowledge is None:
            status, message = "writing", "正在回答…" if is_dense(question) else "Writing…"
        elif is_dense(question):
            status, message = "retrieving", "正在检索文档…"
        else:
            status, message = "retrieving", "Searching the documents…"
        return Thinking(int(now * 1000), status, message)

    def _same(self, info: ports.StreamInfo, ask: Ask) -> Started:
        if info.spec.fingerprint != ask.fingerprint():
            raise _conflict()
        return Started(info.spec.id, decode_meta(info.meta), info, created=False)

    async def _finished(self, generation: Generation, answer: Answer) -> None:
        try:
            if generation.writer.failure is None:
                await self._settle(generation.meta, answer)
        except FairleadError as error:
            # The log has the answer; reading the dialogue settles the message again.
            _log.warning("message_not_settled", stream=generation.stream, error=error.message)
        finally:
            self._running.pop(generation.stream, None)
            if not self._running:
                self._idle.set()

    async def _settle(self, meta: GenerationMeta, answer: Answer) -> None:
        if meta.message:
            await self.conversations.finish(
                meta.message, answer.text, answer.status, answer.sources
            )

    # -- stop

    async def stop(self, caller: Caller, stream: str) -> Snapshot:
        """End the generation as stopped, from wherever it runs; what was written stays. Idempotent.

        The snapshot tells how it ended; it is still ``running`` where another node has yet to
        hear of it.
        """
        info = await self._info(caller, Verb.STOP, stream)
        generation = self._running.get(stream)
        if generation is not None:
            generation.stop("stop")
            await generation.wait()
        elif not info.head.closed:
            await self.store.signal(stream, "stop")
        return await self._snapshot(await self.store.info(stream))

    def _signalled(self, stream: str, name: str) -> None:
        generation = self._running.get(stream)
        if generation is not None and name == "stop":
            generation.stop("stop")

    # -- read

    async def attach(
        self, caller: Caller, stream: str, after: Position | None, wire: WireFactory
    ) -> Reader:
        """A reader of the stream from after a position on (None: from the start).

        :meth:`detach` must follow. Raises :class:`~fairlead.errors.NotFound`,
        :class:`~fairlead.errors.HistoryGone` when retention took what comes next, and
        :class:`~fairlead.errors.Busy` at the cap of readers. A position whose records the store
        lost is served a ``reset`` with the text so far.
        """
        self._admit()
        try:
            info = await self._info(caller, Verb.ATTACH, stream)
            return await self._attach(caller, info, after, wire)
        except BaseException:
            self._readers -= 1
            raise

    async def start_and_attach(
        self, caller: Caller, ask: Ask, key: str, wire: WireFactory
    ) -> Reader:
        """:meth:`start`, and :meth:`attach` from the start: the reader's room is taken first, so
        that a question whose answer could not be read is not begun."""
        self._admit()
        try:
            started = await self.start(caller, ask, key)
            self._allow(caller, Verb.ATTACH, started.info.spec.owner)
            return await self._attach(caller, started.info, None, wire)
        except BaseException:
            self._readers -= 1
            raise

    def _admit(self) -> None:
        """Take the room of one reader, which :meth:`detach` gives back."""
        if self._readers >= self.limits.readers:
            raise Busy(
                f"{self.limits.readers} connections are open, which is the cap", retry_after=5
            )
        self._readers += 1

    async def _attach(
        self, caller: Caller, info: ports.StreamInfo, after: Position | None, wire: WireFactory
    ) -> Reader:
        stream = info.spec.id
        meta = decode_meta(info.meta)
        place = locate(info.head, after)
        if isinstance(place, Gone):
            raise HistoryGone(
                "the records after this position were removed by retention",
                first=str(position(info.head, place.first)),
            )
        prefix = b""
        made = wire(stream, meta)
        if isinstance(place, Lost):
            answer, offset, head = await self._add_up(stream)
            reset = Reset(int(self._clock() * 1000), place.reason, answer.text)
            _, prefix = made.step(made.begin(0), reset, str(position(head, offset)).encode())
            info = ports.StreamInfo(
                spec=info.spec,
                head=head,
                created=info.created,
                touched=info.touched,
                meta=info.meta,
            )
        else:
            offset = place.offset
            if place.step:
                raise BadPosition(
                    "this position stands inside a record, as another dialect showed it; "
                    "read on in that dialect, or from the start"
                )
        live = self._lives.get(stream)
        if live is None:
            live = Live(self.store, stream, meta, info.head)
            self._lives[stream] = live
        elif info.head.tail >= live.head.tail:
            live.head = info.head
        reader = Reader(live, made, offset, caller, prefix=prefix)
        live.readers.add(reader)
        self._count_readers(live)
        if stream not in self._running and not info.head.closed:
            await self.store.present([stream], self.node, PRESENCE)
        return reader

    def detach(self, reader: Reader) -> None:
        """The reader has gone. The generation goes on."""
        live = reader.live
        if reader not in live.readers:
            return
        live.readers.discard(reader)
        self._readers -= 1
        self._count_readers(live)
        if not live.readers:
            self._lives.pop(live.stream, None)
            live.close()
            if live.stream not in self._running and not live.head.closed:
                self._errand(self.store.present([live.stream], self.node, 0))

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for; what it cannot do, time will (presence expires)."""

        async def run() -> None:
            with contextlib.suppress(FairleadError):
                await work

        task = asyncio.create_task(run())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _count_readers(self, live: Live) -> None:
        generation = self._running.get(live.stream)
        if generation is not None:
            generation.readers = len(live.readers)

    async def read(self, caller: Caller, stream: str) -> Snapshot:
        """The answer so far, as a whole."""
        info = await self._info(caller, Verb.READ, stream)
        generation = self._running.get(stream)
        if generation is not None:
            generation.seen()
        return await self._snapshot(info)

    async def info(self, caller: Caller, stream: str) -> ports.StreamInfo:
        """What is known of a stream, without its records."""
        return await self._info(caller, Verb.READ, stream)

    async def streams(self, caller: Caller, cursor: str | None, limit: int) -> ports.Page:
        """The caller's streams, newest first."""
        self._allow(caller, Verb.LIST, None)
        return await self.store.page(caller.consumer, cursor, limit)

    async def delete(self, caller: Caller, stream: str) -> None:
        """Remove a stream; a running one is stopped first."""
        await self._info(caller, Verb.DELETE, stream)
        await self._remove(stream)

    async def passage(self, caller: Caller, id: str) -> Passage:
        """A passage that an answer cited."""
        self._allow(caller, Verb.READ, None)
        if self.knowledge is None:
            raise NotFound("this server has no knowledge base")
        return await self.knowledge.passage(id)

    async def _remove(self, stream: str) -> None:
        generation = self._running.get(stream)
        if generation is not None:
            generation.stop("deleted")
            await generation.wait()
        for reader in tuple(live.readers) if (live := self._lives.get(stream)) else ():
            reader.end(NotFound("the stream was deleted"))
        with contextlib.suppress(NotFound):
            await self.store.delete(stream)

    async def _info(self, caller: Caller, verb: Verb, stream: str) -> ports.StreamInfo:
        if not is_id(stream):
            raise NotFound(
                f"there is no such stream; an id has {ID_LENGTH} characters of 0-9 and a-z"
            )
        info = await self.store.info(stream)
        self._allow(caller, verb, info.spec.owner)
        return info

    def _allow(self, caller: Caller, verb: Verb, owner: str | None) -> None:
        now = self._clock()
        if may(caller, verb, owner, now):
            return
        if caller.expires_at is not None and now >= caller.expires_at:
            raise Unauthenticated("the credential has expired")
        raise NotFound("there is no such thing, or none that this credential may see")

    async def _snapshot(self, info: ports.StreamInfo) -> Snapshot:
        answer, offset, head = await self._add_up(info.spec.id)
        return Snapshot(info, decode_meta(info.meta), answer, position(head, offset))

    async def _add_up(self, stream: str, max_chars: int | None = None) -> tuple[Answer, int, Head]:
        answer = Answer(max_chars)
        offset = 0
        while True:
            batch = await self.store.read(stream, offset, READ_BYTES)
            for record in batch.records:
                answer.add(decode(record))
            offset = batch.offset + len(batch.records)
            if offset >= batch.head.tail:
                return answer, offset, batch.head

    # -- dialogues

    async def dialogues(self, caller: Caller, cursor: str | None, limit: int) -> ConversationPage:
        """The caller's conversations, most recently used first."""
        self._allow(caller, Verb.LIST, None)
        return await self.conversations.page(caller.consumer, cursor, limit)

    async def dialogue(self, caller: Caller, id: str) -> tuple[Conversation, list[Message]]:
        """A conversation with all messages of all its branches, oldest first."""
        conversation = await self._dialogue(caller, Verb.READ, id)
        messages = await self.conversations.messages(id)
        settled = [await self._settled(message) for message in messages]
        return conversation, settled

    async def rename(self, caller: Caller, id: str, title: str) -> Conversation:
        """Give a conversation another title."""
        await self._dialogue(caller, Verb.CHANGE, id)
        if not title.strip() or len(title) > 500:
            raise BadRequest("'title' must have from 1 to 500 characters")
        return await self.conversations.rename(id, title.strip())

    async def select(self, caller: Caller, id: str, leaf: str) -> Conversation:
        """Take the branch that ends in ``leaf`` into use."""
        await self._dialogue(caller, Verb.CHANGE, id)
        return await self.conversations.select(id, leaf)

    async def delete_dialogue(self, caller: Caller, id: str) -> None:
        """Remove a conversation, its messages and their streams."""
        await self._dialogue(caller, Verb.DELETE, id)
        for stream in await self.conversations.delete(id):
            await self._remove(stream)

    async def _dialogue(self, caller: Caller, verb: Verb, id: str) -> Conversation:
        conversation = await self.conversations.get(id)
        self._allow(caller, verb, conversation.owner)
        return conversation

    async def _settled(self, message: Message) -> Message:
        """A message whose generation ended without settling it (its process died between the two
        stores) is settled when it is read."""
        if message.status != "running" or message.stream is None:
            return message
        status: Status
        try:
            info = await self.store.info(message.stream)
            if not info.head.closed:
                return message
            answer, _, _ = await self._add_up(message.stream, self.limits.message_chars)
            text, status, sources = answer.text, answer.status, answer.sources
        except NotFound:
            text, status, sources = message.text, "interrupted", ()
        await self.conversations.finish(message.id, text, status, sources)
        return Message(
            id=message.id,
            parent=message.parent,
            role=message.role,
            text=text,
            created=message.created,
            stream=message.stream,
            status=status,
            sources=sources,
        )

    # -- upkeep

    async def _watched_elsewhere(self, stream: str) -> bool:
        return await self.store.watchers(stream) > 0

    async def _keep_up(self) -> None:
        last_retention = time.monotonic()
        while True:
            await asyncio.sleep(LEASE / 5)
            try:
                await self.store.join(self.node, LEASE)
                await self._recover()
                await self._show_presence()
                if time.monotonic() - last_retention > _RETENTION_EVERY:
                    last_retention = time.monotonic()
                    await self.store.expire(self.retention)
            except FairleadError as error:
                # The next round tries again; generations learn of a lost store by themselves.
                _log.error("upkeep_failed", code=error.code, error=error.message)
            self._end_expired()

    async def _show_presence(self) -> None:
        streams = [
            id
            for id, live in self._lives.items()
            if id not in self._running and not live.head.closed
        ]
        if streams:
            await self.store.present(streams, self.node, PRESENCE)

    def _end_expired(self) -> None:
        now = self._clock()
        for live in tuple(self._lives.values()):
            for reader in tuple(live.readers):
                expires = reader.caller.expires_at
                if expires is not None and now >= expires:
                    reader.end(Unauthenticated("the credential has expired"))

    async def _recover(self) -> None:
        """Close the streams whose writer died, so that their readers learn it."""
        for stream in await self.store.abandoned():
            acquired = await self.store.acquire(stream, self.node)
            if isinstance(acquired, ports.Held) or acquired.head.closed:
                continue
            error = Interrupted("the server ended in the middle of the answer")
            end = Error(
                int(self._clock() * 1000), error.message, error.code, retryable=error.retryable
            )
            outcome = await self.store.append(
                stream, acquired.epoch, acquired.head.tail, [encode(end)], close=True
            )
            if isinstance(outcome, ports.Appended):
                _log.warning("generation_interrupted", stream=stream)
                answer, _, _ = await self._add_up(stream, self.limits.message_chars)
                await self._settle(decode_meta((await self.store.info(stream)).meta), answer)


def _conflict() -> Conflict:
    return Conflict(
        "this idempotency key was used for another question; use a new key for a new question"
    )
