"""The vigil: authority lasts as long as it lasts, however long something has been open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec
import structlog

from fairlead.engine.authority import Authority
from fairlead.errors import FairleadError, Unauthenticated
from fairlead.policy.caller import Caller
from fairlead.ports.identity import Revocable

_log = structlog.get_logger("fairlead.engine")

#: Seconds between two looks. What has ended is cut off within this, and what the look itself takes.
PERIOD = 1.5
#: So many holders are looked at in one go: others must not wait for all of a hundred thousand.
_AT_ONCE = 2000


class Holder(Protocol):
    """What is open under a caller's authority, which may be renewed at any time. ``end`` may be
    asked twice."""

    caller: Caller

    def end(self, failure: FairleadError) -> None:
        """It is over; ``failure`` tells why."""
        ...


class Vigil:
    """Ends what is open under an authority that has expired or was revoked.

    ``readers`` gives the readers of this node. What else is open is to be in :attr:`others` for as
    long as it is.
    """

    def __init__(
        self,
        readers: Callable[[], Iterable[Holder]],
        authority: Authority,
        revocable: Revocable | None,
    ) -> None:
        self.others: set[Holder] = set()
        self._readers = readers
        self._authority = authority
        self._revocable = revocable
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="vigil")

    async def close(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        """Look once at everything that is open."""
        credentials: set[str] = set()
        expired: list[Holder] = []
        for number, holder in enumerate(self._holders()):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            caller = holder.caller
            if self._authority.expired(caller):
                expired.append(holder)
            elif caller.credential:
                credentials.add(caller.credential)
        for holder in expired:
            if self._authority.expired(holder.caller):  # it may have been renewed meanwhile
                holder.end(Unauthenticated("the credential has expired"))
        if credentials and self._revocable is not None:
            self._end(await self._revocable.ended(credentials))

    def renew(self, caller: Caller, name: str) -> int:
        """Let what is open of the caller's consumer and calls itself ``name`` go on under the
        authority of ``caller``, unless that allows less; how much that was."""
        renewed = 0
        for holder in self._holders():
            before = holder.caller
            if before.consumer != caller.consumer or before.facts.reader != name:
                continue
            if before.scopes <= caller.scopes:
                holder.caller = msgspec.structs.replace(caller, facts=before.facts)
                renewed += 1
        return renewed

    def review(self, judge: Callable[[Caller], FairleadError | None]) -> int:
        """End what is open of callers whom ``judge`` lets stay no longer; how much that was."""
        gone = [(holder, why) for holder in self._holders() if (why := judge(holder.caller))]
        for holder, why in gone:
            holder.end(why)
        return len(gone)

    def _end(self, ended: Mapping[str, Unauthenticated]) -> None:
        if not ended:
            return
        for credential, why in ended.items():
            _log.info("authority_ended", credential=credential, code=why.code)
        for holder in self._holders():
            if holder.caller.credential in ended:
                holder.end(ended[holder.caller.credential])

    def _holders(self) -> list[Holder]:
        return [*self._readers(), *self.others]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.look()
            except FairleadError as error:
                _log.error("vigil_failed", code=error.code, error=error.message)
