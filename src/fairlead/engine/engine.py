"""The engine: start, attach, stop, read, and the dialogues, without any wire.

Every verb takes a :class:`~fairlead.policy.caller.Caller` and asks the permissions itself, so that
no route can forget to. What a caller may not see is not found.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import structlog

from fairlead.engine.accounts import Accounts
from fairlead.engine.answers import Snapshot, add_up, beginning, replay, settle, snapshot
from fairlead.engine.ask import MAX_NAME, Ask, Started
from fairlead.engine.authority import Authority
from fairlead.engine.course import Pulse
from fairlead.engine.dialogue import Exchange, exchange, given, kept
from fairlead.engine.dialogues import Dialogues
from fairlead.engine.explicit import Handed, Output
from fairlead.engine.filed import Filed
from fairlead.engine.generation import Generation, queued
from fairlead.engine.generations import Generations, opening
from fairlead.engine.limits import Limits
from fairlead.engine.meter import Meter
from fairlead.engine.metering import Metering
from fairlead.engine.models import Model, Models
from fairlead.engine.overview import Overview
from fairlead.engine.reader import Reader
from fairlead.engine.readers import Readers
from fairlead.engine.relay import Relay, fingerprint
from fairlead.engine.resumption import Resumption
from fairlead.engine.sockets import Sockets
from fairlead.engine.turns import Turn, Turns
from fairlead.engine.upkeep import Upkeep
from fairlead.engine.vigil import Vigil
from fairlead.engine.wire import W, WireFactory
from fairlead.errors import (
    BadPosition,
    BadRequest,
    BudgetExhausted,
    Busy,
    Conflict,
    Draining,
    FairleadError,
    Interrupted,
    NotFound,
    TooMany,
)
from fairlead.events.codec import CONTENT_TYPE, encode
from fairlead.events.meta import GenerationMeta, decode_meta, encode_meta
from fairlead.events.model import Asked, Error, Event, Thinking, Unknown
from fairlead.events.model import Usage as UsageEvent
from fairlead.events.pieces import Pen
from fairlead.journal.log import At, locate
from fairlead.journal.position import Position
from fairlead.journal.retention import Retention
from fairlead.policy.admission import Share
from fairlead.policy.budgets import Standing
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb
from fairlead.ports import store as ports
from fairlead.ports.audit import Audit, entry
from fairlead.ports.conversations import (
    Conversations,
)
from fairlead.ports.files import Files
from fairlead.ports.identity import Revocable
from fairlead.ports.knowledge import Knowledge, Passage
from fairlead.ports.observer import Observer
from fairlead.ports.passing import Passed, Passing
from fairlead.ports.provider import GenerationRequest
from fairlead.ports.provider import Turn as Said
from fairlead.ports.transform import Transforms
from fairlead.ports.usage import Usage
from fairlead.primitives import ID_LENGTH, is_id, keyed_id, random_id

_log = structlog.get_logger("fairlead.engine")

#: Seconds within which another node ends an answer that it was told to stop.
_STOP_ELSEWHERE = 5.0


class Engine:
    """Runs generations and serves readers on one node.

    ``secret`` (of the deployment) makes ids of idempotency keys; ``notice`` is a line for people
    about who answers, shown with each answer (empty: none). ``revocable`` knows which callers'
    credentials have ended; without it they end when they expire. ``metering`` has the budgets.
    ``shares``: of the room for generations, by consumer, where one has another than the rest.
    ``transforms``: what prompts and answers pass through, but those that are relayed.
    ``files`` knows whose the files are that upstreams keep; without it they are the upstreams'
    business. ``observers`` are told how generations go; ``audit`` is told of what somebody does to
    streams of somebody else's.
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
        revocable: Revocable | None = None,
        metering: Metering | None = None,
        shares: Mapping[str, Share] | None = None,
        transforms: Transforms | None = None,
        observers: Sequence[Observer] = (),
        audit: Audit | None = None,
        files: Files | None = None,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.store = store
        self.conversations = conversations
        self.models = models
        self.knowledge = knowledge
        self.transforms = transforms
        self.limits = limits or Limits()
        self.node = random_id(entropy(16))
        self.metering = metering or Metering(Accounts(clock=clock))
        self.draining = False
        self._secret = secret
        self._notice = notice
        self._clock = clock
        self._entropy = entropy
        self._observers = observers
        self._audit = audit
        #: Whether the store has taken the last stream that was to be created.
        self._keeps = True
        #: By stream, while somebody starts it by its idempotency key.
        self._starting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.turns = Turns(self.limits.room, shares, patience=self.limits.patience)
        self.generations = Generations(
            store,
            conversations,
            observers,
            clock,
            lambda: self.limits,
        )
        self._signals: ports.Subscription | None = None
        self._authority = Authority(clock)
        self.filed = None if files is None else Filed(files, self._authority)
        self._readers = Readers(
            store,
            self.node,
            self.limits.readers,
            self.limits.readers_each,
            clock,
            self.generations.watched,
        )
        self.vigil = Vigil(self._readers.all, self._authority, revocable)
        self.sockets = Sockets(self.vigil.others, observers, clock, entropy)
        self._pulse = Pulse(lambda: [each.course for each in self.generations.running.values()])
        self.overview = Overview(
            self._authority,
            self.generations.running,
            self._readers,
            self.turns,
            self.metering,
            store,
            self.node,
            clock,
        )
        self._upkeep = Upkeep(
            store,
            conversations,
            self._readers,
            self.node,
            retention or Retention(),
            self.limits.message_chars,
            clock,
            Resumption(
                store,
                self.generations,
                self.turns,
                self.metering,
                lambda: self.models,
                lambda: self.limits,
                clock,
                transformed=transforms is not None,
            ).resume,
        )
        self.generations.left_open = self._upkeep.left_open
        self.dialogues = Dialogues(
            conversations,
            store,
            self._authority,
            self.limits.message_chars,
            self._remove,
            self._enter,
        )

    # -- life

    async def open(self) -> None:
        """Join the store as an owner and begin the upkeep. Stores must be open already."""
        self.metering.open(self.node)
        await self._upkeep.open()
        self.vigil.open()
        self._pulse.open()
        self._signals = self.store.on_signal(self.node, self.generations.signalled)

    async def close(self) -> None:
        """End everything that runs as interrupted, and leave. Idempotent."""
        self.draining = True
        await self.interrupt_all()
        await self.metering.close()
        await self.vigil.close()
        self._pulse.close()
        await self._upkeep.close()
        if self._signals is not None:
            self._signals.cancel()
            self._signals = None
        await self._readers.close()

    async def wait_idle(self) -> None:
        """Wait until no generation runs on this node."""
        await self.generations.wait_idle()

    async def interrupt_all(self) -> None:
        """End every generation of this node as interrupted, and wait until that is durable. Those
        that another process can go on with are left to it."""
        self._upkeep.draining = True
        await self.generations.interrupt_all()

    @property
    def running(self) -> int:
        """Generations running on this node."""
        return len(self.generations.running)

    @property
    def readers(self) -> int:
        """Readers open on this node."""
        return self._readers.open

    def change(self, models: Models, limits: Limits, shares: Mapping[str, Share]) -> None:
        """Other models and limits from now on; what runs goes on as it was begun."""
        self.models = models
        self.limits = limits
        self._readers.change(limits.readers, limits.readers_each)
        self.turns.change(limits.room, shares, limits.patience)

    # -- start

    async def start(
        self, caller: Caller, ask: Ask, key: str = "", *, model: Model | None = None
    ) -> Started:
        """Start a generation, or find the one that the idempotency key began. ``model``: who
        answers, where it is none of :attr:`models`.

        Raises :class:`~fairlead.errors.BadRequest` and :class:`~fairlead.errors.TooLarge` for what
        cannot be asked, :class:`~fairlead.errors.NotFound` for a file of somebody else's,
        :class:`~fairlead.errors.Conflict` when the key was used for another question,
        :class:`~fairlead.errors.Busy` when the queue is full and
        :class:`~fairlead.errors.TooMany` when the caller's part of it is,
        :class:`~fairlead.errors.Draining` when nothing new is begun,
        :class:`~fairlead.errors.BudgetExhausted` when a budget has not enough left.
        """
        self._authority.allow(caller, Verb.START, None)
        ask = ask.checked(self.limits)
        model = model or self.models.choose(ask.model, caller)
        if self.filed is not None:
            model = await self.filed.place(caller, ask, model)
        stream = self._id(caller, key)
        if not key:
            return await self._start(caller, ask, model, stream, new=True)
        # One after the other: side by side they would keep each other from what one of them needs.
        starting = self._starting.get(stream)
        if starting is None:
            starting = self._starting[stream] = asyncio.Lock()
        async with starting:
            # Found before any limit is charged: a repetition costs nothing.
            with contextlib.suppress(NotFound):
                return self._same(await self.store.info(stream), ask)
            try:
                return await self._start(caller, ask, model, stream)
            except BudgetExhausted:
                # Another node may have begun it meanwhile, with just what is missing now.
                with contextlib.suppress(NotFound):
                    return self._same(await self.store.info(stream), ask)
                raise

    async def _start(
        self, caller: Caller, ask: Ask, model: Model, stream: str, *, new: bool = False
    ) -> Started:
        """``new``: nobody else can have begun it."""
        if self.draining:
            raise Draining("the server starts nothing new while it shuts down", retry_after=2)
        turn = self._turn(caller)
        try:
            return await self._create(caller, ask, model, stream, turn, new)
        except BudgetExhausted as error:
            self._refused(error)
            raise
        finally:
            if not turn.used:
                turn.leave()

    async def draw(self, caller: Caller, name: str, asked: bytes = b"") -> Meter:
        """Begin to count what another application says when it is asked this, on the budgets that
        hold for a model called ``name``; empty: on none. :meth:`relay`, :meth:`Meter.close` or
        :meth:`Meter.cancel` must follow. Raises as :meth:`Metering.begin`."""
        if not name:
            return await Metering(Accounts(clock=self._clock)).begin(caller, "", ())
        try:
            return await self.metering.begin(caller, name, (), None, asked)
        except BudgetExhausted as error:
            self._refused(error)
            raise

    async def relay(
        self, caller: Caller, relay: Relay, meter: Meter, key: str = ""
    ) -> ports.Created | ports.Exists:
        """Keep another application's events as a stream of the caller's, which is attached to like
        any other. ``meter`` counts them. What the idempotency key has begun already exists; then,
        and when this raises, the relay's source has not been asked, and is the caller's to close.

        Raises :class:`~fairlead.errors.Conflict`, :class:`~fairlead.errors.Draining`, and as
        :meth:`start` does where there is no room.
        """
        relayed = False
        try:
            outcome = await self._relay(caller, relay, meter, key)
            relayed = isinstance(outcome, ports.Created)
            return outcome
        finally:
            if not relayed:
                await meter.cancel()

    async def _relay(
        self, caller: Caller, relay: Relay, meter: Meter, key: str
    ) -> ports.Created | ports.Exists:
        self._authority.allow(caller, Verb.START, None)
        stream = self._id(caller, key)
        if self.draining:
            raise Draining("the server starts nothing new while it shuts down", retry_after=2)
        turn = self._turn(caller)
        try:
            await turn.wait()
            spec = relay.spec(stream, caller.consumer)
            outcome = await self.store.create(spec, writer=self.node)
            if isinstance(outcome, ports.Conflict):
                raise _conflict()
            if isinstance(outcome, ports.Created):
                generation = self.generations.begin(
                    stream, relay.meta, relay.source, None, None, meter, turn, caller
                )
                generation.created(outcome)
                shown = opening("", int(self._clock() * 1000), searching=False)
                generation.start(GenerationRequest(stream=stream, turns=()), "", shown)
            return outcome
        finally:
            if not turn.used:
                turn.leave()

    async def relayed(self, caller: Caller, request: bytes, key: str) -> ports.StreamInfo | None:
        """The stream that the idempotency key has begun for this request of another application's,
        if any. Raises :class:`~fairlead.errors.Conflict` if it was for another one."""
        self._authority.allow(caller, Verb.START, None)
        with contextlib.suppress(NotFound):
            info = await self.store.info(self._id(caller, key))
            if info.spec.fingerprint != fingerprint(request):
                raise _conflict()
            return info
        return None

    def _turn(self, caller: Caller) -> Turn:
        try:
            return self.turns.take(caller.consumer)
        except (Busy, TooMany) as error:
            self._refused(error)
            raise

    def _refused(self, error: FairleadError) -> None:
        for observer in self._observers:
            observer.refused(error.code, str(error.details.get("budget", "")))

    async def pass_on(
        self, caller: Caller, name: str, path: str, fields: dict[str, msgspec.Raw], text: str
    ) -> Passed:
        """Pass a request about ``text`` to the upstream of a model; nothing of it is kept. It takes
        the room of an answer, and is charged for the tokens it reads.

        Raises as :meth:`start` does, and what the upstream's failures are.
        """
        self._authority.allow(caller, Verb.START, None)
        model = self.models.choose(name, caller)
        if not isinstance(model.provider, Passing):
            raise BadRequest(f"{model.name!r} has no upstream that this could be passed to")
        if self.draining:
            raise Draining("the server starts nothing new while it shuts down", retry_after=2)
        turn = self._turn(caller)
        try:
            await turn.wait()
            meter = await self.metering.begin(caller, model.name, (Said("user", text),))
            code = "interrupted"
            try:
                await meter.asked(())
                passed = await model.provider.pass_on(path, fields, model.upstream_name)
                code = ""
                if passed.input_tokens is not None:
                    at = int(self._clock() * 1000)
                    await meter.settle(UsageEvent(at, passed.input_tokens, model=model.name))
            except FairleadError as error:
                code = error.code
                raise
            finally:
                await meter.close(code)
            return passed
        finally:
            turn.leave()

    def _id(self, caller: Caller, key: str) -> str:
        """The id of a stream that the caller starts."""
        if not key:
            return random_id(self._entropy(16))
        if len(key) > MAX_NAME or not key.isascii() or not key.isprintable():
            raise BadRequest(
                f"an idempotency key must be at most {MAX_NAME} printable ASCII characters"
            )
        return keyed_id(self._secret, caller.consumer, key)

    async def write(self, caller: Caller, ask: Ask, key: str = "", name: str = "program") -> Output:
        """Start an answer that the calling program writes itself, called ``name`` as its provider.

        Raises what :meth:`start` raises, and :class:`~fairlead.errors.Conflict` (``stream`` in its
        details) when the idempotency key has begun it already: nothing is written twice.
        """
        source = Handed(name)
        started = await self.start(caller, ask, key, model=Model(name, source, searches=False))
        generation = self.generations.running.get(started.stream)
        if not started.created:
            raise Conflict(
                "this idempotency key has begun its answer already", stream=started.stream
            )
        if generation is None:
            raise Interrupted("the answer ended before anything was written")
        return Output(generation, source, Pen(lambda: int(self._clock() * 1000)))

    async def _create(
        self, caller: Caller, ask: Ask, model: Model, stream: str, turn: Turn, new: bool
    ) -> Started:
        now = self._clock()
        if ask.turns:
            placed = given(ask, model.provider, self.limits)
            if ask.kept is not None:
                placed = await kept(
                    self.conversations,
                    ask,
                    placed,
                    stream=stream,
                    owner=caller.consumer,
                    now=now,
                )
        else:
            placed = await exchange(
                self.conversations,
                ask,
                model.provider,
                stream=stream,
                owner=caller.consumer,
                now=now,
                limits=self.limits,
            )
        window = self.limits.orphan_window if ask.orphan_window is None else ask.orphan_window
        meta = GenerationMeta(
            provider=model.provider.name,
            model=model.name,
            notice=self._notice,
            conversation=placed.conversation_id,
            question=placed.question_id,
            message=placed.answer_id,
            orphan_window=None if ask.background else window,
        )
        searches = model.searches if ask.vendor is None else model.searches_for_vendors
        knowledge = self.knowledge if searches else None
        at = int(now * 1000)
        shown = opening(placed.question, at, searching=knowledge is not None)
        first = queued(placed.question, at, turn.place) if turn.place else shown
        before: list[Asked | Thinking] = [first]
        if ask.asked is not None:
            before.insert(0, msgspec.structs.replace(ask.asked, at=at))
        spec = ports.StreamSpec(
            id=stream,
            owner=caller.consumer,
            content_type=CONTENT_TYPE,
            fingerprint=ask.fingerprint(),
            meta=encode_meta(meta),
        )
        # Before anything is created: a question that cannot be paid for leaves no trace.
        body = b"" if ask.vendor is None else ask.vendor.body
        meter = await self.metering.begin(caller, model.name, placed.turns, ask.parameters, body)

        def begin() -> Generation:
            generation = self.generations.begin(
                stream, meta, model.provider, knowledge, self.transforms, meter, turn, caller
            )
            for event in before:
                generation.writer.follow(event)
            generation.start(
                GenerationRequest(
                    stream=stream,
                    turns=placed.turns,
                    model=model.upstream_name,
                    parameters=ask.parameters,
                    headers=generation.course.headers,
                    conversation=placed.conversation_id,
                    vendor=ask.vendor,
                ),
                placed.question,
                shown,
            )
            return generation

        # The provider is asked while the stream is being created, if nobody else can have begun it
        # (nobody is asked twice for one idempotency key), nothing is to come before the provider's
        # events, and the store took the last one.
        ahead = new and knowledge is None and self.transforms is None and self._keeps
        generation = begin() if ahead else None
        try:
            records = [encode(event) for event in before]
            outcome = await self.store.create(spec, writer=self.node, records=records)
        except BaseException as error:
            self._keeps = not isinstance(error, FairleadError)
            await (meter.cancel() if generation is None else generation.void())
            raise
        self._keeps = True
        if not isinstance(outcome, ports.Created):
            await (meter.cancel() if generation is None else generation.void())
            if isinstance(outcome, ports.Conflict):
                raise _conflict()
            return self._same(outcome.info, ask)
        if generation is None:
            generation = begin()
        generation.created(outcome)
        # Beside the provider's first work, not before it; but known before the caller is told.
        await self._remember(generation, placed)
        return Started(stream, meta, outcome.info, created=True)

    async def _remember(self, generation: Generation, placed: Exchange) -> None:
        if placed.conversation is None:
            return
        try:
            await self.conversations.put(placed.conversation, placed.messages, placed.attachments)
        except FairleadError as error:
            generation.interrupt(error)
            raise

    def _same(self, info: ports.StreamInfo, ask: Ask) -> Started:
        if info.spec.fingerprint != ask.fingerprint():
            raise _conflict()
        return Started(info.spec.id, decode_meta(info.meta), info, created=False)

    async def interrupt(
        self, caller: Caller, stream: str, shown: Position | None, ask: Ask, key: str = ""
    ) -> Started:
        """Stop an answer and ask on, in one act.

        ``shown`` is where the reader stood: the dialogue goes on from the answer's text up to
        there, while its stream keeps everything. Done twice, the second does nothing but find what
        the first began (by ``key``, else by the stream). Raises as :meth:`stop` and :meth:`start`.
        """
        info = await self._info(caller, Verb.STOP, stream)
        meta = decode_meta(info.meta)
        if not meta.conversation:
            raise BadRequest("this answer belongs to no conversation that could go on")
        ask = msgspec.structs.replace(ask, conversation=meta.conversation, parent=meta.message)
        ask = ask.checked(self.limits)
        stopped = await self.stop(caller, stream)
        if stopped.answer.status == "running":
            await self._closed(stream)
            stopped = await snapshot(self.store, info)
        # By whoever wrote it, it may not be in its message yet.
        await settle(self.conversations, meta, stopped.answer)
        chars = await self._shown(stream, shown)
        await self.conversations.show(meta.message, chars)
        return await self.start(caller, ask, key or f"interrupt {stream}")

    async def _closed(self, stream: str) -> None:
        """Wait until another node has closed the stream, as it was told to."""
        news = asyncio.Event()
        watch = self.store.watch(stream, news.set)
        try:
            async with asyncio.timeout(_STOP_ELSEWHERE):
                while not (await self.store.info(stream)).head.closed:
                    await news.wait()
                    news.clear()
        except TimeoutError:
            raise Busy(
                "the node that writes this answer did not stop in time", retry_after=1
            ) from None
        finally:
            watch.cancel()

    async def _shown(self, stream: str, shown: Position | None) -> int:
        """How many characters of the answer a reader at ``shown`` had seen."""
        if shown is None:
            return 0
        place = locate((await self.store.info(stream)).head, shown)
        if not isinstance(place, At):
            raise BadPosition("'shown' is no position of this answer")
        answer, _, _ = await add_up(self.store, stream, before=place.offset)
        return len(answer.text)

    # -- stop

    async def stop(self, caller: Caller, stream: str) -> Snapshot:
        """End the generation as stopped, from wherever it runs; what was written stays. Idempotent.

        The snapshot tells how it ended; it is still ``running`` where another node has yet to
        hear of it.
        """
        info = await self._info(caller, Verb.STOP, stream)
        await self._enter(caller, "stream.stopped", stream, info.spec.owner)
        generation = self.generations.running.get(stream)
        if generation is not None:
            generation.stop("stop")
            await generation.wait()
        elif not info.head.closed:
            await self.store.signal(stream, "stop")
        return await snapshot(self.store, await self.store.info(stream))

    async def stop_socket(self, caller: Caller, socket: str) -> None:
        """Close a socket of this node that is passed on, whosever it is. Raises
        :class:`~fairlead.errors.NotFound`, also for those who may not oversee."""
        self.overview.allow(caller)
        owner = self.sockets.stop(socket).consumer
        await self._enter(caller, "socket.stopped", socket, owner)

    async def _enter(self, caller: Caller, action: str, target: str, owner: str) -> None:
        """Enter into the audit log what somebody does to a thing of another one's."""
        if self._audit is not None and caller.consumer != owner:
            await self._audit.add(entry(caller, self._clock(), action, target, consumer=owner))

    # -- read

    async def attach(
        self,
        caller: Caller,
        stream: str,
        after: Position | None,
        wire: WireFactory[W],
        *,
        shown: int = 0,
    ) -> Reader[W]:
        """A reader of the stream from after a position on (None: from the start), or from after
        the first ``shown`` frames, where the wire numbers them.

        :meth:`detach` must follow. Raises :class:`~fairlead.errors.NotFound`,
        :class:`~fairlead.errors.HistoryGone` when retention took what comes next, and
        :class:`~fairlead.errors.Busy` at the cap of readers. A position whose records the store
        lost is served a ``reset`` with the text so far.
        """
        self._readers.admit(caller.consumer)
        try:
            info = await self._info(caller, Verb.ATTACH, stream)
            return await self._readers.attach(caller, info, after, wire, shown)
        except BaseException:
            self._readers.leave(caller.consumer)
            raise

    async def start_and_attach(
        self, caller: Caller, ask: Ask, key: str, wire: WireFactory[W]
    ) -> Reader[W]:
        """:meth:`start`, and :meth:`attach` from the start: the reader's room is taken first, so
        that a question whose answer could not be read is not begun."""
        self._readers.admit(caller.consumer)
        try:
            started = await self.start(caller, ask, key)
            self._authority.allow(caller, Verb.ATTACH, started.info.spec.owner)
            return await self._readers.attach(caller, started.info, None, wire)
        except BaseException:
            self._readers.leave(caller.consumer)
            raise

    async def begun(self, stream: str, patience: float) -> Error | None:
        """Wait until there is something of the answer that a reader of the caller's waits for,
        ``patience`` seconds at most; the error, if it has ended with one before that."""
        return await beginning(self.store, stream, patience)

    def detach(self, reader: Reader[Any], *, due: float = 0.0) -> None:
        """The reader has gone. The generation goes on. A poller counts as watching until its next
        poll is due, in ``due`` seconds."""
        self._readers.detach(reader, lingers=due > 0)
        generation = self.generations.running.get(reader.live.stream)
        if due and generation is not None:
            generation.seen(due)

    async def renew(self, caller: Caller, stream: str, name: str) -> int:
        """Let the caller's readers of the stream on this node that are called ``name`` go on under
        the authority of ``caller``: the same consumer's, by a fresh credential. How many they are.

        Raises :class:`~fairlead.errors.NotFound` if the caller may not read the stream.
        """
        await self._info(caller, Verb.READ, stream)
        renewed = 0
        for reader in self._readers.of(stream):
            facts = reader.caller.facts
            if reader.caller.consumer == caller.consumer and facts.reader == name:
                reader.caller = msgspec.structs.replace(caller, facts=facts)
                renewed += 1
        return renewed

    async def read(self, caller: Caller, stream: str) -> Snapshot:
        """The answer so far, as a whole."""
        info = await self._info(caller, Verb.READ, stream)
        generation = self.generations.running.get(stream)
        if generation is not None:
            generation.seen()
        return await snapshot(self.store, info)

    async def replay(
        self,
        caller: Caller,
        stream: str,
        add: Callable[[Event | Unknown], None],
        *,
        first: bool = False,
    ) -> None:
        """Give ``add`` all events of a stream so far, or the first one alone."""
        await self._info(caller, Verb.READ, stream)
        generation = self.generations.running.get(stream)
        if generation is not None:
            generation.seen()
        await replay(self.store, stream, add, first=first)

    async def info(self, caller: Caller, stream: str) -> ports.StreamInfo:
        """What is known of a stream, without its records."""
        return await self._info(caller, Verb.READ, stream)

    async def streams(self, caller: Caller, cursor: str | None, limit: int) -> ports.Page:
        """The caller's streams, newest first."""
        self._authority.allow(caller, Verb.LIST, None)
        return await self.store.page(caller.consumer, cursor, limit)

    async def size(self, caller: Caller) -> ports.StoreSize:
        """How much the store holds, of everyone's."""
        self._authority.allow(caller, Verb.READ, "")
        return await self.store.size()

    async def delete(self, caller: Caller, stream: str) -> None:
        """Remove a stream; a running one is stopped first."""
        info = await self._info(caller, Verb.DELETE, stream)
        await self._enter(caller, "stream.deleted", stream, info.spec.owner)
        await self._remove(stream)

    def standings(self, stream: str) -> tuple[Standing, ...]:
        """How the budgets stood that an answer is charged to which runs on this node, when they
        were last asked."""
        generation = self.generations.running.get(stream)
        return () if generation is None else generation.meter.standings

    async def budgets(
        self, caller: Caller, others: Sequence[str] = ()
    ) -> list[tuple[str, Standing]]:
        """How each budget stands that the caller's questions are charged to, with the model that it
        is counted for, where each has its own. ``others`` are counted as models are."""
        self._authority.allow(caller, Verb.READ, None)
        names = [*(model.name for model in self.models.all), *others]
        return await self.metering.standings(caller, names)

    async def usage(self, caller: Caller, since: str, until: str) -> list[Usage]:
        """What the caller used, day by day, from one day up to another (``2026-11-20``), both
        included."""
        self._authority.allow(caller, Verb.READ, None)
        return await self.metering.usage(caller.consumer, since, until)

    async def passage(self, caller: Caller, id: str, around: int = 0) -> Passage:
        """A passage that an answer cited, with up to ``around`` characters before and after it."""
        self._authority.allow(caller, Verb.READ, None)
        if self.knowledge is None:
            raise NotFound("this server has no knowledge base")
        return await self.knowledge.passage(id, around)

    async def _remove(self, stream: str) -> None:
        generation = self.generations.running.get(stream)
        if generation is not None:
            generation.stop("deleted")
            await generation.wait()
        self._readers.end(stream, NotFound("the stream was deleted"))
        with contextlib.suppress(NotFound):
            await self.store.delete(stream)

    async def _info(self, caller: Caller, verb: Verb, stream: str) -> ports.StreamInfo:
        if not is_id(stream):
            raise NotFound(
                f"there is no such stream; an id has {ID_LENGTH} characters of 0-9 and a-z"
            )
        info = self.generations.info(stream) or await self.store.info(stream)
        self._authority.allow(caller, verb, info.spec.owner)
        return info


def _conflict() -> Conflict:
    return Conflict(
        "this idempotency key was used for another question; use a new key for a new question"
    )
