"""What every store promises (``fairlead.ports.store``), sentence by sentence."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.errors import BadRequest, NotFound, StoreUnavailable
from fairlead.journal.log import Closed, Fenced, Gap
from fairlead.journal.position import Epoch
from fairlead.journal.retention import Retention
from fairlead.ports.store import (
    Acquired,
    Appended,
    Conflict,
    Created,
    Exists,
    Held,
    Leases,
    Store,
)
from tests.stores.conftest import SOON, Stores, Wakes, everything, spec, started

FORGED = Epoch(9, "zzzzzz")


async def begun(store: Store, id: str = "s", *records: bytes) -> Epoch:
    epoch = (await started(store, id, *records)).epoch
    assert epoch is not None
    return epoch


# -- create


async def test_a_created_stream_is_known_everywhere(stores: Stores) -> None:
    created = await stores.here.create(spec())
    assert isinstance(created, Created)
    assert created.epoch is None
    info = await stores.there.info("s")
    assert info == created.info
    assert info.spec == spec()
    assert (info.head.tail, info.head.first, info.head.closed) == (0, 0, False)
    assert info.created == info.touched == stores.clock()
    assert (info.meta, info.meta_version, info.signal) == (b"m", 1, "")


async def test_creation_with_a_writer_is_one_commit(stores: Stores) -> None:
    created = await started(stores.here, "s", b"a", b"b")
    assert created.epoch is not None
    info = await stores.there.info("s")
    assert info == created.info
    assert info.head.epoch == created.epoch
    assert await everything(stores.there) == [b"a", b"b"]
    assert await stores.here.append("s", created.epoch, 2, [b"c"]) == Appended(3)


async def test_the_same_content_exists_and_other_content_conflicts(stores: Stores) -> None:
    await started(stores.here, "s", b"a")
    again = await stores.there.create(spec(), writer=None)
    assert isinstance(again, Exists)
    assert again.info == await stores.here.info("s")
    other = await stores.there.create(spec(fingerprint=b"other"))
    assert isinstance(other, Conflict)
    assert other.info == again.info
    assert isinstance(await stores.there.create(spec(owner="bob")), Conflict)
    assert await everything(stores.here) == [b"a"]


async def test_exactly_one_of_many_creates(stores: Stores) -> None:
    await stores.here.join("w", 60)
    await stores.there.join("w2", 60)
    outcomes = await asyncio.gather(
        *(stores.here.create(spec(), writer="w", records=[b"1"]) for _ in range(5)),
        *(stores.there.create(spec(), writer="w2", records=[b"1"]) for _ in range(5)),
    )
    assert [type(o) for o in outcomes].count(Created) == 1
    assert [type(o) for o in outcomes].count(Exists) == 9
    assert await everything(stores.here) == [b"1"]


async def test_records_need_a_writer_and_a_writer_must_have_joined(stores: Stores) -> None:
    with pytest.raises(ValueError, match="needs a writer"):
        await stores.here.create(spec(), records=[b"a"])
    with pytest.raises(StoreUnavailable, match="join"):
        await stores.here.create(spec(), writer="nobody")
    with pytest.raises(NotFound):
        await stores.here.info("s")


# -- append


async def test_appends_are_seen_in_order_once_their_future_is_done(stores: Stores) -> None:
    epoch = await begun(stores.here)
    futures = [stores.here.append("s", epoch, i, [b"%d" % i]) for i in range(100)]
    assert await asyncio.gather(*futures) == [Appended(i + 1) for i in range(100)]
    assert await everything(stores.there) == [b"%d" % i for i in range(100)]


async def test_an_append_may_be_repeated(stores: Stores) -> None:
    epoch = await begun(stores.here)
    assert await stores.here.append("s", epoch, 0, [b"a", b"b"]) == Appended(2)
    assert await stores.here.append("s", epoch, 0, [b"a", b"b"]) == Appended(2)
    assert await stores.here.append("s", epoch, 1, [b"b", b"c"]) == Appended(3)
    assert await stores.here.append("s", epoch, 3, [b"d"], close=True) == Appended(4)
    assert await stores.here.append("s", epoch, 3, [b"d"], close=True) == Appended(4)
    assert await everything(stores.there) == [b"a", b"b", b"c", b"d"]


async def test_an_append_may_be_repeated_elsewhere(stores: Stores) -> None:
    """The same writer reaches its stream through another store."""
    epoch = await begun(stores.here)
    for i in range(0, 20, 2):
        await stores.here.append("s", epoch, i, [b"%d" % i])
        assert await stores.there.append("s", epoch, i, [b"%d" % i]) == Appended(i + 1)
        assert await stores.there.append("s", epoch, i + 1, [b"%d" % (i + 1)]) == Appended(i + 2)
    assert await everything(stores.here) == [b"%d" % i for i in range(20)]


async def test_nothing_to_append_and_only_closing(stores: Stores) -> None:
    epoch = await begun(stores.here, "s", b"a")
    assert await stores.here.append("s", epoch, 1, []) == Appended(1)
    assert await stores.here.append("s", epoch, 1, [], close=True) == Appended(1)
    assert (await stores.there.info("s")).head.closed
    assert await stores.here.append("s", epoch, 1, [], close=True) == Appended(1)
    assert await everything(stores.there) == [b"a"]


async def test_a_hole_is_refused(stores: Stores) -> None:
    epoch = await begun(stores.here, "s", b"a")
    assert await stores.here.append("s", epoch, 2, [b"c"]) == Gap(1)
    assert await everything(stores.there) == [b"a"]


async def test_a_closed_stream_takes_nothing_more(stores: Stores) -> None:
    epoch = await begun(stores.here)
    await stores.here.append("s", epoch, 0, [b"a"], close=True)
    assert await stores.here.append("s", epoch, 1, [b"b"]) == Closed(1)
    assert await stores.here.append("s", epoch, 0, [b"a"]) == Closed(1)
    assert (await stores.there.info("s")).head.closed
    assert await everything(stores.there) == [b"a"]


async def test_a_foreign_epoch_is_fenced(stores: Stores) -> None:
    epoch = await begun(stores.here, "s", b"a")
    assert await stores.here.append("s", FORGED, 1, [b"b"]) == Fenced(epoch)
    await stores.here.create(spec("unwritten"))
    assert await stores.here.append("unwritten", FORGED, 0, [b"b"]) == Fenced(None)


async def test_appending_to_nothing(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.here.append("absent", FORGED, 0, [b"a"])


async def test_one_failed_append_harms_no_other(stores: Stores) -> None:
    epoch = await begun(stores.here)
    futures = [
        stores.here.append("s", epoch, 0, [b"a"]),
        stores.here.append("absent", epoch, 0, [b"x"]),
        stores.here.append("s", epoch, 5, [b"x"]),
        stores.here.append("s", epoch, 1, [b"b"]),
    ]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert outcomes[0] == Appended(1)
    assert isinstance(outcomes[1], NotFound)
    assert outcomes[2] == Gap(1)
    assert outcomes[3] == Appended(2)
    assert await everything(stores.there) == [b"a", b"b"]


async def test_a_cancelled_future_takes_nothing_back(stores: Stores) -> None:
    epoch = await begun(stores.here)
    stores.here.append("s", epoch, 0, [b"a"]).cancel()
    assert await stores.here.append("s", epoch, 1, [b"b"]) == Appended(2)
    assert await everything(stores.there) == [b"a", b"b"]


async def test_records_of_any_bytes_and_size(stores: Stores) -> None:
    epoch = await begun(stores.here)
    records = [b"", bytes(range(256)), b"\xff" * 300_000, b""]
    await stores.here.append("s", epoch, 0, records)
    assert await everything(stores.there) == records


# -- epochs and owners


async def test_acquiring_begins_an_epoch_at_the_tail(stores: Stores) -> None:
    first = await begun(stores.here, "s", b"a")
    await stores.here.release("s", first)
    await stores.there.join("v", 60)
    acquired = await stores.there.acquire("s", "v")
    assert isinstance(acquired, Acquired)
    assert acquired.epoch.counter == first.counter + 1
    assert acquired.head == (await stores.here.info("s")).head
    assert [(t.epoch, t.first) for t in acquired.head.terms] == [(first, 0), (acquired.epoch, 1)]
    assert await stores.here.append("s", first, 1, [b"x"]) == Fenced(acquired.epoch)
    assert await stores.there.append("s", acquired.epoch, 1, [b"b"]) == Appended(2)
    assert await everything(stores.here) == [b"a", b"b"]


async def test_a_living_owner_holds_its_stream(stores: Stores) -> None:
    epoch = await begun(stores.here)
    await stores.there.join("v", 60)
    assert await stores.there.acquire("s", "v") == Held("w")
    assert await stores.here.append("s", epoch, 0, [b"a"]) == Appended(1)


async def test_an_owner_supersedes_itself(stores: Stores) -> None:
    first = await begun(stores.here)
    again = await stores.here.acquire("s", "w")
    assert isinstance(again, Acquired)
    assert await stores.here.append("s", first, 0, [b"a"]) == Fenced(again.epoch)


async def test_a_lease_ends_by_the_clock(stores: Stores) -> None:
    epoch = await begun(stores.here)
    await stores.there.join("v", 1000)
    stores.clock.advance(59)
    assert await stores.there.abandoned() == []
    assert await stores.there.acquire("s", "v") == Held("w")
    stores.clock.advance(2)
    assert await stores.there.abandoned() == ["s"]
    # Nobody took it over yet, so its writer may go on.
    assert await stores.here.append("s", epoch, 0, [b"a"]) == Appended(1)
    taken = await stores.there.acquire("s", "v")
    assert isinstance(taken, Acquired)
    assert taken.head.tail == 1
    assert await stores.here.append("s", epoch, 1, [b"x"]) == Fenced(taken.epoch)
    assert await stores.there.abandoned() == []


async def test_joining_again_renews(stores: Stores) -> None:
    await begun(stores.here)
    await stores.there.join("v", 1000)
    stores.clock.advance(59)
    await stores.here.join("w", 60)
    stores.clock.advance(59)
    assert await stores.there.acquire("s", "v") == Held("w")


async def test_acquiring_needs_a_lease(stores: Stores) -> None:
    await stores.here.create(spec())
    with pytest.raises(StoreUnavailable, match="join"):
        await stores.here.acquire("s", "nobody")
    await stores.here.join("w", 10)
    stores.clock.advance(11)
    with pytest.raises(StoreUnavailable, match="join"):
        await stores.here.acquire("s", "w")
    with pytest.raises(NotFound):
        await stores.here.acquire("absent", "w")


async def test_releasing_gives_up_the_lease_only(stores: Stores) -> None:
    epoch = await begun(stores.here)
    await stores.here.release("s", FORGED)
    await stores.there.join("v", 60)
    assert await stores.there.acquire("s", "v") == Held("w")
    await stores.here.release("s", epoch)
    assert await stores.there.abandoned() == ["s"]
    assert await stores.here.append("s", epoch, 0, [b"a"]) == Appended(1)
    assert isinstance(await stores.there.acquire("s", "v"), Acquired)


async def test_leaving_gives_up_every_lease_for_good(stores: Stores) -> None:
    await begun(stores.here, "a")
    await begun(stores.here, "b")
    await stores.here.leave("w")
    assert sorted(await stores.there.abandoned()) == ["a", "b"]
    await stores.here.join("w", 60)
    assert sorted(await stores.there.abandoned()) == ["a", "b"]
    await stores.there.join("v", 60)
    assert isinstance(await stores.there.acquire("a", "v"), Acquired)


async def test_abandoned_names_unfinished_written_streams_only(stores: Stores) -> None:
    await stores.here.create(spec("never written"))
    closed = await begun(stores.here, "closed")
    await stores.here.append("closed", closed, 0, [], close=True)
    await begun(stores.here, "deleted")
    await stores.here.delete("deleted")
    for id in ("a", "b", "c"):
        await begun(stores.here, id)
    assert await stores.there.abandoned() == []
    await stores.here.leave("w")
    assert sorted(await stores.there.abandoned()) == ["a", "b", "c"]
    assert len(await stores.there.abandoned(limit=2)) == 2


async def test_leases_name_the_living_and_what_they_write(stores: Stores) -> None:
    assert await stores.there.leases() == Leases((), ())
    await stores.here.create(spec("never written"))
    for id in ("a", "b", "c", "closed", "deleted", "released"):
        epoch = await begun(stores.here, id)
        if id == "closed":
            await stores.here.append(id, epoch, 0, [], close=True)
        elif id == "deleted":
            await stores.here.delete(id)
        elif id == "released":
            await stores.here.release(id, epoch)
    assert await stores.here.set_meta("b", 1, b"newer") == 2
    await stores.there.join("v", 30.0)
    outcome = await stores.there.create(spec("theirs"), writer="v")
    assert isinstance(outcome, Created)
    assert outcome.epoch is not None
    found = await stores.there.leases()
    assert found.owners == ("v", "w")
    assert [(one.spec.id, one.writer) for one in found.held] == [
        ("theirs", "v"), ("c", "w"), ("b", "w"), ("a", "w"),
    ]  # fmt: skip
    assert found.held[2].meta == b"newer"
    info = await stores.there.info("a")
    assert (found.held[3].spec, found.held[3].created) == (info.spec, info.created)
    assert [one.spec.id for one in (await stores.here.leases(2, "v")).held] == ["c", "b"]
    await stores.there.append("theirs", outcome.epoch, 0, [], close=True)
    assert (await stores.here.leases(but="w")).held == ()
    await stores.here.leave("w")
    assert await stores.there.leases() == Leases(("v",), ())


async def test_a_closed_stream_may_be_acquired(stores: Stores) -> None:
    epoch = await begun(stores.here)
    await stores.here.append("s", epoch, 0, [b"a"], close=True)
    # Its lease ended with it.
    await stores.there.join("v", 60)
    acquired = await stores.there.acquire("s", "v")
    assert isinstance(acquired, Acquired)
    assert acquired.head.closed
    assert await stores.there.append("s", acquired.epoch, 1, [b"b"]) == Closed(1)


async def test_a_stream_goes_to_and_fro(stores: Stores) -> None:
    """Each takes the stream over from the other, with records of both still unfolded."""
    epoch = await begun(stores.here)
    written: list[bytes] = []
    sides = [(stores.here, "w"), (stores.there, "v")]
    for turn in range(10):
        store, owner = sides[turn % 2]
        other = sides[(turn + 1) % 2][0]
        await store.join(owner, 60)
        if turn:
            await other.release("s", epoch)
            acquired = await store.acquire("s", owner)
            assert isinstance(acquired, Acquired)
            epoch = acquired.epoch
        for _ in range(3):
            record = b"%d" % len(written)
            assert await store.append("s", epoch, len(written), [record]) == Appended(
                len(written) + 1
            )
            written.append(record)
        assert await everything(other) == written
    assert await everything(stores.here) == written
    assert [t.first for t in (await stores.here.info("s")).head.terms] == list(range(0, 30, 3))


# -- reading


async def test_reading_is_bounded_by_bytes_but_never_empty(stores: Stores) -> None:
    epoch = await begun(stores.here)
    records = [b"x" * 100 for _ in range(50)]
    await stores.here.append("s", epoch, 0, records)
    batch = await stores.there.read("s", 10, 1000)
    assert (batch.offset, list(batch.records)) == (10, records[10:20])
    batch = await stores.there.read("s", 10, 1)
    assert list(batch.records) == records[:1]
    batch = await stores.there.read("s", 50, 1000)
    assert (batch.offset, list(batch.records)) == (50, [])
    assert batch.head.tail == 50
    assert await everything(stores.there, max_bytes=250) == records


async def test_reading_nothing(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.here.read("absent", 0, 100)
    with pytest.raises(NotFound):
        await stores.here.info("absent")
    await stores.here.create(spec())
    assert list((await stores.there.read("s", 0, 100)).records) == []


async def test_recent_says_what_read_says(stores: Stores) -> None:
    epoch = await begun(stores.here)
    wakes = Wakes()
    watch = stores.there.watch("s", wakes)
    for i in range(30):
        await stores.here.append("s", epoch, i, [b"%d" % i * 10], close=i == 29)
        await wakes.tail(stores.there, "s", i + 1)
        for offset in range(i + 2):
            for size in (1, 50, 10_000):
                recent = stores.there.recent("s", offset, size)
                read = await stores.there.read("s", offset, size)
                if recent is not None:
                    assert (recent.head.tail, recent.offset) <= (i + 1, offset)
                    if recent.head == read.head:
                        assert list(recent.records) == list(read.records)
    watch.cancel()


async def test_recent_answers_for_a_watched_stream_written_here(stores: Stores) -> None:
    epoch = await begun(stores.here)
    watch = stores.here.watch("s", Wakes())
    await stores.here.append("s", epoch, 0, [b"a", b"b"])
    recent = stores.here.recent("s", 1, 100)
    assert recent is not None
    assert recent.offset == 1
    assert list(recent.records) == [b"b"]
    assert recent.head == (await stores.here.info("s")).head
    at_tail = stores.here.recent("s", 2, 100)
    assert at_tail is not None
    assert list(at_tail.records) == []
    watch.cancel()
    assert stores.here.recent("absent", 0, 100) is None


# -- watching


async def test_a_watcher_is_woken_once_its_reader_can_see(stores: Stores) -> None:
    epoch = await begun(stores.here)
    seen: list[int] = []

    def look() -> None:
        batch = stores.here.recent("s", 0, 100)
        assert batch is not None
        seen.append(len(batch.records))

    watch = stores.here.watch("s", look)
    await stores.here.append("s", epoch, 0, [b"a"])
    await stores.here.append("s", epoch, 1, [b"b", b"c"])
    assert seen[-1] == 3
    watch.cancel()
    watch.cancel()
    await stores.here.append("s", epoch, 3, [b"d"])
    assert seen[-1] == 3


async def test_a_watcher_never_misses_a_commit(stores: Stores) -> None:
    """However the watch falls between the commits of another, the tail is reached."""
    epoch = await begun(stores.here)
    for i in range(60):
        wakes = Wakes()
        future = stores.here.append("s", epoch, i, [b"x"])
        if i % 3 == 0:
            await asyncio.sleep(0)
        if i % 3 == 1:
            await future
        watch = stores.there.watch("s", wakes)
        assert (await wakes.tail(stores.there, "s", i + 1)).head.tail == i + 1
        watch.cancel()
        await future


async def test_watchers_of_one_commit_are_woken_once(stores: Stores) -> None:
    epoch = await begun(stores.here)
    all_wakes = [Wakes() for _ in range(10)]
    watches = [stores.here.watch("s", w) for w in all_wakes]
    other = Wakes()
    watch = stores.here.watch("t", other)
    await asyncio.gather(*(stores.here.append("s", epoch, i, [b"x"]) for i in range(20)))
    for wakes in all_wakes:
        await wakes.wait()
        assert wakes.count < 20
    assert other.count == 0
    for each in (*watches, watch):
        each.cancel()


async def test_a_watcher_may_cancel_another_as_it_wakes(stores: Stores) -> None:
    epoch = await begun(stores.here)
    calls: list[str] = []

    def first() -> None:
        calls.append("first")
        two.cancel()
        one.cancel()

    one = stores.here.watch("s", first)
    two = stores.here.watch("s", lambda: calls.append("second"))
    await stores.here.append("s", epoch, 0, [b"x"])
    await stores.here.append("s", epoch, 1, [b"x"])
    assert calls == ["first"]


async def test_closing_and_deleting_wake(stores: Stores) -> None:
    epoch = await begun(stores.here)
    wakes = Wakes()
    watch = stores.there.watch("s", wakes)
    await stores.here.append("s", epoch, 0, [], close=True)
    while not (await stores.there.info("s")).head.closed:
        await wakes.wait()
    await stores.here.delete("s")
    while stores.there.recent("s", 0, 10) is not None:
        await wakes.wait()
    with pytest.raises(NotFound):
        await stores.there.info("s")
    watch.cancel()


async def asked_at_each_wake(store: Store, wakes: Wakes) -> None:
    while True:
        await store.info("s")
        await wakes.wait()


async def test_a_deletion_wakes(stores: Stores) -> None:
    epoch = await begun(stores.here)
    wakes = Wakes()
    watch = stores.there.watch("s", wakes)
    await stores.here.append("s", epoch, 0, [b"a"])
    # `recent` may know nothing of it: when creation and append are told of together, it does not.
    while await everything(stores.there) != [b"a"]:
        await wakes.wait()
    await stores.here.delete("s")
    with pytest.raises(NotFound):
        await asked_at_each_wake(stores.there, wakes)
    while stores.there.recent("s", 0, 10) is not None:
        await wakes.wait()
    watch.cancel()


# -- signals


async def test_a_signal_reaches_the_owner_wherever_it_is_sent(stores: Stores) -> None:
    await begun(stores.here, "mine")
    await stores.there.join("v", 60)
    assert isinstance(await stores.there.create(spec("theirs"), writer="v"), Created)
    got: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    subscription = stores.here.on_signal("w", lambda id, name: got.put_nowait((id, name)))
    await stores.there.signal("theirs", "stop")
    await stores.there.signal("mine", "stop")
    assert await asyncio.wait_for(got.get(), SOON) == ("mine", "stop")
    await stores.here.signal("mine", "pause")
    assert await asyncio.wait_for(got.get(), SOON) == ("mine", "pause")
    assert (await stores.there.info("mine")).signal == "pause"
    subscription.cancel()
    subscription.cancel()
    await stores.here.signal("mine", "ignored")
    assert got.empty()


async def test_a_signal_waits_for_a_later_writer(stores: Stores) -> None:
    await stores.here.create(spec())
    await stores.here.signal("s", "stop")
    await stores.there.join("v", 60)
    await stores.there.acquire("s", "v")
    assert (await stores.there.info("s")).signal == "stop"
    with pytest.raises(NotFound):
        await stores.here.signal("absent", "stop")


# -- presence


async def test_presence_counts_watchers_until_their_time_is_over(stores: Stores) -> None:
    await stores.here.create(spec("a"))
    await stores.here.create(spec("b"))
    assert await stores.there.watchers("a") == 0
    await stores.here.present(["a", "b", "absent"], "node 1", 10)
    await stores.there.present(["a"], "node 2", 20)
    assert (await stores.there.watchers("a"), await stores.here.watchers("b")) == (2, 1)
    stores.clock.advance(9)
    await stores.here.present(["b"], "node 1", 10)
    stores.clock.advance(2)
    assert (await stores.there.watchers("a"), await stores.here.watchers("b")) == (1, 1)
    await stores.here.present(["a", "b", "absent"], "node 2", 0)
    assert (await stores.there.watchers("a"), await stores.here.watchers("b")) == (0, 1)
    with pytest.raises(NotFound):
        await stores.here.watchers("absent")


# -- meta, touch


async def test_meta_changes_by_version(stores: Stores) -> None:
    await stores.here.create(spec())
    assert await stores.here.set_meta("s", 1, b"new") == 2
    assert await stores.there.set_meta("s", 1, b"lost race") is None
    assert await stores.there.set_meta("s", 2, b"newer") == 3
    info = await stores.here.info("s")
    assert (info.meta, info.meta_version) == (b"newer", 3)
    assert info.spec == spec()
    again = await stores.here.create(spec())
    assert isinstance(again, Exists)
    assert again.info.meta == b"newer"
    with pytest.raises(NotFound):
        await stores.here.set_meta("absent", 1, b"")


async def test_touching(stores: Stores) -> None:
    await stores.here.create(spec())
    stores.clock.advance(5)
    await stores.there.touch("s")
    info = await stores.here.info("s")
    assert (info.created, info.touched) == (stores.clock() - 5, stores.clock())
    with pytest.raises(NotFound):
        await stores.here.touch("absent")


# -- listing


async def test_pages_show_each_stream_once_newest_first(stores: Stores) -> None:
    for i in range(7):
        await stores.here.create(spec(f"ann {i}"))
        await stores.there.create(spec(f"bob {i}", owner="bob"))
    await begun(stores.here, "ann 7", b"x")
    await stores.here.delete("ann 3")
    ids: list[str] = []
    cursor = None
    while True:
        page = await stores.there.page("ann", cursor, limit=3)
        assert len(page.items) <= 3
        ids += [info.spec.id for info in page.items]
        # A stream that comes meanwhile is not on a later page.
        await stores.here.create(spec(f"later {len(ids)}"))
        cursor = page.cursor
        if cursor is None:
            break
    assert ids == [f"ann {i}" for i in (7, 6, 5, 4, 2, 1, 0)]
    everyone = await stores.there.page(None, limit=100)
    assert everyone.cursor is None
    assert {info.spec.owner for info in everyone.items} == {"ann", "bob"}
    seven = next(info for info in everyone.items if info.spec.id == "ann 7")
    assert seven == await stores.here.info("ann 7")
    with pytest.raises(BadRequest):
        await stores.here.page("ann", "nonsense!")


# -- deleting, retention, size


async def test_a_deleted_id_stays_taken(stores: Stores) -> None:
    epoch = await begun(stores.here, "s", b"secret")
    await stores.there.delete("s")
    for attempt in (
        stores.here.info("s"),
        stores.here.read("s", 0, 100),
        stores.here.append("s", epoch, 1, [b"x"]),
        stores.here.acquire("s", "w"),
        stores.here.release("s", epoch),
        stores.here.signal("s", "stop"),
        stores.here.touch("s"),
        stores.here.set_meta("s", 1, b""),
        stores.here.watchers("s"),
        stores.here.delete("s"),
        stores.there.info("s"),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await stores.here.create(spec()) == Conflict(None)
    assert await stores.here.abandoned() == []
    assert (await stores.here.size()).streams == 0


async def test_deleting_right_behind_an_append(stores: Stores) -> None:
    epoch = await begun(stores.here)
    appended = stores.here.append("s", epoch, 0, [b"a"], close=True)
    await stores.here.delete("s")
    assert await appended == Appended(1)
    with pytest.raises(NotFound):
        await stores.there.read("s", 0, 10)


async def test_old_closed_streams_expire(stores: Stores) -> None:
    retention = Retention(max_age=100.0, max_bytes=None)
    for id in ("old", "touched", "open"):
        epoch = await begun(stores.here, id, b"a")
        if id != "open":
            await stores.here.append(id, epoch, 1, [], close=True)
    stores.clock.advance(90)
    await stores.here.touch("touched")
    assert await stores.there.expire(retention) == 0
    stores.clock.advance(20)
    assert await stores.there.expire(retention) == 1
    with pytest.raises(NotFound):
        await stores.here.info("old")
    assert await everything(stores.here, "touched") == [b"a"]
    assert await everything(stores.here, "open") == [b"a"]
    assert await stores.there.expire(retention) == 0
    assert (await stores.here.size()).streams == 2


async def test_large_streams_are_trimmed_from_the_front(stores: Stores) -> None:
    epoch = await begun(stores.here)
    watch = stores.here.watch("s", Wakes())
    written = [b"%05d" % i * 20 for i in range(3000)]
    for i in range(0, 3000, 300):
        await stores.here.append("s", epoch, i, written[i : i + 300])
        # Retention works by whole stretches: it ends the one at hand.
        await stores.here.expire(Retention(max_bytes=10**9, max_records=10**9))
        await stores.here.expire(Retention(max_age=None, max_bytes=50_000, max_records=None))
    info = await stores.there.info("s")
    assert 0 < info.head.first < info.head.tail == 3000
    batch = await stores.there.read("s", 0, 1 << 20)
    assert batch.offset == info.head.first
    assert list(batch.records) == written[info.head.first :]
    recent = stores.here.recent("s", info.head.first - 1, 1 << 20)
    assert recent is None or recent.offset >= info.head.first
    assert await stores.here.append("s", epoch, 3000, [b"more"]) == Appended(3001)
    assert (await everything(stores.there))[-1] == b"more"
    size = await stores.there.size()
    assert size.records == 3001 - info.head.first
    watch.cancel()


async def test_size_counts_what_is_kept(stores: Stores) -> None:
    assert (await stores.here.size()).streams == 0
    a = await begun(stores.here, "a", b"12345")
    await begun(stores.here, "b", b"1")
    await stores.here.append("a", a, 1, [b"1234"], close=True)
    size = await stores.there.size()
    assert (size.streams, size.records, size.record_bytes) == (2, 3, 10)
    await stores.here.delete("a")
    size = await stores.there.size()
    assert (size.streams, size.records, size.record_bytes) == (1, 1, 1)


# -- opening and closing


async def test_closing_commits_leaves_and_is_idempotent(stores: Stores) -> None:
    epoch = await begun(stores.here)
    pending = stores.here.append("s", epoch, 0, [b"a"])
    await stores.here.close()
    assert await pending == Appended(1)
    await stores.here.close()
    for attempt in (
        stores.here.append("s", epoch, 1, [b"x"]),
        stores.here.info("s"),
        stores.here.create(spec("new")),
        stores.here.page(None),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            await attempt
    assert stores.here.recent("s", 0, 10) is None
    if stores.there is not stores.here:
        assert await stores.there.abandoned() == ["s"]
        assert await everything(stores.there) == [b"a"]


async def test_a_store_may_be_opened_again(stores: Stores) -> None:
    await begun(stores.here, "s", b"a")
    await stores.here.close()
    await stores.here.open()
    await stores.here.open()
    assert await everything(stores.here) == [b"a"]
    await stores.here.join("w", 60)
    assert isinstance(await stores.here.acquire("s", "w"), Acquired)
