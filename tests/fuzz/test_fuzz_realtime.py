"""Whatever is sent to a Realtime session is answered by events of its own shape; the session
lives on, and never says anything that is no server event."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.engine.limits import Limits
from fairlead.errors import FairleadError
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Done, Thinking, Token
from fairlead.protocols.realtime import Answer, Bounds, Cancel, Say, Session
from tests.fuzz.test_fuzz_openai_chat import PICTURE, disturbed
from tests.support.realtime import check

META = GenerationMeta(provider="p", model="m")

_TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
_SESSION: dict[str, Any] = {
    "type": "realtime",
    "model": "m",
    "instructions": "Be brief.",
    "tools": [_TOOL],
    "tool_choice": {"type": "function", "name": "f"},
    "output_modalities": ["text"],
    "max_output_tokens": 9,
    "temperature": 0.5,
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low"},
    "audio": {"input": {"turn_detection": None}},
    "include": [],
    "prompt": None,
    "tracing": "auto",
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
}
_MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "a",
    "role": "user",
    "content": [
        {"type": "input_text", "text": "Hi"},
        {"type": "input_image", "image_url": PICTURE, "detail": "low"},
    ],
}
_CALL = {"type": "function_call", "id": "b", "call_id": "c", "name": "f", "arguments": "{}"}
_OUTPUT = {"type": "function_call_output", "id": "d", "call_id": "c", "output": "18"}
_ANSWER = {
    "type": "message",
    "id": "e",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello"}],
}
_EVENTS: list[dict[str, Any]] = [
    {"type": "session.update", "event_id": "1", "session": _SESSION},
    *(
        {"type": "conversation.item.create", "previous_item_id": "root", "item": item}
        for item in (_MESSAGE, _CALL, _OUTPUT, _ANSWER)
    ),
    {"type": "conversation.item.retrieve", "item_id": "a"},
    {"type": "conversation.item.delete", "item_id": "b"},
    {
        "type": "conversation.item.truncate",
        "item_id": "e",
        "content_index": 0,
        "audio_end_ms": 10,
        "text_end": 2,
    },
    {
        "type": "response.create",
        "event_id": "2",
        "response": {
            **{name: _SESSION[name] for name in ("instructions", "tools", "output_modalities")},
            "conversation": "none",
            "metadata": {"a": "b"},
            "input": [_MESSAGE, {"type": "item_reference", "id": "e"}],
        },
    },
    {"type": "response.create"},
    {"type": "response.cancel", "response_id": "resp_x"},
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
]

_said = st.sampled_from(_EVENTS).flatmap(lambda event: disturbed(event) | st.just(event))
_data = (
    _said.map(json.dumps)
    | st.text(max_size=40)
    | st.binary(max_size=20)
    | st.sampled_from(_EVENTS).flatmap(disturbed).map(lambda v: json.dumps(v, ensure_ascii=False))
)


def opened() -> Session:
    numbers = itertools.count()
    return Session(
        "m", bounds=Bounds(10_000, 20_000, items=20), name=lambda: f"{next(numbers)}", expires_at=9
    )


def understood(events: list[bytes]) -> list[dict[str, Any]]:
    made = [json.loads(event) for event in events]
    for event in made:
        check(event)
    return made


@given(st.lists(_data, max_size=12))
@settings(max_examples=300, deadline=None)
def test_whatever_is_said_the_session_goes_on(messages: list[str | bytes]) -> None:
    session = opened()
    understood([session.opening()])
    streams = itertools.count()
    for data in messages:
        act = session.receive(data)
        match act:
            case Say(events):
                assert understood(events)
            case Answer(ask, reply):
                try:
                    ask.checked(Limits())
                except FairleadError as error:
                    reply.end()
                    understood([session.refusal(error, reply.cause)])
                    continue
                json.loads(ask.vendor.body if ask.vendor is not None else b"")
                reply.begin(f"s{next(streams)}", META)
                for event in (Thinking(1, "writing"), Token(2, "Hi"), Done(3)):
                    understood(reply.take(event))
                assert reply.over
            case Cancel(reply):
                raise AssertionError("no response is under way")
    # It is as good as new.
    for id in ("a", "z"):
        item = {"type": "message", "role": "system", "content": [], "id": id}
        session.receive(json.dumps({"type": "conversation.item.create", "item": item}))
    update = {"type": "session.update", "session": {"tools": [], "instructions": "x"}}
    (told,) = understood(_events(session, json.dumps(update)))
    assert told["type"] == "session.updated"


def _events(session: Session, data: str | bytes) -> list[bytes]:
    act = session.receive(data)
    assert isinstance(act, Say)
    return act.events


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "null",
        "[]",
        '"x"',
        "{}",
        '{"type": 7}',
        '{"type": "session.update", "event_id": 7}',
        b"\xff\xfe",
        '{"type": "\ud800"}',
        '{"type": "\\ud800"}',
        '{"type": "session.update", "session": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"x": ' + '{"a":' * 20000 + "1" + "}" * 20000 + ', "type": "response.create"}',
        '{"type": "response.create", "response": {"max_output_tokens": ' + "9" * 5000 + "}}",
        '{"type": "response.create", "response": {"max_output_tokens": 0}}',
        '{"type": "response.create", "response": {"conversation": "other"}}',
        '{"type": "response.create", "response": {"metadata": {"' + "x" * 100 + '": "y"}}}',
        '{"type": "session.update", "session": {"instructions": "' + "x" * 20_000 + '"}}',
        '{"type": "session.update", "session": {"temperature": "warm"}}',
        '{"type": "session.update", "session": {"surprise": 1}}',
        '{"type": "conversation.item.create", "item": {"type": "message"}}',
        '{"type": "conversation.item.create", "item": {"type": "mcp_call"}}',
        '{"type": "conversation.item.create", "item": {"type": "function_call", "name": "f"}}',
        '{"type": "conversation.item.truncate", "item_id": "a", "content_index": 0}',
        '{"type": "' + "x" * 20_000 + '"}',
    ],
)
def test_what_is_wrong_is_an_error_event(data: str | bytes) -> None:
    session = opened()
    (told,) = understood(_events(session, data))
    assert told["type"] == "error"
    assert told["error"]["type"] == "invalid_request_error"
    assert told["error"]["message"]
    assert len(json.dumps(told)) < 2000


def test_an_answer_is_cut_where_it_was_shown_to() -> None:
    for cut, left in (
        ({"text_end": 2}, "He"),
        ({"audio_end_ms": 0}, "Hel"),
        ({"audio_end_ms": 49}, "Hel"),
        ({"audio_end_ms": 50}, "Hello"),
        ({"audio_end_ms": 9000, "text_end": 4}, "Hell"),
        ({"audio_end_ms": 9000}, "Hello"),
        ({"text_end": 0}, ""),
    ):
        session = opened()
        item = {"type": "message", "role": "user", "content": [{"type": "text", "text": "x"}]}
        _events(session, json.dumps({"type": "conversation.item.create", "item": item}))
        act = session.receive('{"type": "response.create"}')
        assert isinstance(act, Answer)
        act.reply.begin("s", META)
        for event in (Thinking(1, "writing"), Token(100, "Hel"), Token(150, "lo"), Done(200)):
            understood(act.reply.take(event))
        truncate = {"type": "conversation.item.truncate", "item_id": "item_s_0", "content_index": 0}
        (told,) = understood(_events(session, json.dumps(truncate | cut)))
        assert told["type"] == "conversation.item.truncated"
        retrieve = {"type": "conversation.item.retrieve", "item_id": "item_s_0"}
        (kept,) = understood(_events(session, json.dumps(retrieve)))
        assert kept["item"]["content"][0]["text"] == left
        # Again, and no longer than before.
        (told,) = understood(_events(session, json.dumps(truncate | {"text_end": 100})))
        assert told["type"] == "conversation.item.truncated"
        following = session.receive('{"type": "response.create"}')
        assert isinstance(following, Answer)
        said = [turn.text for turn in following.ask.turns if turn.role == "assistant"]
        assert said == ([left] if left else [])


def test_a_conversation_has_an_end() -> None:
    session = opened()
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    message = json.dumps({"type": "conversation.item.create", "item": item})
    for _ in range(20):
        assert understood(_events(session, message))[-1]["type"] == "conversation.item.done"
    (told,) = understood(_events(session, message))
    assert told["error"]["code"] == "too_large"
    large = dict(item, content=[{"type": "input_text", "text": "x" * 9000}])
    session = opened()
    message = json.dumps({"type": "conversation.item.create", "item": large})
    kinds = [understood(_events(session, message))[-1]["type"] for _ in range(3)]
    assert kinds == ["conversation.item.done", "conversation.item.done", "error"]


def test_a_session_writes_so_many_responses_at_once() -> None:
    session = opened()
    message = {"type": "message", "role": "user", "content": [{"type": "text", "text": "x"}]}
    wanted = {"conversation": "none", "input": [message]}
    data = json.dumps({"type": "response.create", "response": wanted})
    for number in range(8):
        act = session.receive(data)
        assert isinstance(act, Answer)
        act.reply.begin(f"s{number}", META)
    (told,) = understood(_events(session, data))
    assert told["error"]["code"] == "busy"
