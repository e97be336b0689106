"""What the SQLite store does when its file, its disk or its neighbours misbehave."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from fairlead.errors import Misconfigured, ServerError, StoreCorrupt, StoreUnavailable
from fairlead.journal.retention import Retention
from fairlead.ports.store import Appended, Durability
from fairlead.stores.sqlite import SqliteStore, connection
from fairlead.stores.sqlite_conversations import SqliteConversations
from tests.stores.conftest import everything, spec, started


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "journal.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)


async def test_a_full_disk_is_said_and_outlived(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "journal.db")
    await store.open()
    created = await started(store, "s")
    assert created.epoch is not None
    written: list[bytes] = []
    with pytest.raises(StoreUnavailable, match="disk is full") as raised:  # noqa: PT012
        while True:
            record = b"%d" % len(written) * 5000
            await store.append("s", created.epoch, len(written), [record])
            written.append(record)
            assert len(written) < 1000, "the disk never filled up"
    assert raised.value.retryable
    # Nothing half-visible, and reading goes on.
    assert await everything(store) == written
    # Others are told too, and once there is room the same writer goes on.
    with pytest.raises(StoreUnavailable):
        await store.append("s", created.epoch, len(written), [b"x" * 500_000])
    make_room(small_disk)
    assert await store.append("s", created.epoch, len(written), [b"more"]) == Appended(
        len(written) + 1
    )
    assert await everything(store) == [*written, b"more"]
    await store.close()
    again = SqliteStore(small_disk / "journal.db")
    await again.open()
    assert await everything(again) == [*written, b"more"]
    await again.close()


async def test_every_append_of_a_failed_commit_is_told(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the file for longer than the store is patient."""
    created = await started(store, "s", b"a")
    assert created.epoch is not None
    assert await store.append("s", created.epoch, 1, [b"b"]) == Appended(2)
    await store.close()
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    store = SqliteStore(tmp_path / "journal.db")
    await store.open()
    await store.join("w", 60)
    acquired = await store.acquire("s", "w")
    epoch = (await store.info("s")).head.epoch
    assert epoch is not None
    assert acquired is not None
    other = apsw.Connection(str(tmp_path / "journal.db"))
    other.execute("BEGIN IMMEDIATE")
    woken: list[int] = []
    watch = store.watch("s", lambda: woken.append(1))
    futures = [store.append("s", epoch, 2 + i, [b"x"]) for i in range(5)]
    creation = store.create(spec("t"))
    outcomes = await asyncio.gather(*futures, creation, return_exceptions=True)
    assert all(isinstance(o, StoreUnavailable) and "held the file" in o.message for o in outcomes)
    assert await everything(store) == [b"a", b"b"]
    assert woken == []
    other.execute("ROLLBACK")
    other.close()
    assert await store.append("s", epoch, 2, [b"c"]) == Appended(3)
    assert await everything(store) == [b"a", b"b", b"c"]
    watch.cancel()
    await store.close()


@pytest.mark.parametrize("kind", [SqliteStore, SqliteConversations])
async def test_a_file_that_is_no_database(
    tmp_path: Path, kind: type[SqliteStore] | type[SqliteConversations]
) -> None:
    path = tmp_path / "file.db"
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(StoreCorrupt, match="no SQLite file"):
        await kind(path).open()
    assert path.read_bytes() == b"Dear diary, " * 1000


@pytest.mark.parametrize("kind", [SqliteStore, SqliteConversations])
async def test_a_file_of_another_application(
    tmp_path: Path, kind: type[SqliteStore] | type[SqliteConversations]
) -> None:
    path = tmp_path / "file.db"
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE diary (entry TEXT)")
    db.close()
    with pytest.raises(Misconfigured, match="another application"):
        await kind(path).open()


@pytest.mark.parametrize("kind", [SqliteStore, SqliteConversations])
async def test_a_file_of_a_later_version(
    tmp_path: Path, kind: type[SqliteStore] | type[SqliteConversations]
) -> None:
    path = tmp_path / "file.db"
    store = kind(path)
    await store.open()
    await store.close()
    db = apsw.Connection(str(path))
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Misconfigured, match="99"):
        await kind(path).open()


async def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    with pytest.raises(StoreUnavailable, match="occupied"):
        await SqliteStore(tmp_path / "occupied" / "journal.db").open()
    (tmp_path / "directory").mkdir()
    with pytest.raises(StoreUnavailable, match="directory"):
        await SqliteStore(tmp_path / "directory").open()


def test_memory_is_no_durability_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="process"):
        SqliteStore(tmp_path / "journal.db", durability=Durability.MEMORY)


async def test_a_damaged_file_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    await store.open()
    for i in range(50):
        created = await started(store, f"s{i}", b"x" * 3000)
        assert created.epoch is not None
        await store.append(f"s{i}", created.epoch, 1, [], close=True)
    await store.close()
    content = bytearray(path.read_bytes())
    # All but the first page, which says that it is a database.
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    store = SqliteStore(path)
    with pytest.raises(ServerError) as raised:  # noqa: PT012
        await store.open()
        await everything(store, "s25")
    assert isinstance(raised.value, StoreCorrupt)
    await store.close()


async def test_a_damaged_tick_is_called_damaged(store: SqliteStore, tmp_path: Path) -> None:
    created = await started(store, "s", b"a")
    db = apsw.Connection(str(tmp_path / "journal.db"))
    db.execute("UPDATE ticks SET data = x'c1'")
    db.close()
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        await store.read("s", 0, 100)
    # What has nothing to do with it goes on.
    assert created.epoch is not None
    assert await store.append("s", created.epoch, 1, [b"b"]) == Appended(2)


async def test_what_is_not_bytes_is_refused_at_once(store: SqliteStore) -> None:
    created = await started(store, "s")
    assert created.epoch is not None
    with pytest.raises(TypeError):
        store.append("s", created.epoch, 0, ["text"])  # type: ignore[list-item]
    assert await store.append("s", created.epoch, 0, [b"a"]) == Appended(1)


async def test_disk_space_is_given_back(store: SqliteStore, tmp_path: Path) -> None:
    for i in range(20):
        created = await started(store, f"s{i}", b"x" * 500_000)
        assert created.epoch is not None
        await store.append(f"s{i}", created.epoch, 1, [], close=True)
    full = (await store.size()).disk_bytes
    for i in range(20):
        await store.delete(f"s{i}")
    await store.expire(Retention())
    await store.close()
    assert full > 10_000_000
    assert (tmp_path / "journal.db").stat().st_size < full / 2
