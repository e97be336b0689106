"""Events as records."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import StoreCorrupt
from fairlead.events.codec import decode, encode
from fairlead.events.model import Event, Relayed, Token, Unknown
from fairlead.framing.event_stream import Parser
from tests.events.strategies import events


@given(events)
def test_a_record_gives_the_event_back(event: Event) -> None:
    record = encode(event)
    again = decode(record)
    assert type(again) is type(event)
    assert encode(again) == record
    assert again == event


@given(events)
def test_a_record_is_one_line_of_json_with_its_kind_first(event: Event) -> None:
    record = encode(event)
    assert b"\n" not in record
    value = json.loads(record)
    assert next(iter(value)) == "kind"
    assert value["at"] == event.at


lines = st.text(st.characters(blacklist_characters="\r\n\0", codec="utf-8"), max_size=20)


@given(
    st.builds(
        Relayed,
        at=st.just(0),
        data=st.lists(lines, min_size=1).map(lambda several: "\n".join(several).encode()),
        event=lines,
        id=st.text("0123456789abcdef:;-_~", max_size=20),
        retry=st.none() | st.integers(0, 10**9),
    )
)
def test_another_applications_event_is_kept_as_its_lines(event: Relayed) -> None:
    record = encode(event)
    assert decode(record) == event
    (came,) = Parser().feed(record + b"\n\n")
    assert (came.data, came.event, came.id or "") == (event.data, event.event, event.id)


@given(st.text(min_size=1).filter(lambda kind: kind.isupper()), st.integers())
def test_a_kind_of_a_later_version_is_kept(kind: str, depth: int) -> None:
    record = json.dumps({"kind": kind, "at": 5, "depth": depth}).encode()
    assert decode(record) == Unknown(kind, record)


@given(events)
def test_fields_of_a_later_version_are_passed_over(event: Event) -> None:
    record = encode(event)
    assert decode(record[:-1] + b',"of a later version":[1,{"a":null}]}') == event


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"{}", b'{"kind":""}', b'{"kind":7}',
     b'{"kind":"token"}', b'{"kind":"token","at":"now","text":"x"}', b'{"kind":"token","at":1}',
     b'{"kind":"done","at":1,"status":"exploded"}'],
)  # fmt: skip
def test_what_is_no_event_is_damage(record: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="does not hold an event"):
        decode(record)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_an_event_or_damage(record: bytes) -> None:
    with suppress(StoreCorrupt):
        assert decode(record) == decode(record)


def test_an_extra_rides_along_unchanged() -> None:
    raw = b'{"logprobs": [ 1.50 ], "x":"\\u00e9"}'
    event = Token(at=1, text="a", extra=msgspec.Raw(raw))
    again = decode(encode(event))
    assert isinstance(again, Token)
    assert bytes(again.extra) == raw
