"""The shape of a credential decides who is asked about it."""

from __future__ import annotations

import hashlib
import os
from typing import Any, cast

import pytest

from fairlead.errors import StoreUnavailable, Unauthenticated
from fairlead.identity.chain import Chain, Ways
from fairlead.identity.client_secrets import ClientSecrets
from fairlead.identity.introspection import KIND as TOKEN
from fairlead.identity.own import OwnIdentity
from fairlead.identity.sessions import SessionIdentity
from fairlead.identity.static_keys import StaticKey, StaticKeys
from fairlead.identity.stored_keys import FRESH, StoredKeys, digest, new_key
from fairlead.identity.tickets import TicketIdentity
from fairlead.policy.caller import ALL_SCOPES, ANONYMOUS, Caller
from fairlead.ports.keys import StoredKey
from fairlead.stores.memory_keys import MemoryKeys
from fairlead.stores.memory_sessions import MemorySessions
from fairlead.stores.memory_tickets import MemoryTickets
from fairlead.testing.clock import Clock


class Names:
    """Stands for who knows tokens of some kind: names the caller after itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def identify(self, credential: str | None) -> Caller:
        return Caller(self.name, credential=f"{self.name}:1")

    async def ended(self, credentials: Any) -> dict[str, Unauthenticated]:
        return {f"{self.name}:1": Unauthenticated("over")}


class Kit:
    def __init__(self, **doors: Any) -> None:
        self.clock = Clock()
        self.keys = MemoryKeys(self.clock)
        kept = MemoryTickets(self.clock)
        self.tickets = TicketIdentity(kept, self.clock)
        self.secrets = ClientSecrets(kept, self.clock)
        self.sessions = SessionIdentity(MemorySessions(self.clock), self.clock)
        configured = StaticKey("static", hashlib.sha256(b"configured").digest(), ALL_SCOPES)
        self.chain = Chain(
            stored=StoredKeys(self.keys, self.clock),
            sessions=self.sessions,
            tickets=self.tickets,
            secrets=self.secrets,
            ways=Ways(StaticKeys([configured]), **doors),
        )

    async def key(self) -> str:
        id, text = new_key(os.urandom)
        await self.keys.create(StoredKey(id=id, consumer="stored"), digest(text))
        return text


async def who(kit: Kit, credential: str | None) -> str:
    return (await kit.chain.identify(credential)).consumer


async def test_each_shape_has_somebody_who_knows_it() -> None:
    kit = Kit(jwt=cast("Any", Names("jwt")), introspection=cast("Any", Names("token")))
    user = Caller("user", credential="session:x")
    assert await who(kit, await kit.key()) == "stored"
    assert await who(kit, await kit.sessions.begin(user, 100)) == "user"
    assert await who(kit, await kit.tickets.issue(user)) == "user"
    assert await who(kit, (await kit.secrets.issue(user, 100, "")).value) == "user"
    assert await who(kit, "aaaa.bbbb.cccc") == "jwt"
    assert await who(kit, "aaaa.bbbb.") == "jwt"
    assert await who(kit, "configured") == "static"
    assert await who(kit, "opaque") == "token"


async def test_what_nobody_knows_is_refused_and_never_passed_on() -> None:
    kit = Kit(introspection=cast("Any", Names("token")))
    for credential in ("flk_0123456789_" + "0" * 32, "flt_" + "0" * 32, "fls_" + "0" * 52):
        with pytest.raises(Unauthenticated) as caught:
            await who(kit, credential)
        assert credential not in caught.value.message
    plain = Kit()
    for wrong in ("aaaa.bbbb.cccc", "opaque", "x" * 20_000):
        with pytest.raises(Unauthenticated):
            await who(plain, wrong)


@pytest.mark.parametrize("nothing", [None, ""])
async def test_a_missing_credential_is_asked_for(nothing: str | None) -> None:
    with pytest.raises(Unauthenticated, match="Authorization: Bearer"):
        await who(Kit(), nothing)


async def test_anonymous_counts_until_the_first_key_is_made() -> None:
    kit = Kit(anonymous=ANONYMOUS)
    assert await kit.chain.identify(None) == ANONYMOUS
    assert await kit.chain.identify("sk-anything") == ANONYMOUS
    assert await kit.chain.ended({ANONYMOUS.credential}) == {}
    text = await kit.key()
    kit.clock.advance(FRESH)
    assert (await kit.chain.ended({ANONYMOUS.credential, ""})).keys() == {ANONYMOUS.credential}
    with pytest.raises(Unauthenticated):
        await who(kit, None)
    assert await who(kit, text) == "stored"


async def test_a_ticket_has_the_authority_of_whoever_got_it_once() -> None:
    kit = Kit()
    caller = Caller("ann", frozenset({"read"}), 9e9, "key:k", {"quota": "q"})
    text = await kit.tickets.issue(caller)
    assert await kit.chain.identify(text) == caller
    with pytest.raises(Unauthenticated, match="once"):
        await kit.chain.identify(text)
    late = await kit.tickets.issue(caller)
    kit.clock.advance(30)
    with pytest.raises(Unauthenticated):
        await kit.chain.identify(late)


async def test_a_session_ends_at_its_time_or_at_logout() -> None:
    kit = Kit()
    for end_it in (False, True):
        text = await kit.sessions.begin(Caller("ann"), 100)
        caller = await kit.chain.identify(text)
        assert (caller.consumer, caller.expires_at) == ("ann", kit.clock() + 100)
        assert await kit.chain.ended({caller.credential}) == {}
        if end_it:
            await kit.sessions.end(caller)
        else:
            kit.clock.advance(100)
        assert (await kit.chain.ended({caller.credential})).keys() == {caller.credential}
        with pytest.raises(Unauthenticated, match="log in"):
            await kit.chain.identify(text)


async def test_one_that_cannot_say_keeps_nobody_from_saying() -> None:
    class Broken(Names):
        async def ended(self, credentials: Any) -> dict[str, Unauthenticated]:
            raise StoreUnavailable("gone")

    kit = Kit(introspection=cast("Any", Broken("token")))
    assert (await kit.chain.ended({"key:unknown", f"{TOKEN}1"})).keys() == {"key:unknown"}


async def test_other_ways_take_the_place_of_these() -> None:
    kit = Kit(jwt=cast("Any", Names("jwt")), anonymous=ANONYMOUS)
    assert (await kit.chain.identify("a.b.c")) == ANONYMOUS
    kit.chain.change(Ways(StaticKeys([]), cast("Any", Names("jwt"))))
    assert await who(kit, "aaaa.bbbb.cccc") == "jwt"
    with pytest.raises(Unauthenticated):
        await who(kit, "configured")
    kit.chain.change(Ways(StaticKeys([])))
    gone = {"jwt:x:1", "token:1", ANONYMOUS.credential}
    assert (await kit.chain.ended({*gone, "session of another kind", ""})).keys() == gone


async def test_a_programs_own_identity_knows_all_but_the_tickets() -> None:
    kit = Kit()
    own = OwnIdentity(Names("own"), kit.tickets, kit.secrets)
    ticket = await kit.tickets.issue(Caller("ann"))
    assert (await own.identify(ticket)).consumer == "ann"
    assert (await own.identify("flk_x")).consumer == "own"
    assert (await own.identify(None)).consumer == "own"
    assert (await own.ended({"own:1"})).keys() == {"own:1"}

    class Plain:
        async def identify(self, credential: str | None) -> Caller:
            return Caller("plain")

    assert await OwnIdentity(Plain(), kit.tickets, kit.secrets).ended({"own:1"}) == {}
