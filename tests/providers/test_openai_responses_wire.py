"""The fold from Responses to events, and the question in its words: pure."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dialects import openai_responses
from fairlead.errors import BadRequest, FairleadError, UpstreamCut, UpstreamProtocol
from fairlead.events.attachment import Attachment
from fairlead.events.model import (
    Done,
    Event,
    Mark,
    Media,
    Part,
    Reasoning,
    Sources,
    Thinking,
    Token,
    Tool,
    Usage,
)
from fairlead.events.states import Grammar
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import Call, GenerationRequest, Turn, Vendor
from fairlead.providers.openai_responses_question import ResponsesQuestion
from fairlead.providers.openai_responses_wire import ResponsesFold


def fed(*events: dict[str, Any], fold: ResponsesFold | None = None) -> list[Event]:
    """The events of these, which must be legal."""
    fold = fold or ResponsesFold(name="up", model="m")
    made: list[Event] = []
    for event in events:
        made += fold.feed(json.dumps(event).encode(), 1)
    grammar = Grammar()
    for one in made:
        grammar.step(one)
    return made


def item(index: int, **fields: Any) -> list[dict[str, Any]]:
    """An item that opens and closes."""
    return [
        {"type": "response.output_item.added", "output_index": index, "item": fields},
        {"type": "response.output_item.done", "output_index": index, "item": fields},
    ]


END = {"type": "response.completed", "response": {"status": "completed"}}


def test_what_a_text_cites_are_its_sources() -> None:
    added, done = item(0, type="message")
    cited = [
        {
            "type": "response.output_text.annotation.added",
            "output_index": 0,
            "annotation": {"type": "url_citation", "url": f"https://x/{n}", "title": f"T{n}"},
        }
        for n in (1, 2, 1)
    ]
    text = {"type": "response.output_text.delta", "output_index": 0, "delta": "x"}
    events = fed(added, text, *cited, done, END)
    (sources,) = (event for event in events if isinstance(event, Sources))
    assert [(s.address, s.title) for s in sources.sources] == [
        ("https://x/1", "T1"),
        ("https://x/2", "T2"),
    ]
    # Where the answer has sources of its own, they stay.
    ours = ResponsesFold(cites=False)
    assert not [e for e in fed(added, text, *cited, done, END, fold=ours) if isinstance(e, Sources)]


def test_a_custom_tools_text_is_the_argument_of_a_function() -> None:
    added, done = item(0, type="custom_tool_call", call_id="c", name="shell")
    said = 'echo "hi"\n断线'
    deltas = [
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": each}
        for each in said
    ]
    events = fed(added, *deltas, done, END)
    arguments = "".join(e.text for e in events if isinstance(e, Tool))
    assert json.loads(arguments) == {"input": said}
    whole = fed(*item(0, type="custom_tool_call", call_id="c", name="shell", input=said), END)
    assert "".join(e.text for e in whole if isinstance(e, Tool)) == arguments


def test_reasoning_has_paragraphs_and_a_signature() -> None:
    added, done = item(0, type="reasoning", encrypted_content="sealed")
    events = fed(
        added,
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "One."},
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Two."},
        done,
        END,
    )
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == "One.\n\nTwo."
    (closed,) = (e for e in events if isinstance(e, Part) and (e.part, e.state) == (1, "close"))
    assert closed.signature == "sealed"
    # One that shows nothing of it has no part but for that.
    assert not [e for e in fed(*item(0, type="reasoning"), END) if isinstance(e, Reasoning)]
    kept = fed(*item(0, type="reasoning", encrypted_content="sealed"), END)
    assert [e.signature for e in kept if isinstance(e, Part) and e.type == "reasoning"] == [
        "",
        "sealed",
    ]


def test_refusals_log_probabilities_and_usage_are_kept_in_the_words_of_chat() -> None:
    logprobs = [{"token": "x", "logprob": -0.5}]
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    events = fed(
        {"type": "response.output_text.delta", "delta": "x", "logprobs": logprobs},
        {"type": "response.refusal.delta", "delta": "No."},
        {"type": "response.completed", "response": {"status": "completed", "usage": usage}},
    )
    first, second = (json.loads(bytes(e.extra)) for e in events if isinstance(e, Token))
    assert first == {"choice": {"logprobs": {"content": logprobs}}}
    assert second == {"delta": {"refusal": "No."}}
    (used,) = (e for e in events if isinstance(e, Usage))
    assert (used.input_tokens, used.output_tokens, used.cached_tokens) == (7, 2, 3)
    assert json.loads(bytes(used.extra))["usage"]["completion_tokens_details"] == {
        "reasoning_tokens": 1
    }


def test_pictures_and_what_hosted_tools_do() -> None:
    data = base64.b64encode(b"bytes").decode()
    events = fed(
        {"type": "response.web_search_call.searching", "output_index": 0},
        *item(1, type="image_generation_call", result=data, output_format="webp"),
        END,
    )
    assert isinstance(events[0], Thinking)
    (media,) = (e for e in events if isinstance(e, Media))
    assert (media.content_type, media.data) == ("image/webp", b"bytes")
    with pytest.raises(UpstreamProtocol, match="base64"):
        fed(*item(0, type="image_generation_call", result="?"), END)


def test_a_server_that_sends_no_pieces_has_said_it_all_the_same() -> None:
    events = fed(
        *item(0, type="reasoning", content=[{"text": "Hm."}]),
        *item(1, type="message", content=[{"text": "Yes."}, {"refusal": "No."}]),
        *item(2, type="function_call", call_id="c", name="f", arguments="{}"),
        END,
    )
    assert "".join(e.text for e in events if isinstance(e, Token)) == "Yes.No."
    assert [e.text for e in events if isinstance(e, Reasoning)] == ["Hm."]
    assert [e.text for e in events if isinstance(e, Tool)] == ["{}"]
    assert events[-1] == Done(1, finish="tool_calls")


@pytest.mark.parametrize(
    ("end", "finish"),
    [
        ({"type": "response.incomplete", "response": {"incomplete_details": None}}, "incomplete"),
        (
            {
                "type": "response.incomplete",
                "response": {"incomplete_details": {"reason": "max_output_tokens"}},
            },
            "length",
        ),
        (
            {
                "type": "response.incomplete",
                "response": {"incomplete_details": {"reason": "content_filter"}},
            },
            "content_filter",
        ),
    ],
)
def test_ends(end: dict[str, Any], finish: str) -> None:
    assert fed(end)[-1] == Done(1, finish=finish)


def test_ends_that_are_errors() -> None:
    failed = {"code": "rate_limit_exceeded", "message": "Slow down."}
    with pytest.raises(FairleadError, match="Slow down") as caught:
        fed({"type": "response.failed", "response": {"status": "failed", "error": failed}})
    assert caught.value.code == "upstream_rate_limited"
    with pytest.raises(FairleadError, match="Oh no"):
        fed({"type": "error", "code": "server_error", "message": "Oh no."})
    with pytest.raises(UpstreamCut, match="cancelled"):
        fed({"type": "response.incomplete", "response": {"status": "cancelled"}})


def test_what_was_read_before_is_passed_over_and_what_is_missing_is_an_error() -> None:
    fold = ResponsesFold()

    def text(number: int) -> dict[str, Any]:
        return {
            "type": "response.output_text.delta",
            "sequence_number": number,
            "delta": f"{number}",
        }

    fed(text(0), text(1), fold=fold)
    fold.rejoin()
    assert [e.text for e in fed(text(0), text(1), text(2), fold=fold) if isinstance(e, Token)] == [
        "2"
    ]
    fold.rejoin()
    with pytest.raises(UpstreamProtocol, match="missing"):
        fed(text(4), fold=fold)


def test_marks_come_with_the_response_and_now_and_then() -> None:
    fold = ResponsesFold(mark=lambda place, at: Mark(at, "up", place))
    events: list[Event] = fold.feed(
        b'{"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}', 1
    )
    for number in range(1, 200):
        data = {"type": "response.output_text.delta", "sequence_number": number, "delta": "x"}
        events += fold.feed(json.dumps(data).encode(), 1)
    at = [n for n, event in enumerate(events) if isinstance(event, Mark)]
    assert at == [0, 65, 130, 195]
    last = events[at[-1]]
    assert isinstance(last, Mark)
    again = ResponsesFold(place=bytes(last.place))
    assert (again.id, again.last) == ("resp_1", 192)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
types = st.sampled_from([*ResponsesFold._TAKES, "error", "response.web_search_call.searching", "?"])
items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "?"])},
    optional=dict.fromkeys(("call_id", "name", "arguments", "content", "result"), json_values),
)
some = {
    "sequence_number": st.integers(-1, 9) | json_values,
    "output_index": st.integers(-1, 3) | json_values,
    "delta": st.text(max_size=4) | json_values,
    "item": items | json_values,
    "response": json_values,
    "annotation": json_values,
}


@given(st.lists(st.fixed_dictionaries({"type": types}, optional=some), max_size=12))
def test_whatever_comes_is_legal_events_or_an_error_in_words(events: list[dict[str, Any]]) -> None:
    fold, grammar = ResponsesFold(name="up"), Grammar()
    with contextlib.suppress(FairleadError):
        for event in events:
            for made in fold.feed(json.dumps(event).encode(), 1):
                grammar.step(made)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_event_are_an_error_in_words(data: bytes) -> None:
    with contextlib.suppress(FairleadError):
        ResponsesFold(name="up").feed(data, 1)


# -- the question ----------------------------------------------------------------------------------


def question(request: GenerationRequest, **more: Any) -> dict[str, Any]:
    asked = ResponsesQuestion(request, model="m", **{"background": False, **more})
    found: dict[str, Any] = json.loads(asked.body)
    return found


PASSAGE = Passage(
    id="p", document="d", title="Tea", address="a", heading="", span=(0, 4), text="Blue."
)


def test_its_own_words_go_along_but_for_what_we_depend_on() -> None:
    body = {
        "model": "theirs",
        "input": [
            {"type": "message", "id": "msg_0", "role": "user", "content": "Hi", "vendor": [1, {}]},
            {"type": "reasoning", "id": "rs_68af", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "id": f"fc_{'a' * 26}_3", "call_id": "c", "name": "f"},
            {"type": "item_reference", "id": "msg_0"},
        ],
        "tools": [{"type": "web_search"}],
        "vendor": {"deep": [None, 1.50]},
        "store": True,
        "background": True,
    }
    vendor = Vendor(openai_responses.NAME, json.dumps(body).encode())
    sent = question(GenerationRequest(stream="s", turns=(), vendor=vendor))
    message, reasoning, call, reference = sent["input"]
    assert message == {"type": "message", "role": "user", "content": "Hi", "vendor": [1, {}]}
    assert reasoning["id"] == "rs_68af"  # the upstream's own
    assert "id" not in call
    assert reference["id"] == "msg_0"
    assert (sent["model"], sent["stream"]) == ("m", True)
    assert "background" not in sent
    for name in ("tools", "vendor", "store"):
        assert sent[name] == body[name]


def test_one_that_is_not_to_be_stored_is_not_in_the_background() -> None:
    vendor = Vendor(openai_responses.NAME, b'{"input":"Hi","store":false}')
    request = GenerationRequest(stream="s", turns=(), vendor=vendor)
    asked = ResponsesQuestion(request, model="m", background=True)
    assert not asked.background
    assert "background" not in json.loads(asked.body)


def test_words_that_cannot_be_read_are_refused() -> None:
    for body in (b"[]", b'{"input":[1]}', b"{"):
        vendor = Vendor(openai_responses.NAME, body)
        with pytest.raises(BadRequest):
            question(GenerationRequest(stream="s", turns=(), vendor=vendor))


def test_a_dialogue_with_calls_pictures_and_passages() -> None:
    picture = Attachment("image/png", b"\x89PNG", "p.png")
    note = Attachment("text/plain", b"a note", "n.txt")
    turns = (
        Turn("system", "Be brief."),
        Turn("user", "Look.", (picture, note)),
        Turn("assistant", "", calls=(Call("c", "f", "{}"),)),
        Turn("tool", "7", call_id="c"),
        Turn("user", "So?"),
    )
    sent = question(GenerationRequest(stream="s", turns=turns, passages=(PASSAGE,)))
    assert sent["instructions"].startswith("Be brief.\n\n")
    assert "Blue." in sent["instructions"]
    shown, call, result, last = sent["input"]
    text, image = shown["content"]
    assert text["type"] == "input_text"
    assert "a note" in text["text"]
    assert image["image_url"].startswith("data:image/png;base64,")
    assert call == {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    assert result == {"type": "function_call_output", "call_id": "c", "output": "7"}
    assert last == {"type": "message", "role": "user", "content": "So?"}


def test_settings_of_chat_in_other_words() -> None:
    schema = {"name": "s", "schema": {"type": "object"}, "strict": True}
    function = {"name": "f", "parameters": {}}
    sent = question(
        GenerationRequest(
            stream="s",
            turns=(Turn("user", "Hi"),),
            parameters={
                "max_completion_tokens": 5,
                "reasoning_effort": "low",
                "verbosity": "low",
                "response_format": {"type": "json_schema", "json_schema": schema},
                "tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "logprobs": True,
                "top_logprobs": 2,
                "stream_options": {"include_usage": True},
                "top_p": 0.5,
            },
        )
    )
    assert sent == {
        "model": "m",
        "stream": True,
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "max_output_tokens": 5,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", **schema}},
        "tools": [{"type": "function", **function}],
        "tool_choice": {"type": "function", "name": "f"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "top_p": 0.5,
    }


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=5))
def test_fields_that_we_do_not_know_are_sent_as_they_are(fields: dict[str, Any]) -> None:
    ours = ("model", "stream", "input", "instructions", "store", "background")
    fields = {name: value for name, value in fields.items() if name not in ours}
    vendor = Vendor(openai_responses.NAME, msgspec.json.encode({"input": "Hi", **fields}))
    sent = question(GenerationRequest(stream="s", turns=(), vendor=vendor))
    for name, value in fields.items():
        assert sent[name] == value
