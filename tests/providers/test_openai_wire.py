"""The fold from chunks to events: shapes of many vendors, legality, fuzz."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import (
    FairleadError,
    UpstreamError,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRefusedKey,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fairlead.events import codec
from fairlead.events.model import NO_EXTRA, Done, Event, Part, Reasoning, Token, Tool, Usage
from fairlead.events.states import Grammar
from fairlead.framing.event_stream import Parser, encode
from fairlead.policy.tokens import estimate
from fairlead.providers.openai_errors import Redactor
from fairlead.providers.openai_wire import MAX_CHOICES, ChunkFold

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700, "model": "m-1"}


def chunk(delta: dict[str, Any] | None = None, *, index: int = 0, **more: Any) -> bytes:
    """A chunk of one choice; fields of the choice as keywords, those of the chunk in ``top``."""
    top = more.pop("top", {})
    choice = {"index": index, "delta": delta or {}, "finish_reason": None, **more}
    return dump({**HEAD, "choices": [choice], **top})


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def fold_all(*data: bytes, fold: ChunkFold | None = None) -> list[Event]:
    fold = fold or ChunkFold()
    events = [event for at, item in enumerate(data) for event in fold.feed(item, at)]
    return check(events + fold.end(len(data)))


def check(events: list[Event]) -> list[Event]:
    """The events, after making sure that they are legal and survive as records."""
    grammar = Grammar()
    for event in events:
        grammar.step(event)
        record = codec.encode(event)
        again = codec.decode(record)
        assert codec.encode(again) == record  # type: ignore[arg-type]
    return events


def text_of(events: list[Event], kind: type[Token] | type[Reasoning] | type[Tool] = Token) -> str:
    return "".join(e.text for e in events if isinstance(e, kind))


def extra(event: Event) -> Any:
    raw = bytes(getattr(event, "extra"))  # noqa: B009 - not every event has one
    return json.loads(raw) if raw else {}


def without_extra(events: list[Event]) -> list[Event]:
    return [
        msgspec.structs.replace(e, extra=NO_EXTRA) if hasattr(e, "extra") else e for e in events
    ]


STOP = chunk(finish_reason="stop")


def test_plain_answer() -> None:
    usage = dump({**HEAD, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    events = fold_all(
        chunk({"role": "assistant", "content": ""}), chunk({"content": "Hal"}),
        chunk({"content": "lo"}), STOP, usage,
    )  # fmt: skip
    assert without_extra(events) == [
        Token(1, "Hal"),
        Token(2, "lo"),
        Part(3, 0, "close", finish="stop"),
        Usage(5, 7, 2, model="m-1"),
        Done(5, finish="stop"),
    ]


def test_constant_fields_are_stored_once() -> None:
    top = {"system_fingerprint": "fp", "provider": "X", "obfuscation": "aaa"}
    events = fold_all(*(chunk({"content": f"t{n}"}, top=top) for n in range(5)), STOP)
    tokens = [e for e in events if isinstance(e, Token)]
    assert extra(tokens[0]) == {"chunk": {**HEAD, "system_fingerprint": "fp", "provider": "X"}}
    assert [extra(e) for e in tokens[1:]] == [{}] * 4
    assert sum(b'"provider"' in codec.encode(e) for e in events) == 1


def test_a_chunk_field_rides_again_when_it_changes() -> None:
    events = fold_all(
        chunk({"content": "a"}, top={"provider": "X"}),
        chunk({"content": "b"}, top={"provider": "X"}),
        chunk({"content": "c"}, top={"provider": {"now": ["Y"]}}),
        STOP,
    )
    tokens = [e for e in events if isinstance(e, Token)]
    assert extra(tokens[1]) == {}
    assert extra(tokens[2]) == {"chunk": {"provider": {"now": ["Y"]}}}


def test_unknown_fields_of_choice_delta_and_tool_ride_along_every_time() -> None:
    filters = {"hate": {"filtered": False}}
    call = {"index": 0, "id": "c", "type": "function", "extra_content": {"sig": "s"},
            "function": {"name": "f", "arguments": "{}", "odd": 1}}  # fmt: skip
    events = fold_all(
        chunk({"content": "a", "vendor": 1.50}, content_filter_results=filters),
        chunk({"content": "b", "vendor": 1.50}, content_filter_results=filters, nothing=None),
        chunk({"content": "c"}, logprobs={"content": [{"token": "c", "logprob": -0.1}]}),
        chunk({"tool_calls": [call]}),
        chunk(finish_reason="tool_calls", stop_reason=7),
    )
    a, b, c = (e for e in events if isinstance(e, Token))
    expected = {"choice": {"content_filter_results": filters}, "delta": {"vendor": 1.5}}
    assert {k: v for k, v in extra(a).items() if k != "chunk"} == expected
    assert extra(b) == expected
    assert b"1.5}" in bytes(b.extra)
    assert extra(c) == {"choice": {"logprobs": {"content": [{"token": "c", "logprob": -0.1}]}}}
    (tool,) = (e for e in events if isinstance(e, Tool))
    assert extra(tool) == {"tool": {"extra_content": {"sig": "s"}, "function": {"odd": 1}}}
    assert extra(events[-1]) == {"choice": {"stop_reason": 7}}


def test_what_has_no_event_waits_for_the_next() -> None:
    """Azure sends its prompt filter first, in a chunk without choices and names."""
    first = dump({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"ok": True}]})
    events = fold_all(first, chunk({"role": "assistant"}, hint="h"), chunk({"content": "a"}), STOP)
    assert extra(events[0]) == {
        "chunk": {"prompt_filter_results": [{"ok": True}], **HEAD},
        "choice": {"hint": "h"},
    }


def test_what_is_left_over_rides_with_done() -> None:
    events = fold_all(chunk(finish_reason="stop", a=1), chunk(index=1, finish_reason="stop", b=2))
    assert extra(events[-1]) == {
        "chunk": HEAD, "choice": {"a": 1}, "others": [{"index": 1, "choice": {"b": 2}}]
    }  # fmt: skip


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_has_its_part_until_the_text_begins(field: str) -> None:
    events = fold_all(
        chunk({"role": "assistant", "content": None, field: ""}),
        chunk({"content": "", field: "Hm"}), chunk({field: "m."}), chunk({field: " So"}),
        chunk({"content": "Yes", field: None}), STOP,
    )  # fmt: skip
    assert without_extra(events)[:6] == [
        Part(1, 1, "open", "reasoning"),
        Reasoning(1, "Hm", 1),
        Reasoning(2, "m.", 1),
        Reasoning(3, " So", 1),
        Part(4, 1, "close", "reasoning"),
        Token(4, "Yes"),
    ]


def test_both_names_of_reasoning_at_once_are_one_reasoning() -> None:
    events = fold_all(chunk({"reasoning_content": "x", "reasoning": "x"}), STOP)
    assert text_of(events, Reasoning) == "x"


def test_reasoning_may_come_back() -> None:
    events = fold_all(
        chunk({"reasoning": "1"}), chunk({"content": "a"}), chunk({"reasoning": "2"}),
        chunk({"content": "b"}), STOP,
    )  # fmt: skip
    assert [e.part for e in events if isinstance(e, Reasoning)] == [1, 2]
    assert [e.part for e in events if isinstance(e, Token)] == [0, 0]


def tool(index: int | None, id: str | None = None, name: str | None = None, args: Any = "") -> Any:
    call: dict[str, Any] = {"function": {"name": name, "arguments": args}}
    if index is not None:
        call["index"] = index
    if id is not None:
        call["id"] = id
    return call


def test_tool_calls_by_index_may_interleave() -> None:
    events = fold_all(
        chunk({"tool_calls": [tool(0, "a", "f"), tool(1, "b", "g")]}),
        chunk({"tool_calls": [tool(1, args='{"y"')]}), chunk({"tool_calls": [tool(0, args="{}")]}),
        chunk({"tool_calls": [tool(1, args=":1}")]}), chunk(finish_reason="tool_calls"),
    )  # fmt: skip
    assert without_extra(events)[:-2] == [
        Part(0, 1, "open", "tool_call", call_id="a", name="f"),
        Part(0, 2, "open", "tool_call", call_id="b", name="g"),
        Tool(1, '{"y"', 2),
        Tool(2, "{}", 1),
        Tool(3, ":1}", 2),
        Part(4, 1, "close", "tool_call", call_id="a", finish="tool_calls"),
        Part(4, 2, "close", "tool_call", call_id="b", finish="tool_calls"),
        Part(4, 0, "close", finish="tool_calls"),
    ]


@pytest.mark.parametrize(
    "deltas",
    [
        # every call has index 0, ids tell
        [[tool(0, "a", "f", "{")], [tool(0, args="}")], [tool(0, "b", "g", "[]")]],
        # no index
        [[tool(None, "a", "f", "{")], [tool(None, "", None, "}")], [tool(None, "b", "g", "[]")]],
        # the id again with every piece
        [[tool(0, "a", "f", "{")], [tool(0, "a", "f", "}")], [tool(1, "b", "g", "[]")]],
        # all at once
        [[tool(None, "a", "f", "{}"), tool(None, "b", "g", "[]")]],
        # neither index nor id
        [[tool(None, None, "f", "{}"), tool(None, None, "g", "[]")]],
        # arguments as an object
        [[tool(0, "a", "f", {}), tool(1, "b", "g", [])]],
    ],
)
def test_tool_calls_are_told_apart(deltas: list[list[Any]]) -> None:
    events = fold_all(*(chunk({"tool_calls": d}) for d in deltas), STOP)
    opened = [e for e in events if isinstance(e, Part) and e.state == "open"]
    assert [e.name for e in opened] == ["f", "g"]
    by_part = {e.part: "" for e in opened}
    for e in events:
        if isinstance(e, Tool):
            by_part[e.part] += e.text
    assert list(by_part.values()) == ["{}", "[]"]


def test_further_choices_open_text_parts() -> None:
    events = fold_all(
        chunk({"content": "a"}), chunk({"content": "b"}, index=1),
        chunk(index=1, finish_reason="length"), chunk({"content": "c"}), STOP,
    )  # fmt: skip
    assert without_extra(events) == [
        Token(0, "a"),
        Part(1, 1, "open", choice=1),
        Token(1, "b", 1),
        Part(2, 1, "close", choice=1, finish="length"),
        Token(3, "c"),
        Part(4, 0, "close", finish="stop"),
        events[-2],
        Done(5, finish="stop"),
    ]


def test_text_after_the_finish_reason_is_not_lost() -> None:
    events = fold_all(chunk({"content": "a"}), STOP, chunk({"content": "b"}), STOP)
    assert text_of(events) == "ab"


def test_a_refusal_is_shown_as_text() -> None:
    events = fold_all(chunk({"refusal": "I cannot."}), STOP)
    assert text_of(events) == "I cannot."
    assert extra(events[0])["delta"] == {"refusal": "I cannot."}


def test_a_whole_answer() -> None:
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "audio": None}
    events = fold_all(
        dump(
            {
                **HEAD,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            }
        )
    )
    assert text_of(events, Reasoning) == "Hm"
    assert text_of(events) == "Hi"
    assert events[-1] == Done(1, finish="stop")
    usage = events[-2]
    assert isinstance(usage, Usage)
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (1, 2, False)
    assert extra(usage) == {"usage": {"total_tokens": 3}}


def test_usage_in_the_last_chunk_with_details() -> None:
    details = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_cache_hit_tokens": 2}
    events = fold_all(chunk({"content": "x"}), chunk(finish_reason="stop", top={"usage": details}))
    usage = events[-2]
    assert isinstance(usage, Usage)
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (3, 4, False)
    assert extra(usage) == {"usage": {"prompt_cache_hit_tokens": 2}}
    assert usage.cached_tokens == 2


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 5}, 5), ({"cached_tokens": -5}, 0), ({}, 0), (None, 0), ([5], 0), ("5", 0)],
)
def test_what_was_cached_as_openai_says_it(details: Any, cached: int) -> None:
    stated = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": details}
    events = fold_all(chunk({"content": "x"}), chunk(finish_reason="stop", top={"usage": stated}))
    usage = events[-2]
    assert isinstance(usage, Usage)
    assert (usage.input_tokens, usage.cached_tokens) == (9, cached)


def test_running_usage_counts_once_and_the_last_holds() -> None:
    events = fold_all(
        *(chunk({"content": "x"}, top={"usage": {"prompt_tokens": 3, "completion_tokens": n}})
          for n in range(4)),
        STOP,
    )  # fmt: skip
    (usage,) = (e for e in events if isinstance(e, Usage))
    assert (usage.input_tokens, usage.output_tokens) == (3, 3)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": "x"}])
def test_usage_is_estimated_where_none_is_given(usage: Any) -> None:
    words = [f"word {n} 模型 " for n in range(700)]
    fold = ChunkFold(estimate_input=lambda: 42)
    events = fold_all(
        *(chunk({"content": w}) for w in words), chunk(finish_reason="stop", top={"usage": usage}),
        fold=fold,
    )  # fmt: skip
    found = events[-2]
    assert isinstance(found, Usage)
    assert found.estimated
    assert found.input_tokens == 42
    assert found.output_tokens == pytest.approx(estimate("".join(words)), rel=0.01)


def test_finished_needs_every_choice() -> None:
    fold = ChunkFold()
    assert not fold.finished
    fold.feed(chunk({"content": "a"}), 0)
    fold.feed(chunk({"content": "b"}, index=1), 0)
    fold.feed(STOP, 0)
    assert not fold.finished
    fold.feed(chunk(index=1, finish_reason="stop"), 0)
    assert fold.finished


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "boom", "type": "server_error"}, UpstreamUnavailable),
        ({"message": "busy", "type": "overloaded_error"}, UpstreamUnavailable),
        ({"message": "slow", "code": "rate_limit_exceeded"}, UpstreamRateLimited),
        ({"message": "slow", "code": 429}, UpstreamRateLimited),
        ({"message": "slow", "code": "429"}, UpstreamRateLimited),
        ({"message": "pay", "code": "insufficient_quota"}, UpstreamRefusedKey),
        ({"message": "key", "code": 401}, UpstreamRefusedKey),
        ({"message": "maximum context length is 8"}, UpstreamRejected),
        ({"message": "bad", "type": "invalid_request_error"}, UpstreamRejected),
        ({"message": "?", "type": "never heard"}, UpstreamUnavailable),
        ("just text", UpstreamUnavailable),
        ([1], UpstreamUnavailable),
    ],
)
def test_error_objects_in_the_stream(error: Any, kind: type[UpstreamError]) -> None:
    fold = ChunkFold(name="vendor")
    fold.feed(chunk({"content": "a"}), 0)
    with pytest.raises(kind) as caught:
        fold.feed(dump({"error": error}), 0)
    assert "'vendor'" in caught.value.message


def test_older_error_objects() -> None:
    with pytest.raises(UpstreamRejected, match="no such luck"):
        ChunkFold().feed(dump({"object": "error", "message": "no such luck", "code": 400}), 0)


def test_an_error_of_null_is_none() -> None:
    assert text_of(fold_all(chunk({"content": "a"}, top={"error": None}), STOP)) == "a"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", b"[]", b"null", b"3", b'"s"', b"{", b'{"choices":1}', b'{"choices":[1]}',
        b'{"choices":[{"delta":1}]}', b'{"choices":[{"delta":{"content":1}}]}',
        b'{"choices":[{"index":"0"}]}', b'{"choices":[{"index":-1}]}',
        b'{"choices":[{"index":%d}]}' % MAX_CHOICES, b'{"usage":3}', b"\xff\xfe", b"[" * 100_000,
        b'{"a":' * 100_000, b'{"x":{"y":"\xff"},"choices":[{"delta":{"content":"a"}}]}',
        b'{"x":%b%b,"choices":[{"delta":{"content":"a"}}]}' % (b"[" * 200, b"]" * 200),
    ],
)  # fmt: skip
def test_what_is_no_chunk_is_named(data: bytes) -> None:
    with pytest.raises(UpstreamProtocol) as caught:
        ChunkFold().feed(data, 0)
    assert len(caught.value.message) < 500


def test_brackets_within_strings_do_not_nest() -> None:
    data = chunk({"content": "a"}, top={"x": '[{"' * 100})
    assert text_of(fold_all(data, STOP)) == "a"


def test_half_a_surrogate_pair_is_replaced() -> None:
    data = rb'{"choices":[{"delta":{"content":"\ud83d\ude00 \\ud83d \ud83d!"}}]}'
    assert text_of(fold_all(data, STOP)) == "\U0001f600 \\ud83d \ufffd!"


def test_secrets_leave_the_excerpt() -> None:
    with pytest.raises(UpstreamProtocol) as caught:
        ChunkFold(redact=Redactor(["sk-/1234"])).feed(rb'{"choices": "sk-\/1234 sk-/1234"}', 0)
    assert "1234" not in caught.value.message
    assert "[secret]" in caught.value.message


# -- the short way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_short_way_reads_every_text(field: str, separators: tuple[str, str]) -> None:
    texts = ["a", "", 'q"uo\\te', "\n\u2028", "模型", "\U0001f600", '","content":"', "}]}", "\\"]
    texts = texts * 3
    data = [
        json.dumps(
            {"x": {"content": "no"}, "choices": [{"delta": {field: t}}], "y": [1]},
            ensure_ascii=False,
            separators=separators,
        ).encode()
        for t in texts
    ]
    kind = Token if field == "content" else Reasoning
    assert text_of(fold_all(*data, STOP), kind) == "".join(texts)


def test_the_short_way_is_left_when_the_state_changes() -> None:
    a = [chunk({"content": f"a{n}"}) for n in range(4)]
    r = [chunk({"reasoning": f"r{n}"}) for n in range(4)]
    b = [chunk({"content": f"b{n}"}, index=1) for n in range(4)]
    data = [*a, *r, *a, *b, *r, *b, STOP, *a]
    assert without_extra(fold_all(*data)) == without_extra(slowly(data))


def slowly(data: list[bytes]) -> list[Event]:
    """The same fold, never by the short way."""
    fold = ChunkFold()
    events: list[Event] = []
    for at, item in enumerate(data):
        events += fold.feed(item, at)
        fold._template = None
    return check(events + fold.end(len(data)))


# -- properties ------------------------------------------------------------------------------------

_texts = st.sampled_from(["", "a", " b", "模型", 'x"y', "\\", "\n"])
_maybe = st.none() | _texts
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_calls = st.lists(
    st.builds(
        tool,
        st.none() | st.integers(0, 2),
        st.none() | st.sampled_from(["", "a", "b"]),
        st.none() | st.sampled_from(["f", "g"]),
        _texts | st.just({"k": 1}),
    ),
    max_size=2,
)
_deltas = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": _maybe,
        "reasoning": _maybe,
        "reasoning_content": _maybe,
        "refusal": _maybe,
        "tool_calls": st.none() | _calls,
        "vendor": _json,
    },
)
_chunks = st.builds(
    lambda delta, index, finish, top, more: chunk(
        delta, index=index, finish_reason=finish, top=top, **more
    ),
    _deltas,
    st.integers(0, 2),
    st.sampled_from([None, None, None, "stop", "length", ""]),
    st.fixed_dictionaries({}, optional={"provider": _json, "usage": st.none()}),
    st.fixed_dictionaries({}, optional={"stop_reason": _json}),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_chunks, st.integers(1, 4)), max_size=12))
def test_every_sequence_is_legal_and_the_short_way_changes_nothing(
    runs: list[tuple[bytes, int]],
) -> None:
    data = [item for item, times in runs for _ in range(times)]
    assert fold_all(*data) == slowly(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(_chunks, max_size=8), st.lists(st.integers(1, 60), max_size=40))
def test_the_split_of_the_bytes_changes_nothing(data: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(encode(item) for item in data)
    parser, fold = Parser(), ChunkFold()
    events: list[Event] = []
    for size in [*cuts, len(wire)]:
        piece, wire = wire[:size], wire[size:]
        for frame in parser.feed(piece):
            events += fold.feed(frame.data, 0)
    expected = ChunkFold()
    assert events == [event for item in data for event in expected.feed(item, 0)]


_words = st.sampled_from(
    ["id", "object", "error", "model", "choices", "usage", "delta", "message", "index", "content",
     "reasoning", "tool_calls", "function", "name", "arguments", "finish_reason", "logprobs",
     "prompt_tokens", "completion_tokens", "x"]
)  # fmt: skip
_likely = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=5),
    max_leaves=20,
)


def fold_anything(data: list[bytes]) -> None:
    fold = ChunkFold()
    events: list[Event] = []
    try:
        for item in data:
            events += fold.feed(item, 0)
        events += fold.end(0)
    except FairleadError:
        pass  # the answer ends here
    check(events)


@settings(max_examples=300, deadline=None)
@given(st.lists(_likely, max_size=4))
def test_arbitrary_json_raises_errors_of_ours_only(values: list[Any]) -> None:
    fold_anything([dump(value) for value in values])
    fold_anything([dump({"choices": [{"delta": value}]}) for value in values])
    fold_anything([dump({"choices": [value], "usage": value}) for value in values])


@settings(max_examples=200, deadline=None)
@given(_chunks, st.integers(0, 300), st.binary(max_size=4), st.integers(0, 3))
def test_damaged_bytes_raise_errors_of_ours_only(
    good: bytes, at: int, inserted: bytes, dropped: int
) -> None:
    fold_anything([good, good, good[:at] + inserted + good[at + dropped :], good])


# -- whole blocks ----------------------------------------------------------------------------------


def _block(text: str, **more: Any) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}], "model": "m", **more}
    return b"data: %b\n\n" % dump(chunk)


@pytest.mark.parametrize(
    "block",
    [
        _block("plain"),
        _block('a "quoted" \\ word\nand \U0001f600'),
        _block("Grüße, 世界"),
        _block(""),
        _block("with more", usage={"prompt_tokens": 3}),
        _block("a") + _block("b"),
        _block("a")[:-1],
        _block("a")[:-2] + b"\r\n\r\n",
        _block("a").replace(b"data: ", b"data:"),
        _block("a").replace(b'"a"', b'"a\nb"'),
        _block("a").replace(b'"a"', b'"a\xffb"'),
        _block("a").replace(b'"a"', b'""'),
        _block("a").replace(b'"a"', b'"a""b"'),
        b"data: [DONE]\n\n",
        b": comment\n\n",
    ],
)
def test_the_quick_way_gives_what_the_parser_and_the_fold_give(block: bytes) -> None:
    """Or nothing: then those two are asked."""
    fold = ChunkFold()
    for text in ("one ", "two ", "three "):
        fold.feed(_block(text)[len(b"data: ") : -2], 0)
    quick = fold.quick(block, 7)
    if quick is None:
        return
    assert Parser().feed(block)[0].data == block[len(b"data: ") : -2]
    assert [quick] == fold.feed(block[len(b"data: ") : -2], 7)


def test_the_quick_way_is_taken_for_what_differs_in_its_text_alone() -> None:
    fold = ChunkFold()
    assert fold.quick(_block("zero "), 7) is None
    for text in ("one ", "two "):
        fold.feed(_block(text)[len(b"data: ") : -2], 0)
    assert fold.quick(_block("three "), 7) == Token(7, "three ")
    # What was said that way counts, too.
    fold.feed(dump({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), 8)
    usage = fold.end(9)[0]
    assert isinstance(usage, Usage)
    assert usage.output_tokens >= 3
