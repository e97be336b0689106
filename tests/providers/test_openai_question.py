"""What an upstream is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fairlead.errors import BadRequest
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import Call, GenerationRequest, Turn, Vendor
from fairlead.providers.openai_question import Question

PASSAGE = Passage(
    id="p", document="d", title="T", address="a", heading="", span=(0, 1), text="Known."
)


def body(request: GenerationRequest, *, include_usage: bool = True) -> dict[str, Any]:
    asked = Question(request, model="m", include_usage=include_usage)
    made: dict[str, Any] = json.loads(asked.body)
    return made


def vendor(fields: dict[str, Any], **more: Any) -> GenerationRequest:
    words = Vendor("openai-chat", json.dumps(fields).encode())
    return GenerationRequest(stream="s", turns=(Turn("user", "Hi"),), vendor=words, **more)


def test_its_own_words_are_sent_on_with_what_we_depend_on() -> None:
    asked = {
        "model": "alias",
        "messages": [{"role": "user", "content": "Hi", "x-own": [1, None]}],
        "temperature": 0.25,
        "seed": 12345678901234567890123,
        "stream_options": {"include_obfuscation": False},
        "vendor_field": {"deep": [{"a": None}]},
    }
    assert body(vendor(asked, model="real")) == asked | {
        "model": "real",
        "stream": True,
        "stream_options": {"include_obfuscation": False, "include_usage": True},
    }


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, {"max_tokens": 9}),
        ({"max_tokens": 20}, {"max_tokens": 9}),
        ({"max_completion_tokens": 20}, {"max_completion_tokens": 9}),
    ],
)
def test_what_a_budget_has_left_is_said_in_the_askers_own_field(
    asked: dict[str, int], told: dict[str, int]
) -> None:
    request = GenerationRequest(
        stream="s", turns=(Turn("user", "Hi"),), parameters=dict(asked), most=9
    )
    own = vendor({"messages": [], **asked}, parameters=dict(asked), most=9)
    for each in (request, own):
        made = body(each)
        assert {name: value for name, value in made.items() if name.startswith("max_")} == told


def test_words_of_another_dialect_are_not_sent() -> None:
    request = GenerationRequest(
        stream="s",
        turns=(Turn("user", "Hi"),),
        vendor=Vendor("another", b'{"input":"Hi"}'),
        parameters={"temperature": 1},
    )
    assert body(request, include_usage=False) == {
        "model": "m",
        "stream": True,
        "temperature": 1,
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_tool_calls_and_results_are_said_in_this_dialect() -> None:
    turns = (
        Turn("user", "Weather?"),
        Turn("assistant", "", calls=(Call("c1", "weather", "{}"),)),
        Turn("tool", "18", call_id="c1"),
    )
    assert body(GenerationRequest(stream="s", turns=turns))["messages"] == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "content": "18", "tool_call_id": "c1"},
    ]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_passages_join_the_opening_instructions(role: str) -> None:
    asked = {"messages": [{"role": role, "content": "Brief.", "x": 1}, {"role": "user"}]}
    said = body(vendor(asked, passages=(PASSAGE,)))["messages"]
    assert said[0]["role"] == role
    assert said[0]["x"] == 1
    assert said[0]["content"].startswith("Brief.\n\n")
    assert "Known." in said[0]["content"]
    assert said[1:] == [{"role": "user"}]


def test_passages_stand_before_a_dialogue_without_instructions() -> None:
    said = body(vendor({"messages": [{"role": "user", "content": "Hi"}]}, passages=(PASSAGE,)))
    assert [each["role"] for each in said["messages"]] == ["system", "user"]
    assert "Known." in said["messages"][0]["content"]


def test_what_cannot_be_read_is_the_callers_fault() -> None:
    words = Vendor("openai-chat", b"[1]")
    request = GenerationRequest(stream="s", turns=(Turn("user", "Hi"),), vendor=words)
    with pytest.raises(BadRequest):
        body(request)
