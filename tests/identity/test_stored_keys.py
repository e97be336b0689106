"""Stored API keys as identity: who holds which, how soon a revocation counts."""

from __future__ import annotations

import os

import pytest

from fairlead.errors import Revoked, StoreUnavailable, Unauthenticated
from fairlead.identity.stored_keys import FRESH, StoredKeys, digest, new_key
from fairlead.policy.caller import READ
from fairlead.ports.keys import StoredKey
from fairlead.stores.memory_keys import MemoryKeys
from fairlead.testing.clock import Clock


class Counted(MemoryKeys):
    """Counts what it is asked, and can refuse to write."""

    asked = 0
    writes = 0
    full = False

    async def find(self, sha256: bytes) -> StoredKey | None:
        self.asked += 1
        return await super().find(sha256)

    async def used(self, id: str, at: float) -> None:
        self.writes += 1
        if self.full:
            raise StoreUnavailable("the disk is full")
        await super().used(id, at)


class Kit:
    def __init__(self) -> None:
        self.clock = Clock()
        self.keys = Counted(self.clock)
        self.identity = StoredKeys(self.keys, self.clock)

    async def make(self, consumer: str = "ann", **fields: object) -> tuple[str, str]:
        id, text = new_key(os.urandom)
        key = StoredKey(id=id, consumer=consumer, **fields)  # type: ignore[arg-type]
        await self.keys.create(key, digest(text))
        return id, text


async def test_a_key_names_its_consumer_and_how_it_can_be_revoked() -> None:
    kit = Kit()
    id, text = await kit.make(scopes=frozenset({READ}), quotas=("a", "b"), expires_at=9e9)
    caller = await kit.identity.identify(text)
    assert (caller.consumer, caller.expires_at) == ("ann", 9e9)
    assert caller.scopes == {READ}
    assert caller.credential == f"key:{id}"
    assert caller.claims == {"quota": "a b"}
    assert text not in repr(caller)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text + "0",
        lambda text: text.upper(),
        lambda text: text[4:],
        lambda text: "flk_" + "\udcff" * 10,
        lambda text: "flk_" + "x" * 100_000,
        lambda text: None,
    ],
)
async def test_a_wrong_key_is_refused_and_not_repeated(change: object) -> None:
    kit = Kit()
    _, text = await kit.make()
    wrong = change(text)  # type: ignore[operator]
    with pytest.raises(Unauthenticated) as caught:
        await kit.identity.identify(wrong)
    assert not isinstance(caught.value, Revoked)
    assert "flk_" not in caught.value.message


async def test_a_revoked_key_is_refused_in_words_within_a_second() -> None:
    kit = Kit()
    id, text = await kit.make()
    await kit.identity.identify(text)
    await kit.keys.revoke(id)
    kit.clock.advance(FRESH)
    with pytest.raises(Revoked, match=id) as caught:
        await kit.identity.identify(text)
    assert text not in caught.value.message


async def test_an_expired_key_is_refused_at_once_though_it_is_remembered() -> None:
    kit = Kit()
    _, text = await kit.make(expires_at=kit.clock() + FRESH / 2)
    await kit.identity.identify(text)
    kit.clock.advance(FRESH / 2)
    with pytest.raises(Unauthenticated, match="expired"):
        await kit.identity.identify(text)


async def test_a_busy_key_costs_one_question_a_second_and_one_note_a_minute() -> None:
    kit = Kit()
    _, text = await kit.make()
    for _ in range(100):
        await kit.identity.identify(text)
    assert (kit.keys.asked, kit.keys.writes) == (1, 1)
    for _ in range(59):
        kit.clock.advance(1)
        await kit.identity.identify(text)
    assert (kit.keys.asked, kit.keys.writes) == (60, 1)
    kit.clock.advance(2)
    await kit.identity.identify(text)
    assert kit.keys.writes == 2


async def test_a_full_disk_is_no_reason_to_refuse() -> None:
    kit = Kit()
    kit.keys.full = True
    _, text = await kit.make()
    assert (await kit.identity.identify(text)).consumer == "ann"


async def test_what_has_ended_is_told_without_looking_at_what_is_remembered() -> None:
    kit = Kit()
    first, text = await kit.make()
    second, _ = await kit.make()
    await kit.identity.identify(text)
    await kit.keys.revoke(first)
    asked = {f"key:{first}", f"key:{second}", "key:unknown", "session:x", ""}
    ended = await kit.identity.ended(asked)
    assert ended.keys() == {f"key:{first}", "key:unknown"}
    assert all(isinstance(why, Revoked) for why in ended.values())


async def test_revoking_the_last_key_opens_nothing() -> None:
    kit = Kit()
    assert not await kit.identity.any()
    id, _ = await kit.make()
    assert not await kit.identity.any(), "remembered for a moment"
    kit.clock.advance(FRESH)
    assert await kit.identity.any()
    await kit.keys.revoke(id)
    kit.clock.advance(FRESH)
    assert await kit.identity.any()


async def test_who_shows_the_first_key_is_known_at_once() -> None:
    kit = Kit()
    assert not await kit.identity.any()
    _, key = await kit.make()
    assert not await kit.identity.any("anything else")
    assert await kit.identity.any(key)
