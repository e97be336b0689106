"""API keys: who holds which, and what is said to the others."""

from __future__ import annotations

import hashlib

import pytest

from fairlead.errors import Misconfigured, Unauthenticated
from fairlead.identity.static_keys import StaticKey, StaticKeys
from fairlead.policy.caller import ADMIN, ASK, READ


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


@pytest.mark.parametrize("credential", ["wrong", "a ", "A", "é", "\udcff", "x" * 4096])
async def test_a_wrong_key_is_refused_and_not_repeated(credential: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await StaticKeys([key("alice", "a")]).identify(credential)
    if len(credential) > 2:
        assert credential not in caught.value.message


async def test_what_can_be_revoked_is_told_and_is_no_help_to_guess() -> None:
    before = StaticKeys([key("alice", "a"), key("bob", "b")])
    alice, bob = (await before.identify("a")).credential, (await before.identify("b")).credential
    assert alice != bob
    assert hashlib.sha256(b"a").hexdigest()[:8] not in alice
    after = StaticKeys([key("alice", "a")])
    assert (await after.identify("a")).credential == alice
    assert (await after.ended({alice, bob, "key:x", ""})).keys() == {bob}


def test_a_digest_must_be_one() -> None:
    with pytest.raises(Misconfigured, match="alice"):
        StaticKeys([StaticKey("alice", b"", frozenset({ASK}))])
