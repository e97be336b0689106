"""API keys: who holds which, and what is said to the others."""

from __future__ import annotations

import hashlib

import pytest

from fairlead.errors import Misconfigured, Unauthenticated
from fairlead.identity.static_keys import MAX_CREDENTIAL, StaticKey, StaticKeys
from fairlead.policy.caller import ADMIN, ANONYMOUS, ASK, READ


def key(consumer: str, text: str, *scopes: str) -> StaticKey:
    return StaticKey(
        consumer, hashlib.sha256(text.encode()).digest(), frozenset(scopes or (ASK, READ))
    )


async def test_each_key_names_its_consumer_with_its_scopes() -> None:
    identity = StaticKeys(
        [key("alice", "a"), key("alice", "a2"), key("bob", "b", READ), key("root", "r", ADMIN)]
    )
    assert (await identity.identify("a")).consumer == "alice"
    assert (await identity.identify("a2")).consumer == "alice"
    bob = await identity.identify("b")
    assert bob.consumer == "bob"
    assert bob.scopes == {READ}
    assert (await identity.identify("r")).scopes == {ADMIN}


@pytest.mark.parametrize("credential", ["wrong", "a ", "A", "é", "\udcff", "x" * MAX_CREDENTIAL])
async def test_a_wrong_key_is_refused_and_not_repeated(credential: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await StaticKeys([key("alice", "a")]).identify(credential)
    if len(credential) > 2:
        assert credential not in caught.value.message


async def test_a_huge_key_is_refused_unread() -> None:
    huge = "x" * (MAX_CREDENTIAL + 1)
    with pytest.raises(Unauthenticated):
        await StaticKeys([key("alice", huge)]).identify(huge)


@pytest.mark.parametrize("credential", [None, ""])
async def test_a_missing_key_is_asked_for(credential: str | None) -> None:
    with pytest.raises(Unauthenticated, match="Authorization: Bearer"):
        await StaticKeys([key("alice", "a")]).identify(credential)


async def test_anonymous_counts_only_where_there_are_no_keys() -> None:
    open_to_all = StaticKeys([], ANONYMOUS)
    assert await open_to_all.identify(None) == ANONYMOUS
    assert await open_to_all.identify("sk-anything") == ANONYMOUS
    with pytest.raises(Unauthenticated):
        await StaticKeys([key("alice", "a")], ANONYMOUS).identify(None)
    with pytest.raises(Unauthenticated):
        await StaticKeys([]).identify(None)


def test_a_digest_must_be_one() -> None:
    with pytest.raises(Misconfigured, match="alice"):
        StaticKeys([StaticKey("alice", b"", frozenset({ASK}))])
