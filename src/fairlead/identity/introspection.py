"""Identity by opaque tokens of an OAuth 2.0 server, which is asked about each (RFC 7662)."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec
import structlog

from fairlead.errors import IdentityUnavailable, Revoked, Unauthenticated
from fairlead.identity.claims import ClaimRules
from fairlead.policy.caller import Caller
from fairlead.primitives import base32

_log = structlog.get_logger("fairlead.identity")

#: What callers' credentials begin with that are tokens which can be asked about.
KIND = "token:"
#: Longer tokens are refused unread.
MAX_TOKEN = 16_384
#: Bad tokens remembered at once.
_BAD = 10_000
#: Seconds that those who look after open streams wait for answers; later ones count next time.
_PATIENCE = 1.0


class IntrospectionRules(msgspec.Struct, frozen=True, kw_only=True):
    """``cache``: seconds for which an answer is used for further requests. ``recheck``: seconds
    after which a token is asked about again while something is open under it. ``stale``: seconds
    for which that goes on while the server does not answer. ``audiences``, ``issuer``: what the
    answer must name, if any. ``remembered``: tokens known at once."""

    claims: ClaimRules
    cache: float = 3.0
    recheck: float = 2.0
    stale: float = 30.0
    issuer: str = ""
    audiences: frozenset[str] = frozenset()
    remembered: int = 10_000


class _Known:
    """A token that was good when last asked about; ``caller`` None: it is not any more."""

    __slots__ = ("asked", "asking", "caller", "confirmed", "token")

    def __init__(self, token: str, caller: Caller, now: float) -> None:
        self.token = token
        self.caller: Caller | None = caller
        self.asked = self.confirmed = now
        self.asking: asyncio.Task[None] | None = None


class Introspection:
    """Implements :class:`~fairlead.ports.identity.Identity` and
    :class:`~fairlead.ports.identity.Revocable`.

    ``ask(token)`` gives the server's answer, decoded. Tokens are kept in memory while they are
    good, since they must be shown to the server again; never anywhere else.
    """

    def __init__(
        self,
        rules: IntrospectionRules,
        ask: Callable[[str], Awaitable[Any]],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._ask = ask
        self._clock = clock
        self._now = monotonic
        self._good: OrderedDict[str, _Known] = OrderedDict()
        self._bad: OrderedDict[str, float] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Caller]] = {}

    async def identify(self, credential: str | None) -> Caller:
        """The caller whom the server names. Raises
        :class:`~fairlead.errors.IdentityUnavailable` while it does not answer."""
        token = credential or ""
        if not token or len(token) > MAX_TOKEN:
            raise Unauthenticated("the token is missing, or longer than any that is taken here")
        id = _id(token)
        known = self._good.get(id)
        if known is not None and self._now() - known.asked < self._rules.cache:
            if known.caller is None:
                raise _inactive()
            if known.caller.expires_at is None or self._clock() < known.caller.expires_at:
                return known.caller
        refused = self._bad.get(id)
        if refused is not None and self._now() - refused < self._rules.cache:
            raise _inactive()
        # Those who come with the same token meanwhile wait for the same answer. Each may be
        # cancelled without harm to the others.
        asking = self._asking.get(id)
        if asking is None:
            asking = self._asking[id] = asyncio.create_task(self._learn(id, token))
            asking.add_done_callback(lambda done: self._asked(id, done))
        return await asyncio.shield(asking)

    async def ended(self, credentials: Collection[str]) -> dict[str, Unauthenticated]:
        """Which of the credentials are tokens that are not good any more."""
        ours = [one for one in credentials if one.startswith(KIND)]
        tasks = {task for id in ours if (task := self._recheck(id)) is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE)
        ended: dict[str, Unauthenticated] = {}
        for id in ours:
            known = self._good.get(id)
            if known is None:
                ended[id] = Unauthenticated("the token is known no more: send it again")
            elif known.caller is None:
                ended[id] = Revoked("the token has been revoked, or has expired")
            elif self._now() - known.confirmed > self._rules.stale + self._rules.recheck:
                ended[id] = Unauthenticated(
                    "the server that issued the token has not confirmed it for "
                    f"{self._rules.stale:g} s"
                )
        return ended

    def take_over(self, other: Introspection) -> None:
        """Know the tokens that another one knew by other rules; each is asked about anew when it is
        next looked at."""
        if other is self:
            return
        for id, known in other._good.items():
            if known.caller is not None:
                fresh = _Known(known.token, known.caller, known.confirmed)
                fresh.asked = -math.inf
                self._good[id] = fresh

    async def close(self) -> None:
        """End what is under way."""
        tasks: list[asyncio.Task[Any]] = [*self._asking.values()]
        tasks += [known.asking for known in self._good.values() if known.asking is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _learn(self, id: str, token: str) -> Caller:
        try:
            caller = await self._introspect(id, token)
        except Unauthenticated:
            _remember(self._bad, id, self._now(), _BAD)
            known = self._good.get(id)
            if known is not None:
                known.caller, known.asked = None, self._now()
            raise
        self._bad.pop(id, None)
        known = self._good.get(id)
        if known is None:
            known = _Known(token, caller, self._now())
        known.caller = caller
        known.asked = known.confirmed = self._now()
        _remember(self._good, id, known, self._rules.remembered)
        return caller

    def _asked(self, id: str, done: asyncio.Task[Caller]) -> None:
        self._asking.pop(id, None)
        if not done.cancelled():
            done.exception()  # somebody may have waited for it, or nobody any more

    def _recheck(self, id: str) -> asyncio.Task[None] | None:
        """Ask about a token again if that is due; the task that does."""
        known = self._good.get(id)
        if known is None:
            return None
        self._good.move_to_end(id)  # it is in use
        due = self._now() - known.asked >= self._rules.recheck
        if known.asking is None and known.caller is not None and due:
            known.asking = asyncio.create_task(self._confirm(id, known))
        return known.asking

    async def _confirm(self, id: str, known: _Known) -> None:
        try:
            await self._learn(id, known.token)
        except Unauthenticated:
            pass  # and so it is noted
        except IdentityUnavailable as error:
            known.asked = self._now()
            _log.warning("token_not_confirmed", error=error.message)
        finally:
            known.asking = None

    async def _introspect(self, id: str, token: str) -> Caller:
        answer = await self._ask(token)
        # Section 2.2: of an inactive token nothing more is said.
        if not isinstance(answer, dict) or answer.get("active") is not True:
            raise _inactive()
        rules = self._rules
        if rules.issuer and answer.get("iss", rules.issuer) != rules.issuer:
            raise Unauthenticated("the token is of another issuer than this server's")
        if rules.audiences:
            named = answer.get("aud")
            given = named if isinstance(named, list) else [named]
            if not rules.audiences.intersection(one for one in given if isinstance(one, str)):
                raise Unauthenticated("the token is for another audience than this server")
        expires = answer.get("exp")
        expires_at = float(expires) if isinstance(expires, int | float) else None
        if expires_at is not None and self._clock() >= expires_at:
            raise _inactive()
        return rules.claims.caller(answer, credential=id, expires_at=expires_at)


def _inactive() -> Unauthenticated:
    return Unauthenticated("the token is not known, has expired or was revoked; get a fresh one")


def _id(token: str) -> str:
    return KIND + base32(hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest())[:20]


def _remember(into: OrderedDict[str, Any], id: str, what: Any, most: int) -> None:
    into[id] = what
    into.move_to_end(id)
    if len(into) > most:
        into.popitem(last=False)
