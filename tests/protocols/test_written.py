"""The lines in which programs write answers over HTTP."""

from __future__ import annotations

import re

import pytest

from fairlead.dialects import written
from fairlead.errors import BadRequest
from fairlead.events import pieces
from fairlead.events.model import Done, Error, Source, Usage


def test_every_type() -> None:
    body = """
{"type": "thinking", "data": {"status": "reading", "message": "…"}}

{"type": "sources", "data": {"sources": [{"title": "A book", "span": [1, 2]}]}}
{"type": "token", "data": {"token": "断线\\u2028👩"}}
{"type": "reasoning", "data": {"reasoning": "because"}}
{"type": "progress", "data": {"fraction": 0.5}}
{"type": "media", "data": {"content_type": "image/png", "data": "iVBORw=="}}
{"type": "media", "data": {"content_type": "image/png", "address": "https://example.com/a"}}
{"type": "usage", "data": {"input_tokens": 3}}
{"type": "error", "data": {"error": "no paper", "retryable": true}}"""
    book = Source("", "A book", "", (1, 2), 0.0, "")
    assert written.read(body.encode()) == [
        pieces.thinking("reading", "…"),
        pieces.sources([book]),
        "断线\u2028👩",
        pieces.reasoning("because"),
        pieces.progress("", 0.5),
        pieces.media("image/png", b"\x89PNG"),
        pieces.media("image/png", address="https://example.com/a"),
        Usage(0, 3),
        Error(0, "no paper", "upstream_error", True),
    ]
    assert written.read(b'{"type": "done"}\r\n') == [Done(0)]
    assert written.read(b"\n\n") == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "line 2 is not valid JSON"),
        (b"[]", "line 2 is not right: Expected `object`"),
        (b'{"type": "reset", "data": {"text": ""}}', "line 2: 'type' must be one of: thinking, "),
        (b'{"type": "token"}', "line 2 is not right: .*`token`"),
        (b'{"type": "token", "data": 5}', "line 2 is not right: Expected `object`"),
        (b'{"type": "token", "data": {"token": 5}}', "line 2 is not right: Expected `str`"),
        (b'{"type": "token", "data": {"token": "x", "part": 7}}', "line 2 is not right.*`part`"),
        (b'{"type": "token", "position": "1", "data": {}}', "line 2 is not right.*`position`"),
        (b'{"type": "progress", "data": {"fraction": 2}}', "line 2 is not right: .*<= 1"),
        (b'{"type": "usage", "data": {"input_tokens": -1}}', "line 2 is not right: .*>= 0"),
        (b'{"type": "media", "data": {"content_type": "a/b"}}', "line 2: media has either data"),
        (b'{"type": "media", "data": {"content_type": "", "data": "?"}}', "line 2 is not right"),
        (b'{"type": "done"}\n{"type": "done"}', "line 2 ends the answer, and yet more lines"),
        (b"[" * 100_000, "line 2 is"),
        (b'{"type": "token", "data": {"token": "\xff"}}', "line 2 is not valid JSON"),
        (b'{"type": "token", "data": {"token": "\\ud800"}}', "line 2 is not valid JSON"),
    ],
)
def test_what_is_no_line_is_named(line: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        written.read(b'{"type": "token", "data": {"token": "a"}}\n' + line)
    assert re.match(words, refused.value.message), refused.value.message
