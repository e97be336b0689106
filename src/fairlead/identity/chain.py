"""All ways to be known, one behind the other: the shape of a credential decides who is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

import structlog

from fairlead.errors import FairleadError, Unauthenticated
from fairlead.identity import client_secrets, sessions, stored_keys, tickets
from fairlead.identity.introspection import KIND as TOKEN
from fairlead.identity.introspection import Introspection
from fairlead.identity.jwt import KIND as JWT
from fairlead.identity.jwt import MAX_TOKEN, JwtIdentity, has_shape
from fairlead.identity.static_keys import StaticKeys
from fairlead.policy.caller import ANONYMOUS, Caller
from fairlead.ports.identity import Identity, Revocable

_log = structlog.get_logger("fairlead.identity")


#: Names the caller who holds a credential; None: somebody else may know.
Recognise = Callable[[str], Awaitable[Caller | None]]
#: What callers' credentials begin with whom a plugin named; then comes its name and a colon.
PLUGIN = "plugin:"


class Ways(NamedTuple):
    """What the configuration says of callers. ``anonymous`` is who asks without any credential, and
    counts only while no key was ever made; None: everybody needs one. ``plugins``, by name, are
    asked whose credential it is that is neither Fairlead's own nor a key of the configuration."""

    static: StaticKeys
    jwt: JwtIdentity | None = None
    introspection: Introspection | None = None
    anonymous: Caller | None = None
    plugins: Mapping[str, Recognise] = MappingProxyType({})


class Chain:
    """Implements :class:`~fairlead.ports.identity.Identity` and
    :class:`~fairlead.ports.identity.Revocable`.

    What Fairlead issued says so itself (``flk_``, ``flt_``, ``fls_``, ``ek_``). Anything else is a
    token of the issuer where it looks like one, a key of the configuration, or a token to be asked
    about.
    """

    def __init__(
        self,
        *,
        stored: stored_keys.StoredKeys,
        sessions: sessions.SessionIdentity,
        tickets: tickets.TicketIdentity,
        secrets: client_secrets.ClientSecrets,
        ways: Ways,
    ) -> None:
        self.ways = ways
        self._stored = stored
        self._sessions = sessions
        self._tickets = tickets
        self._secrets = secrets

    def change(self, ways: Ways) -> None:
        """What another configuration says, from now on."""
        old, self.ways = self.ways, ways
        if ways.introspection is not None and old.introspection is not None:
            ways.introspection.take_over(old.introspection)

    async def close(self) -> None:
        """End what is under way."""
        if self.ways.introspection is not None:
            await self.ways.introspection.close()

    async def any_stored(self) -> bool:
        """Whether a key was ever made here."""
        return await self._stored.any()

    @property
    def _revocable(self) -> list[Revocable]:
        static, jwt, introspection, _, _ = self.ways
        ways = (self._stored, self._sessions, static, jwt, introspection)
        return [way for way in ways if way is not None]

    async def identify(self, credential: str | None) -> Caller:
        """The caller whom the one who knows such credentials names.

        Where nobody needs one, a credential is passed over: clients of vendors' APIs always send
        one.
        """
        anonymous = await self._nobody_needs_one(credential or "")
        if anonymous is not None:
            return anonymous
        if not credential:
            raise Unauthenticated(
                "a credential is needed: send an API key or token in the header "
                "Authorization: Bearer <credential>"
            )
        if len(credential) > MAX_TOKEN:
            raise Unauthenticated("the credential is longer than any that this server knows")
        known = self._who_knows(credential)
        if known not in (self._stored, self._sessions, self._tickets, self._secrets):
            if self.ways.plugins and self.ways.static.find(credential) is None:
                for recognise in self.ways.plugins.values():
                    caller = await recognise(credential)
                    if caller is not None:
                        return caller
        return await known.identify(credential)

    async def _nobody_needs_one(self, credential: str = "") -> Caller | None:
        """Who everybody is, where nobody needs a credential."""
        if self.ways.anonymous is None or await self._stored.any(credential):
            return None
        return self.ways.anonymous

    def _who_knows(self, credential: str) -> Identity:
        match credential[:4]:
            case stored_keys.PREFIX:
                return self._stored
            case sessions.PREFIX:
                return self._sessions
            case tickets.PREFIX:
                return self._tickets
        if client_secrets.is_secret(credential):
            return self._secrets
        static, jwt, introspection, _, _ = self.ways
        if jwt is not None and has_shape(credential):
            return jwt
        if introspection is not None and static.find(credential) is None:
            return introspection
        return static

    async def ended(self, credentials: Collection[str]) -> dict[str, Unauthenticated]:
        """Which of the credentials have ended, by those who named their callers."""
        found: dict[str, Unauthenticated] = {}
        if ANONYMOUS.credential in credentials and await self._nobody_needs_one() is None:
            found[ANONYMOUS.credential] = Unauthenticated("a credential is needed from now on")
        answers = await asyncio.gather(
            *(one.ended(credentials) for one in self._revocable), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, FairleadError):
                # What the others know must not wait for it.
                _log.error("ends_not_known", code=answer.code, error=answer.message)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.update(answer)
        for kind, way in ((JWT, self.ways.jwt), (TOKEN, self.ways.introspection)):
            if way is None:
                why = Unauthenticated("tokens of this kind are not taken here any more")
                found |= {one: why for one in credentials if one.startswith(kind)}
        for one in credentials:
            if one.startswith(PLUGIN) and one.split(":")[1] not in self.ways.plugins:
                found[one] = Unauthenticated("credentials of this kind are not taken any more")
        return found
