"""Opaque tokens: asked about, remembered for a moment, asked about again while streams are open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairlead.errors import IdentityUnavailable, Revoked, Unauthenticated
from fairlead.identity.claims import ClaimRules
from fairlead.identity.introspection import Introspection, IntrospectionRules
from fairlead.testing.clock import Clock


class Server:
    """An OAuth 2.0 server. ``tokens``: what it says of each; ``gate`` holds its answers back."""

    def __init__(self, **rules: Any) -> None:
        self.clock = Clock()
        self.tokens: dict[str, Any] = {}
        self.asked: list[str] = []
        self.down = False
        self.moment = 0.0
        self.arrived, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        claims = ClaimRules(consumer=("sub", "client_id"))
        self.identity = Introspection(
            IntrospectionRules(claims=claims, **rules), self.ask, self.clock, lambda: self.moment
        )

    async def ask(self, token: str) -> Any:
        self.asked.append(token)
        self.arrived.set()
        await self.gate.wait()
        if self.down:
            raise IdentityUnavailable("login.example did not answer")
        return self.tokens.get(token, {"active": False})

    def grant(self, token: str, **more: Any) -> None:
        self.tokens[token] = {"active": True, "sub": "alice", **more}

    async def consumer(self, token: str) -> str:
        return (await self.identity.identify(token)).consumer


async def test_the_server_says_who_it_is() -> None:
    server = Server()
    server.grant("t", scope="a b", exp=server.clock() + 60, email="a@example.com")
    caller = await server.identity.identify("t")
    assert (caller.consumer, caller.expires_at) == ("alice", server.clock() + 60)
    assert caller.claims["email"] == "a@example.com"
    assert caller.credential.startswith("token:")
    server.grant("a secret token")
    assert "a secret token" not in repr(await server.identity.identify("a secret token"))
    server.tokens["service"] = {"active": True, "client_id": "batch"}
    assert await server.consumer("service") == "batch"


@pytest.mark.parametrize(
    "answer",
    [
        {"active": False},
        {"active": "true", "sub": "alice"},
        {"active": 1, "sub": "alice"},
        {"sub": "alice"},
        {},
        [],
        "active",
        None,
        {"active": True},
        {"active": True, "sub": "alice", "exp": 1},
        {"active": True, "sub": "alice", "iss": "https://evil.example/"},
        {"active": True, "sub": "alice", "aud": "another"},
    ],
)
async def test_whatever_is_not_plainly_good_is_refused(answer: Any) -> None:
    server = Server(issuer="https://login.example/", audiences=frozenset({"fairlead"}))
    server.tokens["good"] = {"active": True, "sub": "alice", "aud": ["x", "fairlead"]}
    assert await server.consumer("good") == "alice"
    server.tokens["bad"] = answer
    if isinstance(answer, dict) and answer.get("sub") and "aud" not in answer:
        answer["aud"] = "fairlead"
    with pytest.raises(Unauthenticated) as caught:
        await server.identity.identify("bad")
    assert "bad" not in caught.value.message
    for nothing in (None, "", "x" * 20_000):
        with pytest.raises(Unauthenticated):
            await server.identity.identify(nothing)


async def test_answers_are_used_for_a_moment_but_never_beyond_the_tokens_end() -> None:
    server = Server(cache=3.0)
    server.grant("t", exp=server.clock() + 2)
    for _ in range(10):
        await server.identity.identify("t")
        with pytest.raises(Unauthenticated):
            await server.identity.identify("bad")
    assert server.asked == ["t", "bad"]
    server.clock.advance(2)
    with pytest.raises(Unauthenticated):
        await server.identity.identify("t")
    server.moment += 3
    with pytest.raises(Unauthenticated):
        await server.identity.identify("bad")
    assert server.asked == ["t", "bad", "t", "bad"]


async def test_those_who_come_at_once_wait_for_one_answer() -> None:
    server = Server()
    server.grant("t")
    server.gate.clear()
    waiting = [asyncio.create_task(server.identity.identify("t")) for _ in range(50)]
    await server.arrived.wait()
    waiting[0].cancel()
    server.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(getattr(one, "consumer", "") == "alice" for one in found[1:])
    assert server.asked == ["t"]


async def test_a_silent_server_is_no_yes_and_no_no() -> None:
    server = Server()
    server.down = True
    with pytest.raises(IdentityUnavailable):
        await server.identity.identify("t")
    server.down = False
    server.grant("t")
    assert await server.consumer("t") == "alice"


async def test_a_revoked_token_is_told_while_something_is_open_under_it() -> None:
    server = Server(recheck=2.0)
    server.grant("t")
    server.grant("other")
    credentials = {(await server.identity.identify(t)).credential: t for t in ("t", "other")}
    asked = {*credentials, "key:x", ""}
    assert await server.identity.ended(asked) == {}
    assert len(server.asked) == 2, "asked a moment ago"
    del server.tokens["t"]
    server.moment += 2
    ended = await server.identity.ended(asked)
    assert [credentials[id] for id in ended] == ["t"]
    assert all(isinstance(why, Revoked) for why in ended.values())
    with pytest.raises(Unauthenticated):
        await server.identity.identify("t")
    server.moment += 2
    assert [credentials[id] for id in await server.identity.ended(asked)] == ["t"]
    # It may be good again, as after a mistake at the server.
    server.grant("t")
    server.moment += 3
    assert await server.consumer("t") == "alice"
    assert await server.identity.ended(asked) == {}


async def test_streams_stay_open_while_the_server_is_silent_for_a_while() -> None:
    server = Server(recheck=2.0, stale=30.0)
    server.grant("t")
    credential = (await server.identity.identify("t")).credential
    server.down = True
    for _ in range(16):
        assert await server.identity.ended({credential}) == {}
        server.moment += 2
    server.moment += 1
    (why,) = (await server.identity.ended({credential})).values()
    assert not isinstance(why, Revoked)
    assert "30 s" in why.message
    server.down = False
    server.moment += 2
    assert await server.identity.ended({credential}) == {}


async def test_other_rules_are_asked_about_anew() -> None:
    server, after = Server(), Server(audiences=frozenset({"fairlead"}))
    server.grant("t", aud="fairlead")
    server.grant("other", aud="another")
    credentials = {(await server.identity.identify(t)).credential: t for t in ("t", "other")}
    after.tokens = server.tokens
    after.identity.take_over(server.identity)
    after.identity.take_over(after.identity)
    ended = await after.identity.ended(credentials)
    assert [credentials[id] for id in ended] == ["other"]
    assert sorted(after.asked) == ["other", "t"]
    assert await after.consumer("t") == "alice"


async def test_slow_answers_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.identity.introspection._PATIENCE", 0.01)
    server = Server(recheck=2.0)
    server.grant("t")
    credential = (await server.identity.identify("t")).credential
    del server.tokens["t"]
    server.gate.clear()
    server.moment += 2
    assert await server.identity.ended({credential}) == {}
    assert await server.identity.ended({credential}) == {}
    assert server.asked == ["t", "t"], "one question at a time"
    server.gate.set()
    assert (await server.identity.ended({credential})).keys() == {credential}
    await server.identity.close()


async def test_a_flood_of_bad_tokens_drives_out_no_good_one() -> None:
    server = Server(remembered=2)
    server.grant("t")
    credential = (await server.identity.identify("t")).credential
    for n in range(10_050):
        with pytest.raises(Unauthenticated):
            await server.identity.identify(f"bad {n}")
    assert len(server.identity._bad) == 10_000
    assert await server.identity.ended({credential}) == {}
    # Of good ones those that are in use stay.
    for n in range(3):
        server.grant(f"t{n}")
        await server.identity.identify(f"t{n}")
        assert await server.identity.ended({credential}) == {}
    assert len(server.identity._good) == 2
    gone = await server.identity.ended({"token:of nobody"})
    assert gone.keys() == {"token:of nobody"}
