"""When a stream may be written ahead of the database, decided on the loop's side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.journal.position import Epoch
from fairlead.ports.store import AppendOutcome, Commits
from fairlead.stores.sqlite.ahead import ALL, Ahead, Append
from fairlead.stores.sqlite.slates import Slates

EPOCH = Epoch(1, "aaaaaa")


def _told(_: AppendOutcome | Exception) -> None:
    """Nobody waits."""


def append(at: int, *, close: bool = False, epoch: Epoch = EPOCH) -> Append:
    return ("s", epoch, at, [b"x"], close, _told, 1)


@pytest.fixture
def shown() -> list[int]:
    return []


@pytest.fixture
def slates(tmp_path: Path) -> Slates:
    return Slates(tmp_path)


@pytest.fixture
def ahead(shown: list[int], slates: Slates) -> Iterator[Ahead]:
    """With a slate, and the stream s that ends at 5."""
    ahead = Ahead(lambda turn: shown.extend(item[2] for item in turn), lambda: None, Commits())
    ahead.come(slates.make("w", 1))
    ahead.ready("s", 1, EPOCH, 5)
    yield ahead
    for each in ahead.close():
        if not isinstance(each, tuple):
            each.close()


def test_the_next_append_is_taken_and_nothing_else(ahead: Ahead, shown: list[int]) -> None:
    assert ahead.take(append(5))
    assert ahead.take(append(6))
    assert not ahead.take(append(6))
    assert not ahead.take(append(8))
    assert not ahead.take(append(7, close=True))
    assert not ahead.take(append(7, epoch=Epoch(2, "bbbbbb")))
    assert shown == []
    assert ahead.write() == []
    assert shown == [5, 6]


@pytest.mark.parametrize("of", ["s", ALL])
def test_nothing_is_taken_while_the_thread_has_something_to_do(ahead: Ahead, of: str) -> None:
    ahead.hold(of)
    ahead.hold(of)
    assert not ahead.take(append(5))
    ahead.done([of])
    ahead.ready("s", 1, EPOCH, 5)
    assert not ahead.take(append(5))
    ahead.done([of])
    ahead.ready("s", 1, EPOCH, 6)
    assert ahead.take(append(6))


def test_streams_go_on_with_the_next_slate(ahead: Ahead, slates: Slates, shown: list[int]) -> None:
    ahead.come(slates.make("w", 2))
    assert ahead.take(append(5))
    assert ahead.write() == []
    assert ahead.take(append(6))
    assert ahead.write() == []
    assert shown == [5, 6]


def test_a_slate_that_comes_when_nothing_is_written_is_not_kept(
    ahead: Ahead, slates: Slates, tmp_path: Path
) -> None:
    ahead.hold("s")
    ahead.come(slates.make("w", 2))
    assert ahead.write() == []
    assert len(list(tmp_path.iterdir())) == 1
    assert ahead.moving() == []


def test_after_a_seal_the_next_slate_begins_with_nothing(
    ahead: Ahead, slates: Slates, shown: list[int]
) -> None:
    """What was taken over before the next one was made is not known here yet."""
    slates.seal(of="w")
    ahead.come(slates.make("w", 2))
    assert ahead.write() == []
    assert not ahead.take(append(5))


def test_what_was_taken_before_a_seal_was_seen_goes_to_the_thread(
    ahead: Ahead, slates: Slates, shown: list[int]
) -> None:
    assert ahead.take(append(5))
    slates.seal(of="w")
    assert ahead.write() == [append(5)]
    assert shown == []
    # That is then what the thread has to do.
    ahead.come(slates.make("w", 2))
    ahead.ready("s", 1, EPOCH, 5)
    assert not ahead.take(append(6))
