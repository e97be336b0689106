"""Authority lasts as long as it lasts: expiry and revocation end what is open, renewal does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import msgspec
import pytest

from fairlead.engine.vigil import Vigil
from fairlead.errors import FairleadError, NotFound, Revoked, StoreUnavailable, Unauthenticated
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts
from tests.engine.conftest import BOB, Bench

OLD = Caller("alice", credential="key:old", facts=Facts(reader="tab"))


class Revocations:
    """Says of the named credentials that they have ended."""

    def __init__(self) -> None:
        self.ended_now: set[str] = set()
        self.asked: list[set[str]] = []
        self.fails = False
        self.again = asyncio.Event()

    async def ended(self, credentials: Collection[str]) -> dict[str, Unauthenticated]:
        if self.asked:
            self.again.set()
        self.asked.append(set(credentials))
        if self.fails:
            raise StoreUnavailable("the disk is gone")
        return {one: Revoked("it was revoked") for one in self.ended_now & set(credentials)}


@pytest.fixture
def revocations(bench: Bench) -> Revocations:
    revocable = Revocations()
    bench.engine.vigil._revocable = revocable
    return revocable


async def test_a_reader_is_ended_when_its_authority_expires(bench: Bench) -> None:
    stream = await bench.ask()
    reading = await bench.read(stream, caller=Caller("alice", expires_at=time.time() + 1000))
    await bench.engine.vigil.look()
    assert not reading.reader.ended
    bench.engine._authority._clock = lambda: time.time() + 2000
    await bench.engine.vigil.look()
    await reading.to_end()
    assert type(reading.reader.failure) is Unauthenticated


async def test_only_the_readers_of_a_revoked_credential_are_ended(
    bench: Bench, revocations: Revocations
) -> None:
    stream = await bench.ask()
    ended = await bench.read(stream, caller=OLD)
    other = await bench.read(stream, caller=Caller("alice", credential="key:other"))
    unnamed = await bench.read(stream)
    await bench.engine.vigil.look()
    revocations.ended_now = {"key:old", "key:of nobody here"}
    await bench.engine.vigil.look()
    assert revocations.asked == [{"key:old", "key:other"}] * 2
    assert isinstance(ended.reader.failure, Revoked)
    bench.provider.say("Because.")
    bench.provider.finish()
    for reading in (other, unnamed):
        assert (await reading.to_end()).text == "Because."


async def test_one_that_is_behind_is_given_nothing_more(
    bench: Bench, revocations: Revocations
) -> None:
    stream = await bench.ask()
    bench.provider.say("much ", "text")
    present = await bench.read(stream)
    await present.until(lambda r: r.text == "much text")
    behind = await bench.read(stream, caller=OLD)
    revocations.ended_now = {"key:old"}
    await bench.engine.vigil.look()
    assert behind.reader.take(1 << 20) == b""
    assert (behind.reader.cold, behind.reader.ended) == (False, True)
    bench.provider.say(" and more")
    bench.provider.finish()
    assert (await present.to_end()).text == "much text and more"


async def test_what_else_is_open_is_ended_too_and_left_alone_when_it_has_gone(
    bench: Bench, revocations: Revocations
) -> None:
    class Open:
        caller = OLD

        def __init__(self) -> None:
            self.failures: list[FairleadError] = []

        def end(self, failure: FairleadError) -> None:
            self.failures.append(failure)

    here, gone = Open(), Open()
    bench.engine.vigil.others |= {here, gone}
    bench.engine.vigil.others.discard(gone)
    revocations.ended_now = {"key:old"}
    await bench.engine.vigil.look()
    assert [failure.code for failure in here.failures] == ["revoked"]
    assert gone.failures == []
    bench.engine.vigil.others.clear()


async def test_what_calls_itself_by_a_name_goes_on_under_what_allows_as_much(
    bench: Bench, revocations: Revocations
) -> None:
    stream = await bench.ask()
    mine = await bench.read(stream, caller=OLD)
    unnamed = await bench.read(stream, caller=Caller("alice", credential="key:old"))
    vigil = bench.engine.vigil
    fresh = Caller("alice", credential="key:new")
    assert vigil.renew(Caller("bob", credential="key:bob"), "tab") == 0
    assert vigil.renew(fresh, "another") == 0
    assert vigil.renew(msgspec.structs.replace(fresh, scopes=frozenset({"read"})), "tab") == 0
    assert vigil.renew(fresh, "tab") == 1
    assert mine.reader.caller == msgspec.structs.replace(fresh, facts=OLD.facts)
    revocations.ended_now = {"key:old"}
    await vigil.look()
    assert (mine.reader.ended, unnamed.reader.ended) == (False, True)


async def test_where_nothing_can_be_known_everything_stays_open(
    bench: Bench, revocations: Revocations
) -> None:
    stream = await bench.ask()
    reading = await bench.read(stream, caller=OLD)
    revocations.ended_now, revocations.fails = {"key:old"}, True
    with pytest.raises(StoreUnavailable):
        await bench.engine.vigil.look()
    assert not reading.reader.ended
    revocations.fails = False
    await bench.engine.vigil.look()
    assert reading.reader.ended


async def test_it_looks_by_itself_and_goes_on_after_a_failure(
    bench: Bench, revocations: Revocations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.engine.vigil.PERIOD", 0.001)
    stream = await bench.ask()
    reading = await bench.read(stream, caller=OLD)
    revocations.fails = True
    vigil = Vigil(bench.engine._readers.all, bench.engine._authority, revocations)
    vigil.open()
    await revocations.again.wait()
    revocations.fails, revocations.ended_now = False, {"key:old"}
    await reading.to_end()
    await vigil.close()
    assert isinstance(reading.reader.failure, Revoked)


async def test_a_named_reader_is_renewed_and_no_other(
    bench: Bench, revocations: Revocations
) -> None:
    stream = await bench.ask()
    soon = time.time() + 1000
    named = Caller("alice", expires_at=soon, credential="key:old", facts=Facts(reader="tab"))
    unnamed = Caller("alice", expires_at=soon, credential="key:old")
    renewed = await bench.read(stream, caller=named)
    left = await bench.read(stream, caller=unnamed)
    fresh = Caller("alice", expires_at=soon + 5000, credential="key:new")
    assert await bench.engine.renew(fresh, stream, "tab") == 1
    assert await bench.engine.renew(fresh, stream, "another") == 0
    caller = renewed.reader.caller
    assert (caller.credential, caller.facts.reader) == ("key:new", "tab")
    bench.engine._authority._clock = lambda: soon + 1
    revocations.ended_now = {"key:old"}
    await bench.engine.vigil.look()
    assert left.reader.ended
    assert not renewed.reader.ended


async def test_nobody_renews_what_is_anothers(bench: Bench) -> None:
    stream = await bench.ask()
    reading = await bench.read(stream, caller=OLD)
    with pytest.raises(NotFound):
        await bench.engine.renew(BOB, stream, "tab")
    admin = Caller("root", frozenset({"admin"}))
    assert await bench.engine.renew(admin, stream, "tab") == 0
    assert reading.reader.caller is OLD
