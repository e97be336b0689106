"""The newest records in memory: never wrong, never too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.journal.log import Head, Term
from fairlead.journal.position import Epoch
from fairlead.stores.sqlite.hot import HotStreams

TERMS = (Term(Epoch(1, "aaaaaa"), 0),)
LOG = [b"%d" % i * (1 + i % 3) for i in range(60)]


def head(tail: int) -> Head:
    return Head(TERMS, 0, tail)


@given(
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 8), st.booleans()), max_size=30),
    st.integers(1, 80),
    st.integers(0, 60),
    st.integers(1, 50),
)
def test_news_in_any_order_and_twice(
    news: list[tuple[int, int, bool]], room: int, offset: int, max_bytes: int
) -> None:
    """Commits may be told of late, again, or not at all."""
    hot = HotStreams(stream_bytes=room)
    hot.keep("s", writing=False)
    told = 0
    for at, count, with_head in news:
        records = LOG[at : at + count]
        tail = at + len(records)
        hot.extend("s", head(tail) if with_head else None, at, records)
        if with_head or told:
            told = max(told, tail)
        if records and told == tail and len(records) == 1:
            # The newest record is always there.
            batch = hot.batch("s", at, max_bytes)
            assert batch is not None
            assert list(batch.records) == records
    batch = hot.batch("s", offset, max_bytes)
    if batch is not None:
        records = list(batch.records)
        assert records == LOG[offset : offset + len(records)]
        assert batch.head.tail == told
        assert records or offset >= told
    newest = hot.batch("s", told, 10)
    assert newest is None or list(newest.records) == []


@given(st.lists(st.integers(0, 40), max_size=40))
def test_one_stream_is_bounded(sizes: list[int]) -> None:
    hot = HotStreams(stream_bytes=100)
    hot.keep("s", writing=True)
    for i, size in enumerate(sizes):
        hot.extend("s", head(i + 1), i, [b"x" * size])
        assert hot.bytes <= 100
        batch = hot.batch("s", i, 1000)
        assert batch is not None
        assert list(batch.records) == [b"x" * size]


def test_all_streams_are_bounded_together() -> None:
    hot = HotStreams(stream_bytes=1000, total_bytes=2000)
    for n in range(10):
        hot.keep(f"s{n}", writing=True)
        for i in range(9):
            hot.extend(f"s{n}", head(i + 1), i, [b"x" * 100])
            assert hot.bytes <= 2000
    # The newest stream kept its records; the oldest goes on with what comes.
    assert hot.batch("s9", 0, 10_000) is not None
    assert hot.batch("s0", 0, 10_000) is None
    hot.extend("s0", head(10), 9, [b"y"])
    batch = hot.batch("s0", 9, 100)
    assert batch is not None
    assert list(batch.records) == [b"y"]
    for n in range(10):
        hot.drop(f"s{n}")
    assert hot.bytes == 0


def test_what_was_forgotten_is_not_answered() -> None:
    hot = HotStreams()
    hot.keep("s", writing=False)
    hot.extend("s", head(2), 0, [b"a", b"b"])
    hot.forget("s")
    assert hot.batch("s", 0, 100) is None
    hot.extend("s", None, 2, [b"c"])
    assert hot.batch("s", 2, 100) is None
    assert hot.bytes == 0
    hot.extend("s", head(4), 3, [b"d"])
    assert hot.batch("s", 2, 100) is None
    batch = hot.batch("s", 3, 100)
    assert batch is not None
    assert list(batch.records) == [b"d"]
