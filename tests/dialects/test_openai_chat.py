"""The Chat Completions dialect: what an upstream of the same dialect sent comes out again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.dialects import openai_chat as chat
from fairlead.dialects.openai_chat_whole import Completion
from fairlead.events import codec
from fairlead.events.merge import merge
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    Done,
    Error,
    Event,
    Media,
    Part,
    Reasoning,
    Reset,
    Source,
    Sources,
    Thinking,
    Token,
    Tool,
    Unknown,
    Usage,
)
from fairlead.providers.openai_wire import ChunkFold
from tests.dialects.chat_sum import Chunk, summed
from tests.dialects.recorded import RECORDED

META = GenerationMeta(provider="p", model="asked-for")
STREAM = "0" * 26
ALL = chat.Options(include_usage=True)
OPENING = Thinking(1_700_000_000_123, "writing")


def events_of(chunks: Iterable[Chunk]) -> list[Event]:
    """What the provider makes of an upstream's chunks, as the log keeps it."""
    fold = ChunkFold()
    events = [event for chunk in chunks for event in fold.feed(dump(chunk), 1)]
    return [
        decoded
        for event in [OPENING, *events, *fold.end(1)]
        if not isinstance(decoded := codec.decode(codec.encode(event)), Unknown)
    ]


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def shown(events: Iterable[Any], options: chat.Options = ALL) -> tuple[list[Chunk], chat.State]:
    """The chunks of an answer, and the state in the end."""
    state = chat.begin(STREAM, META, options)
    said: list[bytes] = []
    for event in events:
        state, frames = chat.step(state, event)
        said += [frame.data for frame in frames]
    if said and said[-1] == chat.DONE:
        said.pop()
    return [json.loads(each) for each in said], state


def whole(events: Iterable[Any]) -> dict[str, Any]:
    completion = Completion(STREAM, META)
    for event in events:
        completion.add(event)
    assert completion.ended
    made: dict[str, Any] = json.loads(completion.object())
    return made


def same(sent: list[Chunk], got: list[Chunk]) -> None:
    expected, found = summed(sent), summed(got)
    if expected["usage"] is None:
        found["usage"] = None  # an estimate
    for total in (expected, found):
        total["fields"].pop("citations", None)
    expected.setdefault("model", META.model)
    assert found == expected


# -- lossless ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_answers_come_out_again(name: str) -> None:
    got, _ = shown(events_of(RECORDED[name]))
    same(RECORDED[name], got)


@pytest.mark.parametrize("name", RECORDED)
def test_every_chunk_has_the_answers_name_and_time(name: str) -> None:
    for chunk in shown(events_of(RECORDED[name]))[0]:
        assert chunk["id"] == f"chatcmpl-{STREAM}"
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["created"] == 1_700_000_000


_names = st.sampled_from(["x_one", "x_two", "annotations", "vendor", "audio"])
_json = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5) | st.just(0.1),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
_unknown = st.dictionaries(_names, _json, max_size=2)
_text = st.text(max_size=6)


@st.composite
def _calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    index = draw(st.integers(0, 2))
    function = {"arguments": draw(_text)} | draw(st.dictionaries(st.just("odd"), _json, max_size=1))
    if draw(st.booleans()):
        return [{"index": index, "function": function} | draw(_unknown)]
    return [{"index": index, "function": {"arguments": function["arguments"]}}]


@st.composite
def _delta(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["content", "reasoning_content", "refusal", "tool_calls", "none"]))
    delta: dict[str, Any] = draw(_unknown)
    if kind == "tool_calls":
        delta[kind] = draw(_calls())
    elif kind != "none":
        delta[kind] = draw(_text)
    return delta


