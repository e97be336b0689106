"""The Realtime dialect: what the events of an answer are as server events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.dialects import openai_realtime as realtime
from fairlead.errors import BadRequest, UnknownModel
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    Asked,
    Done,
    Error,
    Event,
    Media,
    Part,
    Reasoning,
    Reset,
    Sources,
    Thinking,
    Token,
    Tool,
    Unknown,
    Usage,
)
from fairlead.events.states import Grammar, IllegalEvent
from tests.events import strategies
from tests.support.realtime import check

STREAM = "0" * 26
FIELDS: dict[str, Any] = {
    "conversation_id": "conv_1",
    "output_modalities": ["text"],
    "max_output_tokens": "inf",
    "metadata": None,
}
OPENING = Thinking(1000, "writing")


def folded(events: Iterable[Event | Unknown]) -> list[tuple[dict[str, Any], realtime.Frame]]:
    state = realtime.begin(
        STREAM, GenerationMeta(provider="p", model="m"), realtime.Options(FIELDS)
    )
    made: list[tuple[dict[str, Any], realtime.Frame]] = []
    for event in events:
        state, frames = realtime.step(state, event)
        for frame in frames:
            data = json.loads(frame.data)
            assert data["type"] == frame.type
            made.append((data, frame))
    return made


def told(events: Iterable[Event | Unknown]) -> list[dict[str, Any]]:
    return [data for data, _ in folded(events)]


def types(events: Iterable[Event | Unknown]) -> list[str]:
    return [data["type"] for data in told(events)]


def last(*events: Event) -> dict[str, Any]:
    found = told([OPENING, *events])[-1]
    assert found["type"] == "response.done"
    response: dict[str, Any] = found["response"]
    return response


def test_an_answer_of_text() -> None:
    events: list[Event] = [
        OPENING,
        Token(1001, "Hel"),
        Token(1002, "lo"),
        Usage(1003, 7, 2),
        Done(1003),
    ]
    found = told(events)
    assert [each["type"] for each in found] == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    assert found[0]["response"]["status"] == "in_progress"
    assert [each["event_id"] for each in found] == [f"event_{STREAM}_{n}" for n in range(9)]
    (item,) = found[-1]["response"]["output"]
    assert item == {
        "id": f"item_{STREAM}_0",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello"}],
    }
    assert found[-1]["response"]["usage"]["total_tokens"] == 9
    assert {**found[-1]["response"], **FIELDS} == found[-1]["response"]


def test_calls_are_items_and_end_the_text_before_them() -> None:
    events: list[Event] = [
        OPENING,
        Token(1, "Let me see."),
        Part(2, 1, "open", "tool_call", call_id="c1", name="weather"),
        Tool(3, '{"city":', 1),
        Tool(4, '"Paris"}', 1),
        Part(5, 1, "close", finish="tool_calls"),
        Token(6, "Done."),
        Done(7),
    ]
    found = told(events)
    output = found[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    assert (output[1]["call_id"], output[1]["name"]) == ("c1", "weather")
    assert output[1]["arguments"] == '{"city":"Paris"}'
    deltas = [each for each in found if each["type"].endswith("arguments.delta")]
    assert [delta["output_index"] for delta in deltas] == [1, 1]
    assert {delta["call_id"] for delta in deltas} == {"c1"}


@pytest.mark.parametrize(
    ("end", "status", "details"),
    [
        (Done(9), "completed", {}),
        (Done(9, "stopped", "stop"), "cancelled", {"reason": "client_cancelled"}),
        (Done(9, finish="length"), "incomplete", {"reason": "max_output_tokens"}),
        (Done(9, finish="content_filter"), "incomplete", {"reason": "content_filter"}),
        (
            Error(9, "gone", "upstream_cut", True),
            "failed",
            {"error": {"type": "server_error", "code": "upstream_cut", "message": "gone"}},
        ),
        (
            Reset(9, "lost", "Other"),
            "failed",
            {
                "error": {
                    "type": "server_error",
                    "code": "reset",
                    "message": "what was written is no longer true: ask for it anew",
                }
            },
        ),
    ],
)
def test_ends(end: Event, status: str, details: dict[str, Any]) -> None:
    response = last(Token(8, "Hi"), end)
    assert response["status"] == status
    assert response["status_details"] == {"type": status, **details}
    assert response["output"][0]["status"] == (
        "completed" if status == "completed" else "incomplete"
    )


def test_what_it_has_no_word_for_is_not_shown() -> None:
    events: list[Event | Unknown] = [
        OPENING,
        Sources(1, ()),
        Part(2, 1, "open", "reasoning"),
        Reasoning(3, "Hm.", 1),
        Part(4, 1, "close"),
        Media(5, 0, "image/png", b"x"),
        Part(6, 2, "open", "text", choice=1),
        Token(7, "Another choice", 2),
        Unknown("new", b"{}"),
    ]
    assert types(events) == ["response.created"]
    asked = Asked(0, realtime.NAME, msgspec.Raw(b"{}"), msgspec.Raw(b"[]"))
    assert types([asked, OPENING]) == ["response.created"]
    assert types([OPENING, Done(1), Token(2, "too late")])[-1] == "response.done"


def test_the_marks_say_when_what_of_a_text_was_there() -> None:
    tokens = [Token(1000 + 100 * n, f"{n}") for n in range(10)]
    frames = [frame for _, frame in folded([OPENING, *tokens, Done(3000)])]
    (done,) = [frame for frame in frames if frame.type == realtime.ITEM_DONE]
    assert done.item is not None
    assert done.item.marks == tuple((100 * n, n + 1) for n in range(10))
    close = [Token(1000 + n, "x") for n in range(5000)]
    frames = [frame for _, frame in folded([OPENING, *close, Done(9000)])]
    (done,) = [frame for frame in frames if frame.type == realtime.ITEM_DONE]
    assert done.item is not None
    assert len(done.item.marks) <= 1000
    assert done.item.marks[-1][1] == 5000


def test_error_events() -> None:
    error = BadRequest("no such thing", param="item", vendor_code="odd")
    assert json.loads(realtime.error_event(error, "event_1", "mine")) == {
        "type": "error",
        "event_id": "event_1",
        "error": {
            "type": "invalid_request_error",
            "code": "odd",
            "message": "no such thing",
            "param": "item",
            "event_id": "mine",
        },
    }
    unknown = json.loads(realtime.error_event(UnknownModel("none"), "event_2"))["error"]
    assert (unknown["code"], unknown["event_id"]) == ("model_not_found", None)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """What a writer can have written, with an end."""
    grammar = Grammar()
    made: list[Event] = []
    for event in [OPENING, *draw(st.lists(strategies.events, max_size=25)), Done(7)]:
        try:
            grammar.step(event)
        except IllegalEvent:
            continue
        made.append(event)
    return made


@given(answers())
@settings(max_examples=200, deadline=None)
def test_whatever_an_answer_is_the_sdk_understands_it(events: list[Event]) -> None:
    found = told(events)
    for number, each in enumerate(found):
        assert each["event_id"] == f"event_{STREAM}_{number}"
        check(each)
    ends = [each for each in found if each["type"] == "response.done"]
    ended = any(isinstance(event, Done | Error) for event in events)
    assert len(ends) <= 1
    assert not ended or ends
    opened = {each["item"]["id"] for each in found if each["type"] == realtime.ADDED}
    closed = {each["item"]["id"] for each in found if each["type"] == realtime.ITEM_DONE}
    assert not ends or opened == closed
    for id in closed:
        pieces = [
            each["delta"]
            for each in found
            if each["type"].endswith(".delta") and each["item_id"] == id
        ]
        (item,) = [
            each["item"]
            for each in found
            if each["type"] == realtime.ITEM_DONE and each["item"]["id"] == id
        ]
        said = item["arguments"] if "arguments" in item else item["content"][0]["text"]
        assert said == "".join(pieces)
