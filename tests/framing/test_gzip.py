"""A gzip stream that is flushed piece by piece, as any decoder sees it."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.framing.gzip import Gzip

#: Short and long, alike and random, on both sides of every threshold.
_SIZES = (1, 2, 10, 63, 64, 65, 130, 511, 512, 513, 4095, 4096, 70_000)


def decoder() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def event(number: int) -> bytes:
    return b'event: token\ndata: {"token":"word%d "}\nid: 5h2m7abc.0000-%08d-0\n\n' % (
        number % 17,
        number,
    )


def test_each_piece_is_there_when_its_bytes_are() -> None:
    coder, plain = Gzip(), decoder()
    for number in range(200):
        for piece in (event(number), b":\n", event(number)[:63]):
            assert plain.decompress(coder.encode(piece)) == piece
    assert plain.decompress(coder.end()) == b""
    assert plain.eof
    assert not plain.unused_data


@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=300),
            st.integers(0, 1000).map(event),
            st.tuples(st.sampled_from(_SIZES), st.randoms(use_true_random=False)).map(
                lambda made: made[1].randbytes(made[0])
            ),
        ),
        max_size=30,
    )
)
def test_whatever_the_pieces_are(pieces: list[bytes]) -> None:
    coder, plain = Gzip(), decoder()
    made = b""
    for piece in pieces:
        coded = coder.encode(piece)
        assert plain.decompress(coded) == piece
        made += coded
    # Its checksum and its length are looked at here.
    assert gzip.decompress(made + coder.end()) == b"".join(pieces)


def test_readers_of_one_stream_share_blocks_and_history() -> None:
    one, other = Gzip(), Gzip()
    first, second = event(1), event(2)
    one.encode(first), other.encode(first)
    assert one.encode(second) is other.encode(second)
    assert one._before is other._before


def test_a_reader_that_came_later_gets_what_it_can_follow() -> None:
    early, late = Gzip(), Gzip()
    before, after = decoder(), decoder()
    for number in range(5):
        before.decompress(early.encode(event(number)))
    caught_up = b"".join(event(number) for number in range(5))
    assert after.decompress(late.encode(caught_up)) == caught_up
    for number in range(5, 10):
        assert before.decompress(early.encode(event(number))) == event(number)
        assert after.decompress(late.encode(event(number))) == event(number)


def test_events_become_a_quarter() -> None:
    coder = Gzip()
    events = [event(number) for number in range(1000)]
    assert sum(len(coder.encode(each)) for each in events) < sum(map(len, events)) / 4


@pytest.mark.parametrize("size", [300_000, 2_000_000])
def test_what_is_very_large_is_passed_on(size: int) -> None:
    data = random.Random(size).randbytes(size)
    coder, plain = Gzip(), decoder()
    coded = coder.encode(data)
    assert len(coded) < size * 1.001 + 100
    assert plain.decompress(coded) == data
    assert plain.decompress(coder.encode(event(1))) == event(1)


def test_a_body_without_anything_is_a_gzip_stream_as_well() -> None:
    assert gzip.decompress(Gzip().end()) == b""
