"""Going on with answers whose writers have gone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec
import structlog

from fairlead.engine.generations import Generations, opening
from fairlead.engine.limits import Limits
from fairlead.engine.metering import Metering
from fairlead.engine.models import Models
from fairlead.engine.resuming import unfinished
from fairlead.engine.turns import Turn, Turns
from fairlead.errors import Busy, FairleadError, TooMany
from fairlead.events.codec import CONTENT_TYPE
from fairlead.events.meta import decode_meta
from fairlead.policy.caller import Caller
from fairlead.ports.provider import GenerationRequest
from fairlead.ports.store import Acquired, Created, Store

_log = structlog.get_logger("fairlead.engine")


class Resumption:
    """Has the providers of this node go on with what other processes have left. ``transformed``:
    answers pass through transforms."""

    def __init__(
        self,
        store: Store,
        generations: Generations,
        turns: Turns,
        metering: Metering,
        models: Callable[[], Models],
        limits: Callable[[], Limits],
        clock: Callable[[], float],
        *,
        transformed: bool,
    ) -> None:
        self._store = store
        self._generations = generations
        self._turns = turns
        self._metering = metering
        self._models = models
        self._limits = limits
        self._clock = clock
        self._transformed = transformed

    async def resume(self, stream: str, acquired: Acquired) -> bool:
        """Go on with an answer that has lost its writer, if its provider can. The stream has been
        acquired."""
        info = await self._store.info(stream)
        if self._transformed or info.spec.content_type != CONTENT_TYPE:
            return False  # what came out of transforms cannot be compared with what goes in
        rest = await unfinished(self._store, stream, self._limits().message_chars)
        found = None if rest is None else self._models().resuming(rest.mark)
        if rest is None or found is None:
            return False
        provider, resuming = found
        meta = decode_meta(info.meta)
        caller = Caller(info.spec.owner)
        name = rest.answer.model or meta.model
        try:
            meter = await self._metering.begin(caller, name, (), before=rest.output)
        except FairleadError as error:
            _log.warning("generation_not_resumed", stream=stream, code=error.code)
            await resuming.forsake(rest.mark)
            return False
        created = Created(msgspec.structs.replace(info, head=acquired.head), acquired.epoch)
        generation = self._generations.begin(
            stream,
            meta,
            provider,
            None,
            None,
            meter,
            self._turn_again(caller),
            caller,
            rest,
            resuming,
            info.created,
        )
        generation.created(created)
        first = opening("", int(self._clock() * 1000), searching=False)
        _log.info("generation_resumed", stream=stream, upstream=rest.mark.upstream)
        generation.start(
            GenerationRequest(
                stream=stream,
                turns=(),
                headers=generation.course.headers,
                conversation=meta.conversation,
            ),
            "",
            first,
        )
        if info.signal == "stop":
            generation.stop("stop")
        return True

    def _turn_again(self, caller: Caller) -> Turn:
        """The turn of an answer that had its turn already: it waits for none."""
        with contextlib.suppress(Busy, TooMany):
            turn = self._turns.take(caller.consumer)
            if turn.place == 0:
                return turn
            turn.leave()
        return self._turns.beside()
