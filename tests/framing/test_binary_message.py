"""Attachments in binary messages: what is understood, and what is said of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.events.attachment import Attachment
from fairlead.framing.message import MAX_HEAD, MAX_ID, Malformed, Upload, decode_binary


def made(body: bytes, /, **head: Any) -> bytes:
    return json.dumps({"type": "attachment", **head}).encode() + b"\n" + body


words = st.text(max_size=40)


@given(st.text(min_size=1, max_size=40), words, words, st.binary(max_size=300))
def test_every_byte_arrives(id: str, type: str, name: str, data: bytes) -> None:
    head = {"content_type": type, "name": name, "data": ""}
    assert decode_binary(made(data, id=id, data=head)) == Upload(id, Attachment(type, data, name))


@pytest.mark.parametrize(
    ("data", "id", "words"),
    [
        (b"", "", "one line of JSON"),
        (b"\x89PNG\r no line", "", "one line of JSON"),
        (b"\n\0", "", "not valid JSON"),
        (b"[]\n", "", "is not right"),
        (b'{"type":"attachment","id":"\xff"}\n', "", "not"),
        (b"[" * 4000 + b"\n", "", "not"),
        (made(b"x", id="1", data={"name": "x"}), "", "content_type"),
        (made(b"x", id="1"), "1", "'data' is missing"),
        (made(b"x", data={"content_type": "a/b"}), "", "'id' is missing"),
        (made(b"x", id="x" * (MAX_ID + 1)), "", "'id' must have"),
        (made(b"x", id="1" * 9, data={"content_type": "x" * MAX_HEAD}), "", "one line of JSON"),
        (b'{"type":"media","id":"1"}\nx', "1", "'attachment'"),
        (b'{"id":"1"}\nx', "1", "'attachment'"),
    ],
)
def test_the_rest_is_malformed(data: bytes, id: str, words: str) -> None:
    found = decode_binary(data)
    assert isinstance(found, Malformed)
    assert found.id == id
    assert words in found.error.message
