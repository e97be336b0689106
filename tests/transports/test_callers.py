"""What is taken from a request: the credential, and the facts that decisions ask about."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.policy.caller import ADMIN, ALL_SCOPES, ANONYMOUS, Caller, is_guest
from fairlead.policy.facts import Facts, Keep
from fairlead.transports.callers import Callers, credential, facts


def request(headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/chat/stream",
        "query_string": b"",
        "client": ("203.0.113.9", 4711),
        "headers": [(n.encode(), v.encode()) for n, v in (headers or {}).items()],
        **more,
    }


def test_nothing_is_kept_that_nobody_asks_about() -> None:
    scope = request(
        {"authorization": "Bearer s3cret", "x-team": "blue", "cookie": "a=1"}, query_string=b"k=v"
    )
    expected = Facts(address="203.0.113.9", method="POST", path="/chat/stream")
    assert facts(scope, Keep()) == expected


def test_what_is_asked_about_is_kept() -> None:
    scope = request({"x-team": "blue", "cookie": "a=1; b=2"}, query_string=b"k=v&k2=&other=x")
    kept = Keep(
        headers=frozenset({"x-team", "x-absent"}),
        query=frozenset({"k", "k2"}),
        cookies=frozenset({"b"}),
    )
    found = facts(scope, kept)
    assert found.headers == {"x-team": "blue"}
    assert found.query == {"k": "v", "k2": ""}
    assert found.cookies == {"b": "2"}


def test_a_header_sent_twice_is_joined() -> None:
    scope = request()
    scope["headers"] = [(b"x-team", b"blue"), (b"x-team", b"red")]
    assert facts(scope, Keep(headers=frozenset({"x-team"}))).headers == {"x-team": "blue, red"}


def test_too_many_fields_and_broken_cookies_are_as_none() -> None:
    scope = request({"cookie": "=;;\x00"}, query_string=b"&".join([b"k=v"] * 1000))
    kept = Keep(query=frozenset({"k"}), cookies=frozenset({"k"}))
    assert facts(scope, kept).query == {}
    assert facts(scope, kept).cookies == {}


def test_the_header_goes_before_the_subprotocol() -> None:
    offered = ["fairlead.v1", "fairlead.key.a%20b"]
    assert credential(request(subprotocols=offered)) == "a b"
    assert credential(request({"authorization": "bearer  k "}, subprotocols=offered)) == "k"
    assert credential(request({"authorization": "Basic eA=="})) is None


async def test_a_renewed_caller_is_still_where_it_was() -> None:
    class Names:
        async def identify(self, credential: str | None) -> Caller:
            return Caller(credential or "nobody")

    callers = Callers(Names())
    caller = await callers.of(request({"authorization": "Bearer alice"}))
    assert (caller.consumer, caller.facts.address) == ("alice", "203.0.113.9")
    renewed = await callers.renewed(caller, "bob")
    assert (renewed.consumer, renewed.facts) == ("bob", caller.facts)


@pytest.mark.parametrize(
    ("host", "oversees"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("page.localhost:8000", True),
        ("[::1]:8000", True),
        ("", True),
        ("rebound.example:8000", False),
        ("127.0.0.1.example", False),
        ("192.168.1.5:8000", False),
        ("0.0.0.0:8000", False),
        ("[::1", True),
        ("localhost.example", False),
    ],
)
async def test_nobody_oversees_under_a_foreign_name(host: str, oversees: bool) -> None:
    class Nobody:
        async def identify(self, credential: str | None) -> Caller:
            return Caller("operator", ANONYMOUS.scopes) if credential else ANONYMOUS

    asked = request({"host": host} if host else {})
    caller = await Callers(Nobody(), alone=True).of(asked)
    assert (ADMIN in caller.scopes) is oversees
    assert caller.scopes >= ALL_SCOPES
    assert ADMIN in (await Callers(Nobody()).of(asked)).scopes
    # Who has a credential needs no name.
    known = request({"host": host, "authorization": "Bearer k"})
    assert ADMIN in (await Callers(Nobody(), alone=True).of(known)).scopes


class Nobody:
    async def identify(self, credential: str | None) -> Caller:
        return Caller("guest") if credential else ANONYMOUS


@pytest.mark.parametrize(
    ("headers", "here"),
    [
        ({"host": "localhost:8000"}, True),
        ({"host": "rebound.example"}, False),
        ({"host": "chat.example.org"}, True),
        ({"host": "chat.example.org:8443", "x-forwarded-for": "203.0.113.9"}, True),
        # A proxy that sends this machine's own name.
        ({"host": "127.0.0.1:8000", "x-forwarded-for": "203.0.113.9"}, False),
        ({"host": "127.0.0.1:8000", "x-forwarded-host": "chat.example.com"}, False),
        ({"host": "127.0.0.1:8000", "x-real-ip": "203.0.113.9"}, False),
        ({"host": "127.0.0.1:8000", "forwarded": "for=203.0.113.9"}, False),
        ({"host": "127.0.0.1:8000", "via": "1.1 edge"}, False),
        ({"host": "[::1]:8000", "x-request-id": "1", "user-agent": "curl"}, True),
    ],
)
async def test_who_comes_from_elsewhere_without_a_key_is_a_guest(
    headers: dict[str, str], here: bool
) -> None:
    callers = Callers(Nobody(), alone=True, hosts=["chat.example.org"])
    caller = await callers.of(request(headers))
    assert is_guest(caller) is not here
    assert caller.consumer == ("anonymous" if here else "guest")
    # Where everybody is let in there are no guests, nor is a consumer of that name one.
    assert (await Callers(Nobody()).of(request(headers))).consumer == "anonymous"
    assert not is_guest(await callers.of(request(headers | {"authorization": "Bearer k"})))
