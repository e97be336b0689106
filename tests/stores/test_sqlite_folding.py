"""Folding moves records and never hides one; ticks go when all that they hold is folded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from fairlead.journal.position import Epoch
from fairlead.ports.store import Appended
from fairlead.stores.sqlite import SqliteStore, folding, journal
from tests.stores.conftest import everything, started

IDS = [f"s{i}" for i in range(6)]


def count(path: Path, what: str) -> int:
    db = apsw.Connection(str(path))
    try:
        found: int = db.execute(f"SELECT count(*) FROM {what}").get
        return found
    finally:
        db.close()


async def test_nothing_is_hidden_while_streams_are_folded_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FOLD_AFTER", 0.0)
    monkeypatch.setattr(journal, "FOLD_AT_ONCE", 1)
    monkeypatch.setattr(journal, "PACK_AFTER", 3)
    path = tmp_path / "journal.db"
    store, other = SqliteStore(path), SqliteStore(path)
    await store.open()
    await other.open()
    epochs: dict[str, Epoch] = {}
    for id in IDS:
        created = await started(store, id)
        assert created.epoch is not None
        epochs[id] = created.epoch
    written: list[bytes] = []
    for i in range(60):
        record = b"%d" % i
        outcomes = await asyncio.gather(*(store.append(id, epochs[id], i, [record]) for id in IDS))
        assert outcomes == [Appended(i + 1)] * len(IDS)
        written.append(record)
        for id in IDS:
            assert await everything(other, id) == written
    for id in IDS:
        await store.append(id, epochs[id], 60, [], close=True)
        assert await everything(other, id) == written
    await other.close()
    await store.close()
    assert count(path, "ticks") == 0
    assert count(path, "writers") == 0


async def test_what_is_left_of_a_killed_process_is_folded_by_the_next(tmp_path: Path) -> None:
    """A copy of the files stands for what a killed process leaves."""
    store = SqliteStore(tmp_path / "journal.db")
    await store.open()
    created = await started(store, "s", b"a", b"b")
    copied = copy(tmp_path)
    assert count(copied, "ticks") == 1
    assert created.epoch is not None
    await store.append("s", created.epoch, 2, [b"c"])
    await store.close()
    survivor = SqliteStore(copied)
    await survivor.open()
    assert await everything(survivor) == [b"a", b"b"]
    assert count(copied, "ticks") == 0
    assert count(copied, "segments") == 1
    await survivor.close()


def copy(directory: Path) -> Path:
    into = directory / "copy"
    into.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (into / name).write_bytes((directory / name).read_bytes())
    return into / "journal.db"


async def test_a_finished_stream_has_few_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FOLD_AFTER", 0.0)
    monkeypatch.setattr(folding, "SEGMENT_BYTES", 4000)
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    await store.open()
    created = await started(store, "s")
    assert created.epoch is not None
    written: list[bytes] = []
    for i in range(200):
        record = b"%03d" % i * 33
        await store.append("s", created.epoch, i, [record], close=i == 199)
        written.append(record)
    assert await everything(store) == written
    for offset in range(0, 200, 7):
        assert list((await store.read("s", offset, 1000)).records) == written[offset : offset + 10]
    # Whatever command comes next finds the packing done.
    await store.close()
    assert count(path, "segments") <= 6
    store = SqliteStore(path)
    await store.open()
    assert await everything(store) == written
    await store.close()