@st.composite
def answers(draw: st.DrawFn) -> list[Chunk]:
    """Whole answers of an upstream that makes full use of the dialect."""
    chunks: list[Chunk] = []
    begun: set[tuple[int, int]] = set()
    for _ in range(draw(st.integers(0, 12))):
        choice = draw(st.integers(0, 2))
        delta = draw(_delta())
        for call in delta.get("tool_calls", ()):
            # Calls begin in their order, with an id and a name.
            number = sum(1 for each in begun if each[0] == choice)
            call["index"] = min(call["index"], number)
            if (choice, call["index"]) not in begun:
                begun.add((choice, call["index"]))
                call |= {"id": f"call_{choice}_{number}", "type": "function"}
                call["function"]["name"] = f"tool{number}"
        said = {"index": choice, "delta": delta, "finish_reason": None} | draw(
            st.dictionaries(st.sampled_from(["x_choice", "logprobs"]), st.just({"a": [1]}))
        )
        if "logprobs" in said:
            said["logprobs"] = {"content": [draw(st.integers(0, 3))]}
        top = draw(st.dictionaries(st.sampled_from(["x_top", "provider"]), _json, max_size=1))
        chunks.append(
            {"id": "up", "object": "chat.completion.chunk", "created": 5, "model": "m-1",
             "system_fingerprint": "fp", "choices": [said], **top}
        )  # fmt: skip
    for choice in sorted({chunk["choices"][0]["index"] for chunk in chunks} | {0}):
        finish = draw(st.sampled_from(["stop", "length", "content_filter", "made_up"]))
        end: dict[str, Any] = {"index": choice, "delta": {}, "finish_reason": finish}
        chunks.append({"id": "up", "model": "m-1", "system_fingerprint": "fp", "choices": [end]})
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "details": {"x": 1}}
    return [*chunks, {"id": "up", "choices": [], "usage": usage}]


@given(answers())
@settings(max_examples=300, deadline=None)
def test_whatever_an_upstream_sends_comes_out_again(sent: list[Chunk]) -> None:
    same(sent, shown(events_of(sent))[0])


@given(answers())
@settings(max_examples=100, deadline=None)
def test_merged_events_say_the_same_and_lead_to_the_same_state(sent: list[Chunk]) -> None:
    events = events_of(sent)
    got, state = shown(events)
    merged, after = shown(merge(events))
    assert after == state
    same(got, merged)


@given(answers())
@settings(max_examples=100, deadline=None)
def test_a_whole_answer_is_what_its_chunks_say(sent: list[Chunk]) -> None:
    events = events_of(sent)
    total, made = summed(shown(events)[0]), whole(events)
    assert made["object"] == "chat.completion"
    assert made["usage"] == total["usage"]
    assert made["model"] == "m-1"
    for choice in made["choices"]:
        said, message = total["choices"][choice["index"]], choice["message"]
        assert choice["finish_reason"] == said["finish"]
        assert (message["content"] or "") == said["content"]
        assert (message["refusal"] or "") == said["refusal"]
        assert message.get("reasoning_content", "") == said["reasoning"]
        calls = message.get("tool_calls", [])
        assert [call["function"]["arguments"] for call in calls] == [
            call["arguments"] for _, call in sorted(said["calls"].items())
        ]
        pieces = said["fields"].get("logprobs", [])
        if pieces and not isinstance(choice["logprobs"], type(None)):
            assert len(choice["logprobs"]["content"]) >= len(pieces)


# -- shape ---------------------------------------------------------------------------------------


def test_a_plain_answer() -> None:
    events = [OPENING, Token(1, "Hel"), Token(2, "lo"), Usage(3, 7, 2), Done(4)]
    head = {
        "id": f"chatcmpl-{STREAM}",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "asked-for",
    }

    def one(delta: dict[str, Any], finish: str | None = None) -> Chunk:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert shown(events)[0] == [
        one({"role": "assistant", "content": "Hel"}),
        one({"content": "lo"}),
        one({}, "stop"),
        {**head, "choices": [], "usage": usage},
    ]
    assert shown(events, chat.Options())[0] == shown(events)[0][:3]
    assert whole(events) == {
        **head,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage,
    }


