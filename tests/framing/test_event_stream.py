"""The event-stream parser and encoder.

The named vectors re-express the parsing cases of the web platform tests (eventsource/) and of the
eventsource-parser package as bytes; the property tests compare with tests/framing/spec_parser.py.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairlead.errors import FairleadError
from fairlead.framing.event_stream import HEARTBEAT, Frame, FrameTooLarge, Parser, encode
from tests.framing.spec_parser import interpret


def parse(*pieces: bytes) -> list[Frame]:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


def data_of(*pieces: bytes) -> list[bytes]:
    return [frame.data for frame in parse(*pieces)]


def every_split_in_two(stream: bytes) -> list[tuple[bytes, bytes]]:
    return [(stream[:i], stream[i:]) for i in range(len(stream) + 1)]


def in_single_bytes(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


LONG = b"x" * 2049

# (what it shows, the stream, the data of the events it dispatches)
DATA_VECTORS: list[tuple[str, bytes, list[bytes]]] = [
    ("one event", b"data: hi\n\n", [b"hi"]),
    ("lines are joined by LF", b"data:msg\ndata: msg\n\n", [b"msg\nmsg"]),
    ("unknown fields among data", b"data:msg\ndata:msg\n\n:\nfalsefield:msg\n\n", [b"msg\nmsg"]),
    ("field names are exact", b"Data:data\n\ndata\n\ndata:end\n\n", [b"", b"end"]),
    (
        "an empty data line dispatches",
        b"data:\n\ndata\ndata\n\ndata:test\n\n",
        [b"", b"\n", b"test"],
    ),
    ("no blank line, no event", b"retry:1000\ndata:test1\n\nid:test\ndata:test2", [b"test1"]),
    ("a line end is no blank line", b"data: a\n\ndata: b\n", [b"a"]),
    (
        "one space is stripped, nothing else",
        b"data:\ttest\rdata: \ndata:test\n\n",
        [b"\ttest\n\ntest"],
    ),
    ("two spaces leave one", b"data:  x\n\n", [b" x"]),
    ("all three line ends", b"data:test\r\ndata\ndata:test\r\n\r\n", [b"test\n\ntest"]),
    (
        "CR alone",
        b"data: dog\rdata: bark\r\rdata: cat\rdata: meow\r\r",
        [b"dog\nbark", b"cat\nmeow"],
    ),
    ("CRLF", b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", [b"a\nb", b"c"]),
    ("CR CRLF is a blank line", b"data: a\r\r\ndata: b\r\r\n", [b"a", b"b"]),
    ("LF CR is a blank line", b"data: a\n\rdata: b\n\r", [b"a", b"b"]),
    ("CRLF is one line end", b"data: A\r\ndata: B\r\ndata: C\r\n\r\n", [b"A\nB\nC"]),
    (
        "comments everywhere",
        b"data:1\r:\0\n:\r\ndata:2\n:" + LONG + b"\rdata:3\n:data:fail\r:" + LONG + b"\ndata:4\n\n",
        [b"1\n2\n3\n4"],
    ),
    (
        "comments between events",
        b": Hello\n\n" + b":" * 300 + b"\ndata: First\n\n: x: y\ndata: Second\n\n:data: no\n\n",
        [b"First", b"Second"],
    ),
    ("a heartbeat inside a block", b"data: a\n" + HEARTBEAT + b"data: b\n\n", [b"a\nb"]),
    (
        "other fields are ignored",
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        [b"test\n\ntest"],
    ),
    (
        "NUL ends no line and spoils a name",
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\r"
        b"data:\r\n data:32\ndata:4\n\n",
        [b"\0\n 2\n1\n3\n\n4"],
    ),
    ("a leading BOM is stripped", b"\xef\xbb\xbfdata:1\n\ndata:2\n\n", [b"1", b"2"]),
    (
        "only one BOM is stripped",
        b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n",
        [b"2", b"3"],
    ),
    ("a BOM later is text", b"data:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", [b"1", b"3"]),
    ("a BOM in the data stays", b"data:\xef\xbb\xbf1\n\n", [b"\xef\xbb\xbf1"]),
    ("half a BOM is text", b"\xef\xbbdata:1\n\ndata:2\n\n", [b"2"]),
    ("blank lines alone", b"\n\n\n\r\r\r\n\r\n", []),
    (
        "blank lines first",
        "\n\n\n\nid: 1\ndata: 我現在都看實況不玩遊戲\n\n".encode(),
        ["我現在都看實況不玩遊戲".encode()],
    ),
    ("UTF-8 always", "data:ok…\n\n".encode(), ["ok…".encode()]),
    ("the colon may recur", b'data: {"a": "b:c"}\n\n', [b'{"a": "b:c"}']),
    ("a JSON error page is no event", b'{"error":"Internal Server Error"}\n\ndata: x\n\n', [b"x"]),
    # What str.splitlines() would split on and the format does not.
    (
        "U+2028, U+2029, U+0085",
        "data: a\u2028b\u2029c\u0085d\n\n".encode(),
        ["a\u2028b\u2029c\u0085d".encode()],
    ),
    (
        "VT, FF, FS, GS, RS",
        b"data: a\x0bb\x0cc\x1cd\x1de\x1ef\n\n",
        [b"a\x0bb\x0cc\x1cd\x1de\x1ef"],
    ),
    # Decoding: one U+FFFD for each maximal part of an invalid sequence.
    ("a stray continuation byte", b"data: a\x80b\n\n", ["a\ufffdb".encode()]),
    ("a sequence cut by the line end", b"data: \xe2\x82\ndata: x\n\n", ["\ufffd\nx".encode()]),
    ("an encoded surrogate", b"data: \xed\xa0\x80\n\n", ["\ufffd\ufffd\ufffd".encode()]),
    ("an overlong slash", b"data: \xc0\xaf\n\n", ["\ufffd\ufffd".encode()]),
]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [pytest.param(stream, expected, id=name) for name, stream, expected in DATA_VECTORS],
)
class TestDataVectors:
    def test_whole(self, stream: bytes, expected: list[bytes]) -> None:
        assert data_of(stream) == expected

    def test_the_yardstick_agrees(self, stream: bytes, expected: list[bytes]) -> None:
        assert [frame.data for frame in interpret(stream).frames] == expected

    def test_every_byte_alone(self, stream: bytes, expected: list[bytes]) -> None:
        assert data_of(*in_single_bytes(stream)) == expected

    def test_split_anywhere(self, stream: bytes, expected: list[bytes]) -> None:
        # The long vectors add nothing here but time.
        for first, second in every_split_in_two(stream[:400] + stream[-400:]):
            assert parse(first, second) == interpret(first + second).frames


class TestEvent:
    def test_names_the_frame(self) -> None:
        assert parse(b"event:test\ndata:x\n\ndata:x\n\n") == [Frame(b"x", "test"), Frame(b"x", "")]

    def test_empty_is_the_same_as_absent(self) -> None:
        assert parse(b"event: \ndata:data\n\n") == parse(b"data:data\n\n") == [Frame(b"data")]

    def test_last_one_of_a_block_counts(self) -> None:
        assert parse(b"event: a\nevent: b\ndata: x\n\n") == [Frame(b"x", "b")]

    def test_does_not_outlive_a_block_without_data(self) -> None:
        assert parse(b"event: done\n\ndata: x\n\n") == [Frame(b"x", "")]

    def test_is_decoded(self) -> None:
        assert parse("event: prüfung\ndata: x\n\n".encode()) == [Frame(b"x", "prüfung")]
        assert parse(b"event: \xff\ndata: x\n\n") == [Frame(b"x", "\ufffd")]


class TestId:
    def test_none_until_the_stream_gives_one(self) -> None:
        assert parse(b"data: x\n\nid: 1\ndata: y\n\n") == [Frame(b"x"), Frame(b"y", "", "1")]

    def test_persists(self) -> None:
        assert [f.id for f in parse(b"id: 1\ndata: x\n\ndata: y\n\n")] == ["1", "1"]

    def test_persists_when_each_block_comes_alone(self) -> None:
        assert [f.id for f in parse(b"id: 1\ndata: x\n\n", b"data: y\n\n")] == ["1", "1"]

    def test_changes_and_persists(self) -> None:
        stream = b"id: 1\ndata: x\n\nid: 2\ndata: x\n\ndata: x\n\n"
        assert [f.id for f in parse(stream)] == ["1", "2", "2"]

    @pytest.mark.parametrize("line", [b"id:\n", b"id\n", b"id: \n"])
    def test_empty_takes_it_back(self, line: bytes) -> None:
        stream = b"id: 1\ndata: x\n\n" + line + b"data: x\n\ndata: x\n\n"
        assert [f.id for f in parse(stream)] == ["1", "", ""]

    @pytest.mark.parametrize("bad", [b"id: \0\n", b"id: bad\0id\n"])
    def test_with_nul_is_ignored(self, bad: bytes) -> None:
        assert [f.id for f in parse(b"id: 123\n" + bad + b"data: hello\n\n")] == ["123"]
        assert [f.id for f in parse(bad + b"data: hello\n\n")] == [None]

    def test_keeps_spaces_and_utf_8(self) -> None:
        assert [f.id for f in parse("id:  … x \ndata: y\n\n".encode())] == [" … x "]

    def test_counts_for_a_reconnect_only_after_the_blank_line(self) -> None:
        parser = Parser()
        assert parser.feed(b"id: 42\n") == []
        assert parser.last_event_id is None
        assert parser.feed(b"\n") == []
        assert parser.last_event_id == "42"
        assert parser.feed(b"data: x\n\n") == [Frame(b"x", "", "42")]
        # Also where the rest of the block arrives in one piece.
        assert parser.feed(b"id: 43\n") == []
        assert parser.feed(b"data: x\n\n") == [Frame(b"x", "", "43")]
        assert parser.last_event_id == "43"


class TestRetry:
    @pytest.mark.parametrize("line", [b"retry:3000", b"retry: 3000", b"retry: 03000"])
    def test_digits(self, line: bytes) -> None:
        parser = Parser()
        parser.feed(line + b"\n")
        assert parser.retry == 3000

    @pytest.mark.parametrize(
        "value",
        [
            b"2000x",
            b"",
            b" 1",
            b"-1",
            b"+1",
            b"1.5",
            b"1e3",
            "\u0663".encode(),
            b"1_0",
            b"9" * 5000,
        ],
    )
    def test_anything_else_is_ignored(self, value: bytes) -> None:
        parser = Parser()
        frames = parser.feed(b"retry: 1000\nretry: " + value + b"\ndata:x\n\n")
        assert parser.retry == 1000
        assert frames == [Frame(b"x")]

    def test_without_a_value_is_ignored(self) -> None:
        parser = Parser()
        parser.feed(b"retry\n\n")
        assert parser.retry is None


class TestIncremental:
    def test_an_event_is_returned_by_the_byte_that_finishes_it(self) -> None:
        for stream in (b"data: x\n\n", b"data: x\r\r", b"data: x\r\n\r"):
            parser = Parser()
            for byte in in_single_bytes(stream[:-1]):
                assert parser.feed(byte) == []
            assert parser.feed(stream[-1:]) == [Frame(b"x")]

    def test_a_crlf_split_after_its_cr_ends_one_line(self) -> None:
        assert data_of(b"data: A\r\n", b"data: B\r", b"\n", b"data: C\r\n", b"\n") == [b"A\nB\nC"]
        assert data_of(b"data: one\r", b"\r", b"\n") == [b"one"]

    def test_an_empty_input_between_cr_and_lf_changes_nothing(self) -> None:
        assert data_of(b"data: A\r", b"", b"\ndata: B\r\n\r\n") == [b"A\nB"]

    def test_a_cr_at_the_end_of_a_comment(self) -> None:
        assert data_of(b"data: one\n:ignored\r", b"data: two\n\n") == [b"one\ntwo"]
        assert data_of(b"data: one\n:ignored\r", b"\ndata: two\n\n") == [b"one\ntwo"]

    def test_inside_the_bom(self) -> None:
        assert data_of(b"\xef", b"\xbb", b"", b"\xbfdata: x\n\n") == [b"x"]
        assert data_of(b"\xef\xbb", b"data: x\n\ndata: y\n\n") == [b"y"]

    def test_inside_a_character(self) -> None:
        assert data_of(b"data: \xf0\x9f", b"\xa5", b"\x8c\n\n") == ["🥌".encode()]

    def test_whole_blocks_between_split_ones(self) -> None:
        pieces = (
            b"data: a\n\n",
            b"data: b\n\ndata: ",
            b"c\n\n",
            b"data: d\n\n",
            b"data: e\r\n\r\n",
        )
        assert data_of(*pieces) == [b"a", b"b", b"c", b"d", b"e"]

    def test_a_whole_block_after_an_unfinished_one_belongs_to_it(self) -> None:
        assert parse(b"data: 0\n\n", b"event: e\n", b"data: x\n\n") == [
            Frame(b"0"),
            Frame(b"x", "e"),
        ]
        assert data_of(b"data: 0\n\n", b"data: a\n", b"data: b\n\n") == [b"0", b"a\nb"]
        assert data_of(b"data: 0\n\n", b"data: a", b"data: b\n\n") == [b"0", b"adata: b"]

    def test_blocks_with_cr_inside_take_no_shortcut(self) -> None:
        assert data_of(b"data: 0\n\n", b"data: a\rdata: b\n\n") == [b"0", b"a\nb"]


class TestLimit:
    def test_a_line_of_the_limit_passes(self) -> None:
        parser = Parser(max_event_bytes=20)
        line = b"data: " + b"x" * 14
        for _ in range(2):
            assert parser.feed(line + b"\n\n") == [Frame(b"x" * 14)]
        for byte in in_single_bytes(line):
            assert parser.feed(byte) == []
        assert parser.feed(b"\r\r") == [Frame(b"x" * 14)]

    @pytest.mark.parametrize("prefix", [b"data: ", b":", b"event: ", b"id: ", b"unknown: ", b""])
    def test_a_longer_line_does_not(self, prefix: bytes) -> None:
        line = prefix.ljust(21, b"x")
        for tail in (b"", b"\n", b"\n\n"):
            parser = Parser(max_event_bytes=20)
            parser.feed(b"data: 0\n\n")
            with pytest.raises(FrameTooLarge, match=r"a line .* 20 bytes"):
                parser.feed(line + tail)

    def test_an_unfinished_line_is_refused_before_it_ends(self) -> None:
        parser = Parser(max_event_bytes=20)
        for byte in in_single_bytes(b"x" * 20):
            parser.feed(byte)
        with pytest.raises(FrameTooLarge):
            parser.feed(b"x")

    def test_many_lines_make_an_event_too_large(self) -> None:
        parser = Parser(max_event_bytes=20)
        assert parser.feed(b"data: 0123456789\n") == []
        assert parser.feed(b"data: 012345678\n") == []
        with pytest.raises(FrameTooLarge, match="an event"):
            parser.feed(b"data\n")

    def test_comments_and_other_fields_do_not_add_up(self) -> None:
        parser = Parser(max_event_bytes=20)
        for _ in range(50):
            assert parser.feed(HEARTBEAT + b"event: abc\nid: 1\nnothing: 1\n") == []
        assert parser.feed(b"data: x\n\n") == [Frame(b"x", "abc", "1")]

    def test_events_before_the_error_are_not_lost(self) -> None:
        parser = Parser(max_event_bytes=20)
        assert parser.feed(b"data: a\n\ndata: b\n\n" + b"x" * 21) == [Frame(b"a"), Frame(b"b")]
        with pytest.raises(FrameTooLarge):
            parser.feed(b"")

    def test_the_error_stays(self) -> None:
        parser = Parser(max_event_bytes=20)
        for _ in range(3):
            with pytest.raises(FrameTooLarge) as caught:
                parser.feed(b"x" * 21)
        assert isinstance(caught.value, FairleadError)
        assert caught.value.details == {"limit": 20}
        with pytest.raises(FrameTooLarge):
            parser.feed(b"data: x\n\n")

    def test_must_be_positive(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            Parser(max_event_bytes=0)

    def test_a_dripped_line_of_a_megabyte_is_linear(self) -> None:
        # Quadratic work would be some 10^12 byte moves here: hours, not seconds.
        parser = Parser(max_event_bytes=1 << 21)
        parser.feed(b"data: ")
        for _ in range(1 << 20):
            parser.feed(b"x")
        assert parser.feed(b"\n\n") == [Frame(b"x" * (1 << 20))]


class TestEncode:
    def test_blocks(self) -> None:
        assert encode(b'{"a":1}') == b'data: {"a":1}\n\n'
        assert encode(b"") == b"data: \n\n"
        assert (
            encode(b"x", event=b"token", id=b"s.1", retry=5000)
            == b"event: token\nid: s.1\nretry: 5000\ndata: x\n\n"
        )
        assert encode(b"x", id=b"") == b"id: \ndata: x\n\n"

    @pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
    def test_line_ends_in_the_data_start_lines(self, end: bytes) -> None:
        assert encode(b"a" + end + b"b" + end) == b"data: a\ndata: b\ndata: \n\n"

    def test_other_separators_stay(self) -> None:
        text = "a\u2028b\u0085c\x0bd".encode()
        assert encode(text) == b"data: " + text + b"\n\n"

    @pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"a\0b"])
    def test_fields_that_would_forge_others_are_refused(self, bad: bytes) -> None:
        with pytest.raises(ValueError, match="event must not contain CR, LF or NUL"):
            encode(b"x", event=bad)
        with pytest.raises(ValueError, match="id must not contain CR, LF or NUL"):
            encode(b"x", id=bad)

    def test_retry_must_not_be_negative(self) -> None:
        assert encode(b"x", retry=0) == b"retry: 0\ndata: x\n\n"
        with pytest.raises(ValueError, match="retry"):
            encode(b"x", retry=-1)

    def test_a_heartbeat_is_no_block(self) -> None:
        assert HEARTBEAT.startswith(b":")
        assert HEARTBEAT.endswith(b"\n")
        assert not HEARTBEAT.endswith(b"\n\n")


# -- properties ------------------------------------------------------------------------------------

#: Bytes in which the format's own characters are likely.
noisy = st.lists(
    st.one_of(
        st.sampled_from(
            [b"data", b"event", b"id", b"retry", b":", b": ", b"\n", b"\r", b"\r\n", b"\n\n", b"\0",
             b"\xef\xbb\xbf", b"12", "€".encode(), "\u2028".encode(), b"data: x\n\n", b": c\n"]
        ),
        st.binary(max_size=3),
    ),
    max_size=30,
).map(b"".join)  # fmt: skip

one_line = st.text(max_size=12).map(lambda s: re.sub("[\r\n\0]", "", s))
frames_to_send = st.lists(
    st.tuples(st.text(max_size=40), one_line, st.none() | one_line), max_size=6
)
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=8)


def pieces_of(stream: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(i, len(stream)) for i in at), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(marks)]


@given(noisy, cuts)
@example(b"data: a\r\ndata: b\r\n\r\n", [8, 9, 17, 18, 19, 20])
@example(b"\xef\xbb\xbfdata: x\n\n", [1, 2])
def test_any_bytes_split_anywhere_read_as_the_rules_say(stream: bytes, at: list[int]) -> None:
    parser = Parser()
    frames = [frame for piece in pieces_of(stream, at) for frame in parser.feed(piece)]
    expected = interpret(stream)
    assert frames == expected.frames
    assert parser.retry == expected.retry
    assert parser.last_event_id == expected.last_event_id


@given(frames_to_send, cuts)
def test_what_is_encoded_is_parsed_back(
    sent: list[tuple[str, str, str | None]], at: list[int]
) -> None:
    stream = b"".join(
        encode(
            data.encode(),
            event=event.encode() or None,
            id=None if id is None else id.encode(),
        )
        for data, event, id in sent
    )
    expected, current = [], None
    for data, event, id in sent:
        current = id if id is not None else current
        expected.append(Frame(re.sub("\r\n|\r", "\n", data).encode(), event, current))
    assert parse(*pieces_of(stream, at)) == expected


def outcome(pieces: list[bytes], limit: int) -> tuple[list[Frame], str | None]:
    parser = Parser(max_event_bytes=limit)
    frames: list[Frame] = []
    try:
        for piece in [*pieces, b""]:
            frames += parser.feed(piece)
    except FrameTooLarge as error:
        return frames, str(error)
    return frames, None


@given(noisy, cuts, st.integers(min_value=1, max_value=40))
def test_the_limit_strikes_at_the_same_place_however_the_input_is_split(
    stream: bytes, at: list[int], limit: int
) -> None:
    assert outcome(pieces_of(stream, at), limit) == outcome([stream], limit)


@given(st.binary(max_size=200), cuts)
def test_what_is_held_back_is_bounded(stream: bytes, at: list[int]) -> None:
    parser = Parser(max_event_bytes=16)
    for piece in pieces_of(stream, at):
        with contextlib.suppress(FrameTooLarge):
            parser.feed(piece)
        held = sum(
            sys.getsizeof(getattr(parser, name))
            for name in ("_tail", "_data", "_head", "_event", "_id")
        )
        assert held < 600
