"""A vendor's dialect as an event stream: its short way is the long one."""

from __future__ import annotations

import json

import pytest

from fairlead.dialects import openai_chat
from fairlead.events.model import Error, Token
from fairlead.framing.event_stream import Parser
from fairlead.transports.vendor_sse import ChatSseWire, VendorSseWire
from tests.dialects.recorded import RECORDED
from tests.dialects.test_openai_chat import META, OPENING, STREAM, events_of

ALL = openai_chat.Options(include_usage=True)


@pytest.mark.parametrize("name", RECORDED)
def test_the_short_way_gives_what_the_long_one_does(name: str) -> None:
    short = ChatSseWire(STREAM, META, ALL)
    long = VendorSseWire(STREAM, META, openai_chat, ALL)
    states = short.begin(0), long.begin(0)
    for number, event in enumerate(events_of(RECORDED[name])):
        position = b"%d" % number
        (one, quick), (two, slow) = (
            wire.step(state, event, position)
            for wire, state in zip((short, long), states, strict=True)
        )
        assert quick == slow
        assert one == two
        states = one, two


def test_the_last_block_of_a_record_has_its_position() -> None:
    wire = ChatSseWire(STREAM, META, ALL)
    state = wire.begin(0)
    blocks = []
    for number, event in enumerate(events_of(RECORDED["openai"])):
        state, data = wire.step(state, event, b"p%d" % number)
        if data:
            assert b"id: %b.p%d\n" % (STREAM.encode(), number) in data.split(b"\n\n")[-2] + b"\n"
        blocks.append(data)
    frames = Parser().feed(b"".join(blocks))
    assert frames[-1].data == b"[DONE]"
    assert all(frame.event == "" for frame in frames)


@pytest.mark.parametrize("reason", ["draining", "busy"])
def test_a_reader_that_is_sent_away_is_told_an_error(reason: str) -> None:
    wire = ChatSseWire(STREAM, META, ALL)
    fields = {"retry_after": 1.0} | ({"reason": reason} if reason != "draining" else {})
    (frame,) = Parser().feed(wire.notice("drain", fields, b"p"))
    assert json.loads(frame.data)["error"]["code"] == reason
    assert frame.id is None, "it is no record: the reader stands where it stood"
    failed = {"error": "over", "code": "revoked", "retryable": False}
    (frame,) = Parser().feed(wire.notice("error", failed, b"p"))
    assert json.loads(frame.data)["error"]["code"] == "invalid_api_key"


def test_nothing_follows_an_error() -> None:
    wire = ChatSseWire(STREAM, META, ALL)
    state = wire.begin(0)
    for event in (OPENING, Token(1, "a"), Token(2, "b"), Error(3, "cut", "upstream_cut")):
        state, data = wire.step(state, event, b"p")
    assert data
    assert wire.step(state, Token(4, "c"), b"p")[1] == b""


def test_readers_who_ask_for_the_same_share_their_bytes() -> None:
    plain, usage = openai_chat.Options(), openai_chat.Options(include_usage=True)
    assert ChatSseWire("s", META, plain).key == ChatSseWire("s", META, plain).key
    assert ChatSseWire("s", META, plain).key != ChatSseWire("s", META, usage).key
