"""Identity by the session cookie of somebody who has logged in with a browser."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection

from fairlead.errors import Revoked, Unauthenticated
from fairlead.identity.stored_keys import digest
from fairlead.policy.caller import Caller
from fairlead.ports.sessions import Session, Sessions
from fairlead.primitives import base32

PREFIX = "fls_"
#: What callers' credentials begin with that are sessions.
KIND = "session:"

_TEXT = re.compile(r"fls_[0-9a-z]{52}")


class SessionIdentity:
    """Implements :class:`~fairlead.ports.identity.Identity` for session cookies, and
    :class:`~fairlead.ports.identity.Revocable`.

    ``rule`` names the rules that logins are judged by now: a session that was begun under others
    has ended. None: nobody logs in here, and no session is good.
    """

    rule: str | None = ""

    def __init__(
        self,
        sessions: Sessions,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._entropy = entropy

    async def begin(self, caller: Caller, seconds: float) -> str:
        """A session of ``caller``, which lasts for ``seconds``; the cookie's text. Each login makes
        a new one: a cookie that somebody planted before is worth nothing."""
        text = PREFIX + base32(self._entropy(32))
        now = self._clock()
        session = Session(
            id=(self.rule or "") + base32(self._entropy(10)),
            consumer=caller.consumer,
            scopes=caller.scopes,
            claims=caller.claims,
            created=now,
            expires_at=now + seconds,
        )
        await self._sessions.begin(session, digest(text))
        return text

    async def end(self, caller: Caller) -> None:
        """End the session that the caller came with, if it is one."""
        if caller.credential.startswith(KIND):
            await self._sessions.end(caller.credential.removeprefix(KIND))

    async def identify(self, credential: str | None) -> Caller:
        """The caller whose session it is."""
        text = credential or ""
        found = await self._sessions.find(digest(text)) if _TEXT.fullmatch(text) else None
        if found is None or not self._good(found.id):
            raise Unauthenticated("the session has ended: log in again")
        return Caller(
            found.consumer,
            scopes=found.scopes,
            expires_at=found.expires_at,
            credential=KIND + found.id,
            claims=found.claims,
        )

    async def ended(self, credentials: Collection[str]) -> dict[str, Unauthenticated]:
        """Which of the credentials are sessions that have ended."""
        ids = {one.removeprefix(KIND) for one in credentials if one.startswith(KIND)}
        good = {id for id in ids if self._good(id)}
        alive = await self._sessions.alive(good) if good else set()
        return {KIND + id: Revoked("the session has ended: log in again") for id in ids - alive}

    def _good(self, id: str) -> bool:
        return self.rule is not None and id.startswith(self.rule)
