"""The messages of a socket: what is understood, and what is said of the rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import Busy, HistoryGone
from fairlead.framing.message import (
    MAX_ID,
    Attach,
    Authenticate,
    Chat,
    Detach,
    Interrupt,
    Malformed,
    Ping,
    Stop,
    answer,
    decode,
    refusal,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"chat","message":"Hi"}', Chat(message="Hi")),
        (
            '{"type":"chat","question":"Hi","key":"k","parameters":{"a":[1]},"id":"1","more":0}',
            Chat(question="Hi", key="k", parameters={"a": [1]}, id="1"),
        ),
        ('{"type":"attach","stream":"s"}', Attach(stream="s")),
        ('{"stream":"s","after":"p","type":"attach"}', Attach(stream="s", after="p")),
        ('{"type":"detach","stream":"s"}', Detach(stream="s")),
        ('{"type":"stop","stream":"s"}', Stop(stream="s")),
        (
            '{"type":"interrupt","stream":"s","shown":"p","message":"No"}',
            Interrupt(stream="s", shown="p", message="No"),
        ),
        ('{"type":"authenticate","token":"t"}', Authenticate(token="t")),
        ('{"type":"ping","id":"测"}', Ping(id="测")),
    ],
)
def test_what_a_client_may_say(text: str, message: object) -> None:
    assert decode(text) == message


@pytest.mark.parametrize(
    ("text", "id", "words"),
    [
        ("nonsense", "", "not valid JSON"),
        ("", "", "not valid JSON"),
        ("[]", "", "object"),
        ("{}", "", "'type' must be one of: chat, attach"),
        ('{"type":"dance","id":"7"}', "7", "'type' must be one of"),
        ('{"type":7}', "", "$.type"),
        ('{"type":"ping","id":7}', "", "$.id"),
        ('{"type":"attach","id":"7"}', "7", "stream"),
        ('{"type":"chat","id":"7","message":7}', "7", "$.message"),
        ('{"type":"chat","id":"7","parameters":[]}', "7", "$.parameters"),
        ('{"type":"stop","id":"7","stream":"%s"}' % ("s" * 300), "7", "'stream'"),
        ('{"type":"ping","id":"%s"}' % ("x" * (MAX_ID + 1)), "", "'id'"),
        ('{"type":"chat","message":"\\ud800"}', "", "JSON"),
        ('{"type":"chat","parameters":%s}' % ('{"a":' * 100_000 + "1" + "}" * 100_000), "", "deep"),
    ],
)
def test_what_is_wrong_is_named_and_carries_its_id(text: str, id: str, words: str) -> None:
    found = decode(text)
    assert isinstance(found, Malformed)
    assert found.id == id
    assert words in found.error.message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    ["type", "id", "stream", "after", "shown", "message", "key", "token", "parameters", "parent"]
)
_VALUES = st.sampled_from(["chat", "attach", "detach", "stop", "interrupt", "authenticate"]) | _JSON


@given(st.text() | st.dictionaries(_FIELDS, _VALUES).map(json.dumps))
def test_anything_is_a_message_or_malformed(text: str) -> None:
    found = decode(text)
    if isinstance(found, Malformed):
        assert found.error.message
        assert found.error.code == "bad_request"


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(decode('{"type":"authenticate","token":"secret"}'))
    wrong = decode('{"type":"authenticate","token":["secret"]}')
    assert isinstance(wrong, Malformed)
    assert "secret" not in wrong.error.message


def test_answers_leave_out_what_is_empty() -> None:
    assert answer("pong") == b'{"type":"pong"}'
    assert json.loads(answer("attached", id="1", stream="s", data={"a": 0})) == {
        "type": "attached",
        "stream": "s",
        "id": "1",
        "data": {"a": 0},
    }


def test_a_refusal_says_whether_and_when_to_try_again() -> None:
    assert json.loads(refusal(Busy("full", retry_after=5), id="1"))["data"] == {
        "error": "full",
        "code": "busy",
        "retryable": True,
        "retry_after": 5,
    }
    gone = json.loads(refusal(HistoryGone("gone", first="p"), stream="s"))
    assert (gone["stream"], gone["data"]["first"]) == ("s", "p")