def test_an_empty_answer_has_a_reason_too() -> None:
    (chunk,), _ = shown([OPENING, Done(1)])
    assert chunk["choices"] == [
        {"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}
    ]


def test_sources_are_citations_and_annotations() -> None:
    found = (
        Source("p1", "Tea", "https://x/tea", (0, 3), 1.0, "…"),
        Source("p2", "Cups", "", (0, 3), 0.5, "…"),
    )
    events = [OPENING, Sources(1, found), Token(2, "From China [1]."), Done(3)]
    first = shown(events)[0][0]
    assert first["citations"] == ["https://x/tea", "Cups"]
    (tea, cups) = first["choices"][0]["delta"]["annotations"]
    assert tea == {
        "type": "url_citation",
        "url_citation": {"url": "https://x/tea", "title": "Tea", "start_index": 0, "end_index": 0},
    }
    made = whole(events)
    assert made["citations"] == ["https://x/tea", "Cups"]
    (tea, cups) = made["choices"][0]["message"]["annotations"]
    place = tea["url_citation"]
    assert "From China [1]."[place["start_index"] : place["end_index"]] == "[1]"
    assert cups["url_citation"]["end_index"] == 0


def test_no_sources_say_nothing() -> None:
    assert len(shown([OPENING, Sources(1), Done(2)])[0]) == 1


def test_a_picture_is_shown() -> None:
    events = [
        OPENING,
        Part(1, 1, "open", "media"),
        Media(1, 1, "image/png", b"\x89PNG"),
        Part(1, 1, "close", "media"),
        Done(2),
    ]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    assert shown(events)[0][0]["choices"][0]["delta"]["images"] == [picture]
    assert whole(events)["choices"][0]["message"]["images"] == [picture]


def test_a_call_without_arguments_is_shown_before_the_reason() -> None:
    events: list[Event] = [
        OPENING,
        Part(1, 1, "open", "tool_call", 0, "c1", "now"),
        Part(1, 2, "open", "tool_call", 0, "c2", "here"),
        Tool(1, "{}", 2),
        Part(2, 1, "close", "tool_call", finish="tool_calls"),
        Part(2, 2, "close", "tool_call", finish="tool_calls"),
        Part(2, 0, "close", finish="tool_calls"),
        Done(3, finish="tool_calls"),
    ]
    got, _ = shown(events)
    assert [chunk["choices"][0]["finish_reason"] for chunk in got] == [None, None, "tool_calls"]
    calls = summed(got)["choices"][0]["calls"]
    assert [(call["id"], call["name"], call["arguments"]) for _, call in sorted(calls.items())] == [
        ("c1", "now", ""),
        ("c2", "here", "{}"),
    ]
    assert whole(events)["choices"][0]["message"]["content"] is None


def test_calls_of_a_provider_that_closes_nothing_are_shown_at_the_end() -> None:
    events = [OPENING, Part(1, 1, "open", "tool_call", 0, "c1", "now"), Done(2)]
    (chunk,), _ = shown(events)
    (choice,) = chunk["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["delta"]["tool_calls"][0]["function"] == {"name": "now", "arguments": ""}


def test_an_error_ends_it_in_the_vendors_shape() -> None:
    events = [OPENING, Token(1, "Hel"), Error(2, "cut", "upstream_cut", retryable=True)]
    got, state = shown(events)
    assert got[-1] == {
        "error": {"message": "cut", "type": "server_error", "param": None, "code": "upstream_cut"}
    }
    assert state.ended


def test_what_is_taken_back_ends_it_unless_nothing_was_shown() -> None:
    assert shown([OPENING, Reset(1, "again"), Token(2, "a"), Done(3)])[0][0]["choices"]
    got, state = shown([OPENING, Token(1, "a"), Reset(2, "again"), Token(3, "b")])
    assert got[-1]["error"]["code"] == "reset"
    assert state.ended
    assert len(got) == 2
    made = whole([OPENING, Token(1, "a"), Reset(2, "again", "b"), Token(3, "c"), Done(4)])
    assert made["choices"][0]["message"]["content"] == "bc"


def test_what_is_done_meanwhile_and_what_is_unknown_is_not_shown() -> None:
    events = [OPENING, Thinking(1, "retrieving"), Unknown("later", b"{}"), Reasoning(2, "x", 9)]
    assert shown(events)[0] == []
