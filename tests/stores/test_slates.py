"""Records that are shown before the database has them: from a slate, which survives the process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from fairlead.errors import NotFound, StoreCorrupt, StoreUnavailable
from fairlead.journal.log import Fenced
from fairlead.journal.position import Epoch
from fairlead.ports.store import Acquired, Appended, Durability, Held
from fairlead.stores.sqlite import SqliteStore, ahead, connection, writer
from fairlead.stores.sqlite.slates import Slate, SlateFile, Slates
from fairlead.stores.sqlite.ticks import encode_ids
from fairlead.testing.clock import Clock
from tests.stores.child import record
from tests.stores.conftest import Wakes, everything, spec, started
from tests.stores.processes import child
from tests.stores.test_model import TwoFiles


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is moved by the clock, so that what is found was found on a slate."""
    monkeypatch.setattr(writer, "MOVE_AFTER", 3600.0)
    monkeypatch.setattr(writer, "MOVE_AFTER_ALONE", 3600.0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "journal.db")
    await store.open()
    yield store
    await store.close()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else can write to the database."""
    db = apsw.Connection(str(path / "journal.db"))
    db.set_busy_timeout(60_000)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


def slates(path: Path) -> list[Path]:
    return sorted((path / "owners").glob("*.slate"))


async def under_way(store: SqliteStore, id: str = "s", owner: str = "w") -> Epoch:
    """A stream with two records, whose next ones are noted on a slate."""
    epoch = (await started(store, id, b"0", owner=owner)).epoch
    assert epoch is not None
    # A slate is made when one is first wanted, in the commit after.
    assert await store.append(id, epoch, 1, [b"1"]) == Appended(2)
    return epoch


async def test_appends_do_not_wait_for_the_database(store: SqliteStore, tmp_path: Path) -> None:
    epoch = await under_way(store)
    wakes = Wakes()
    watch = store.watch("s", wakes)
    other = SqliteStore(tmp_path / "journal.db")
    await other.open()
    with held(tmp_path):
        for n in range(2, 20):
            assert await store.append("s", epoch, n, [b"%d" % n]) == Appended(n + 1)
            await wakes.wait()
            recent = store.recent("s", 0, 1000)
            assert recent is not None
            assert recent.head.tail == n + 1
            # Whoever asks sees it, in whatever process.
            for each in (store, other):
                assert await everything(each) == [b"%d" % i for i in range(n + 1)]
                assert (await each.info("s")).head.tail == n + 1
                assert (await each.size()).records == n + 1
    watch.cancel()
    await other.close()


async def test_nothing_is_moved_twice_or_left_behind(store: SqliteStore, tmp_path: Path) -> None:
    epoch = await under_way(store)
    for n in range(2, 20):
        await store.append("s", epoch, n, [b"%d" % n], close=n == 19)
    await store.close()
    assert slates(tmp_path) == []
    db = apsw.Connection(str(tmp_path / "journal.db"))
    assert db.execute("SELECT tail, closed FROM streams").get == (20, 1)
    assert db.execute("SELECT sum(count) FROM segments").get == 20
    db.close()
    await store.open()
    assert await everything(store) == [b"%d" % i for i in range(20)]


async def test_what_only_a_slate_holds_survives_the_process(
    store: SqliteStore, tmp_path: Path
) -> None:
    async with child(tmp_path / "journal.db") as process:
        await process.ask("begin", "s", "w")
        for n in range(3):
            assert await process.ask("append", "s", n, 1, False) == "Appended"
        with held(tmp_path):
            for n in range(3, 9):
                assert await process.ask("append", "s", n, 1, False) == "Appended"
            await process.kill()
            # A store that was open before sees it at once, without moving anything.
            assert await everything(store) == [record("s", n) for n in range(9)]
        await store.join("me", 60)
        assert await store.abandoned() == ["s"]
        acquired = await store.acquire("s", "me")
        assert isinstance(acquired, Acquired)
        assert acquired.head.tail == 9
        assert slates(tmp_path) == []
        assert await everything(store) == [record("s", n) for n in range(9)]


async def left_behind(path: Path) -> Path:
    """A slate with records 3 to 8 of a stream, by a process that was killed."""
    async with child(path / "journal.db") as process:
        await process.ask("begin", "s", "w")
        for n in range(3):
            assert await process.ask("append", "s", n, 1, False) == "Appended"
        with held(path):
            for n in range(3, 9):
                assert await process.ask("append", "s", n, 1, False) == "Appended"
            await process.kill()
    (slate,) = slates(path)
    return slate


async def opened(path: Path) -> list[bytes]:
    store = SqliteStore(path / "journal.db")
    await store.open()
    try:
        return await everything(store)
    finally:
        await store.close()


@pytest.mark.parametrize("seals", [0, 1, 2])
@pytest.mark.parametrize("cut", [1, 5, 11, 12, 13, 198])
async def test_a_write_that_was_cut_short_is_passed_over(
    tmp_path: Path, cut: int, seals: int
) -> None:
    slate = await left_behind(tmp_path)
    scratch = Slate(tmp_path / "scratch")
    scratch.write([(1, 9, [b"." * 180])])
    scratch.close()
    whole = (tmp_path / "scratch").read_bytes()
    assert len(whole) == 199
    with slate.open("ab") as file:
        file.write(whole[:cut])
    for _ in range(seals):
        beside = Slates(tmp_path / "owners")
        beside.refresh()
        beside.seal(but="another")
    assert await opened(tmp_path) == [record("s", n) for n in range(9)]
    assert slates(tmp_path) == []


@pytest.mark.parametrize("place", [0, 5, 9, 40])
async def test_a_damaged_slate_is_called_damaged_and_kept(tmp_path: Path, place: int) -> None:
    slate = await left_behind(tmp_path)
    content = slate.read_bytes()
    damaged = bytearray(content)
    damaged[place] ^= 0x40
    slate.write_bytes(damaged)
    with pytest.raises(StoreCorrupt, match=slate.name):
        await opened(tmp_path)
    assert slate.read_bytes() == damaged
    # As it was, nothing is missing; without it, what it held.
    slate.write_bytes(content)
    assert await opened(tmp_path) == [record("s", n) for n in range(9)]


async def test_without_a_damaged_slate_the_rest_is_there(tmp_path: Path) -> None:
    slate = await left_behind(tmp_path)
    slate.rename(tmp_path / "away")
    rest = await opened(tmp_path)
    assert rest == [record("s", n) for n in range(len(rest))]
    assert len(rest) < 9


async def test_after_a_loss_of_power_what_is_whole_is_kept(tmp_path: Path) -> None:
    """The name says that the machine was started since."""
    slate = await left_behind(tmp_path)
    stem, *_, number = slate.name.split("-")
    content = slate.read_bytes()
    slate.unlink()
    (slate.parent / f"{stem}-before-{number}").write_bytes(content + bytes(5000))
    assert await opened(tmp_path) == [record("s", n) for n in range(9)]


async def test_after_a_loss_of_power_what_nothing_leads_to_is_dropped(tmp_path: Path) -> None:
    slate = await left_behind(tmp_path)
    stem, *_, number = slate.name.split("-")
    slate.unlink()
    later = Slate(slate.parent / f"{stem}-before-{number}")
    later.write([(1, 5, [record("s", 5)])])
    later.close()
    rest = await opened(tmp_path)
    assert rest == [record("s", n) for n in range(len(rest))]


def test_of_what_goes_on_while_it_is_read_nothing_in_the_midst_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Slates(tmp_path)
    one, two = writing.make("writer", 1), writing.make("writer", 2)
    assert one.write([(1, 0, [b"a"])])
    refresh, files = SlateFile.refresh, []

    def slowly(file: SlateFile) -> None:
        refresh(file)
        files.append(file)
        if len(files) == 1:
            # The writer fills its slate, and begins the next, before the other one is read.
            assert one.write([(1, 1, [b"b"])])
            assert two.write([(1, 2, [b"c"])])

    monkeypatch.setattr(SlateFile, "refresh", slowly)
    reading = Slates(tmp_path)
    found: list[list[tuple[int, list[bytes]]]] = []
    for _ in range(2):
        reading.refresh()
        found.append(list(reading.notes(1)))
    whole = [(0, [b"a"]), (1, [b"b"]), (2, [b"c"])]
    assert found == [whole[: len(found[0])], whole]
    for slate in (one, two):
        slate.close()


def test_nothing_counts_behind_a_seal(tmp_path: Path) -> None:
    theirs = Slates(tmp_path)
    slate = theirs.make("w", 1)
    assert slate.write([(1, 0, [b"a"])])
    assert slate.whole()
    theirs.seal(but="another")
    assert not slate.whole()
    assert not slate.write([(1, 1, [b"b"])])
    theirs.refresh()
    assert list(theirs.notes(1)) == [(0, [b"a"])]
    (path,) = tmp_path.iterdir()
    file = SlateFile(path)
    file.refresh()
    assert file.sealed
    assert file.notes == {1: [(0, [b"a"])]}
    slate.remove()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, SqliteStore, Clock]]:
    clock = Clock()
    a = SqliteStore(tmp_path / "journal.db", clock=clock)
    b = SqliteStore(tmp_path / "journal.db", clock=clock)
    await a.open()
    await b.open()
    yield a, b, clock
    await b.close()
    await a.close()


async def test_a_writer_that_lives_is_fenced(
    two: tuple[SqliteStore, SqliteStore, Clock],
) -> None:
    a, b, clock = two
    epoch = await under_way(a)
    beside = await under_way(a, "beside")
    for n in range(2, 6):
        assert await a.append("s", epoch, n, [b"%d" % n]) == Appended(n + 1)
        assert await a.append("beside", beside, n, [b"%d" % n]) == Appended(n + 1)
    await b.join("b", 60)
    assert await b.acquire("s", "b") == Held("w")
    clock.advance(61)
    await b.join("b", 60)
    acquired = await b.acquire("s", "b")
    assert isinstance(acquired, Acquired)
    assert acquired.head.tail == 6
    seen = len(await everything(a))
    outcome = await a.append("s", epoch, 6, [b"late"])
    assert isinstance(outcome, Fenced)
    assert seen == 6
    assert await b.append("s", acquired.epoch, 6, [b"6"]) == Appended(7)
    for each in (a, b):
        assert await everything(each) == [b"%d" % n for n in range(7)]
    # What was not taken over goes on.
    assert await a.append("beside", beside, 6, [b"6"]) == Appended(7)
    assert await everything(b, "beside") == [b"%d" % n for n in range(7)]


async def test_a_writer_notices_that_its_stream_was_deleted(
    two: tuple[SqliteStore, SqliteStore, Clock],
) -> None:
    a, b, _ = two
    epoch = await under_way(a)
    assert await a.append("s", epoch, 2, [b"2"]) == Appended(3)
    await b.delete("s")
    with pytest.raises(NotFound):
        await a.append("s", epoch, 3, [b"3"])


async def test_streams_that_go_to_and_fro(
    two: tuple[SqliteStore, SqliteStore, Clock],
) -> None:
    """Both write whenever they may, and each takes the stream from the other while that writes.
    Whatever either was told is in the log, in its place."""
    a, b, clock = two
    chance = random.Random(20)
    await a.create(spec())
    told: dict[int, bytes] = {}
    done = 0

    async def write(store: SqliteStore, owner: str) -> None:
        nonlocal done
        words = 0
        while done < 60:
            # The other's lease is over by now, which it does not know.
            clock.advance(61)
            await store.join(owner, 60)
            try:
                acquired = await store.acquire("s", owner)
            except StoreUnavailable:
                continue  # the clock went on meanwhile
            if isinstance(acquired, Held):
                continue
            done += 1
            tail = acquired.head.tail
            fenced = False
            while not fenced and words < 5000:
                words += 1
                records = [f"{owner}{words}.{i}".encode() for i in range(chance.randint(1, 3))]
                outcome = await store.append("s", acquired.epoch, tail, records)
                fenced = isinstance(outcome, Fenced)
                if not fenced:
                    assert outcome == Appended(tail + len(records))
                    for i, each in enumerate(records):
                        assert told.setdefault(tail + i, each) == each
                    tail += len(records)

    await asyncio.gather(write(a, "a"), write(b, "b"))
    for each in (a, b):
        found = await everything(each)
        assert {offset: found[offset] for offset in told} == told


async def test_a_slate_that_has_grown_is_followed_by_another(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "SLATE_BYTES", 2000)
    epoch = await under_way(store)
    names: set[str] = set()
    for n in range(2, 300):
        assert await store.append("s", epoch, n, [b"%d" % n * 50]) == Appended(n + 1)
        names |= {path.name for path in slates(tmp_path)}
        assert await everything(store) == [b"0", b"1"] + [b"%d" % i * 50 for i in range(2, n + 1)]
    assert len(names) > 5
    # Those before are removed with the next commit.
    await store.touch("s")
    assert len(slates(tmp_path)) <= 2


async def test_what_the_database_does_not_take_is_bounded(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "AHEAD_BYTES", 5000)
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    await store.close()
    await store.open()
    epoch = await under_way(store)
    written = [b"0", b"1"]
    with held(tmp_path):
        with pytest.raises(StoreUnavailable, match="held the file"):  # noqa: PT012
            while len(written) < 1000:
                await store.append("s", epoch, len(written), [b"x" * 100])
                written.append(b"x" * 100)
        assert 50 <= len(written) < 60
        assert await everything(store) == written
    assert await store.append("s", epoch, len(written), [b"y"]) == Appended(len(written) + 1)
    assert await everything(store) == [*written, b"y"]


async def test_what_could_not_be_moved_is_there_when_opened_again(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    await store.close()
    await store.open()
    epoch = await under_way(store)
    with held(tmp_path):
        assert await store.append("s", epoch, 2, [b"2"]) == Appended(3)
        await store.close()
    assert len(slates(tmp_path)) == 1
    await store.open()
    assert await everything(store) == [b"0", b"1", b"2"]
    assert slates(tmp_path) == []


async def test_what_cannot_be_moved_stays_on_its_slate(store: SqliteStore, tmp_path: Path) -> None:
    """Another process's tick is damaged, and has to be read before the stream is written on."""
    epoch = await under_way(store)
    assert await store.append("s", epoch, 2, [b"2"]) == Appended(3)
    async with child(tmp_path / "journal.db") as other:
        assert await other.ask("begin", "t", "theirs") == 0
        db = apsw.Connection(str(tmp_path / "journal.db"))
        db.set_busy_timeout(60_000)
        db.execute(
            "INSERT INTO ticks (seq, writer, changed, data) "
            "SELECT (SELECT max(seq) + 1 FROM ticks), max(num), ?, x'c1' FROM writers",
            (encode_ids(["s"]),),
        )
        # Whatever it is that is asked for, what was shown is to be moved before.
        await store.touch("s")
        await store.close()
        assert len(slates(tmp_path)) == 1
        db.execute("DELETE FROM ticks WHERE data = x'c1'")
        db.close()
        await store.open()
        assert await everything(store) == [b"0", b"1", b"2"]
        assert slates(tmp_path) == []


async def test_a_file_from_before_there_were_slates(store: SqliteStore, tmp_path: Path) -> None:
    await started(store, "s", b"a")
    await store.close()
    db = apsw.Connection(str(tmp_path / "journal.db"))
    db.execute("PRAGMA user_version = 1")
    db.close()
    await store.open()
    assert await everything(store) == [b"a"]
    db = apsw.Connection(str(tmp_path / "journal.db"))
    assert db.execute("PRAGMA user_version").get == 2
    db.close()


async def test_power_is_not_promised_by_a_slate(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.db", durability=Durability.POWER)
    await store.open()
    epoch = await under_way(store)
    assert await store.append("s", epoch, 2, [b"2"]) == Appended(3)
    assert slates(tmp_path) == []
    await store.close()


def test_any_order_of_use_before_anything_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "SLATE_BYTES", 200)
    run_state_machine_as_test(
        TwoFiles, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )
