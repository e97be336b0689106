"""The Responses dialect: numbered frames that are the same on every read, and what they add up
to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.dialects import openai_responses as responses
from fairlead.engine.readers import Readers
from fairlead.errors import BadPosition
from fairlead.events import codec
from fairlead.events.meta import GenerationMeta, encode_meta
from fairlead.events.model import (
    Asked,
    Done,
    Error,
    Event,
    Media,
    Part,
    Progress,
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
from fairlead.events.states import Grammar, IllegalEvent
from fairlead.framing.event_stream import Parser
from fairlead.journal.position import parse_position
from fairlead.policy.caller import ANONYMOUS
from fairlead.ports.store import Created, StreamSpec
from fairlead.stores.memory import MemoryStore
from fairlead.transports.vendor_sse import ResponsesSseWire

META = GenerationMeta(provider="p", model="m")
STREAM = "0" * 26
FIELDS = b'{"instructions":"Be brief.","metadata":{"a":"b"}}'
ASKED = Asked(1_700_000_000_123, responses.NAME, msgspec.Raw(FIELDS), msgspec.Raw(b"[]"))
OPENING = Thinking(1_700_000_000_123, "writing")


def frames(events: Iterable[Event]) -> list[dict[str, Any]]:
    state = responses.begin(STREAM, META)
    made: list[dict[str, Any]] = []
    for event in events:
        state, shown = responses.step(state, event)
        for frame in shown:
            data = json.loads(frame.data)
            assert data["type"] == frame.event.decode()
            made.append(data)
    return made


def whole(events: Iterable[Event]) -> dict[str, Any]:
    sum = responses.Response(STREAM, META)
    for event in events:
        sum.add(event)
    made: dict[str, Any] = json.loads(sum.object())
    return made


def types(events: Iterable[Event]) -> list[str]:
    return [frame["type"].removeprefix("response.") for frame in frames(events)]


def test_what_was_asked_stands_in_the_response() -> None:
    first, *_ = frames([ASKED, OPENING])
    assert first["response"]["id"] == f"resp_{STREAM}"
    assert first["response"]["created_at"] == 1_700_000_000
    assert first["response"]["instructions"] == "Be brief."
    assert first["response"]["metadata"] == {"a": "b"}
    assert first["response"]["tools"] == []
    other = msgspec.structs.replace(ASKED, dialect="other")
    assert frames([other, OPENING])[0]["response"]["instructions"] is None


def test_a_place_in_the_queue() -> None:
    waits = Thinking(1, "queued", position=2)
    assert types([waits, waits, OPENING, OPENING]) == ["created", "queued", "in_progress"]


def test_text_around_a_call_is_two_items() -> None:
    events: list[Event] = [
        OPENING,
        Token(1, "Before"),
        Part(1, 1, "open", "tool_call", 0, "c", "f"),
        Tool(1, "{}", 1),
        Token(1, "After"),
        Part(1, 1, "close", "tool_call"),
        Done(2),
    ]
    made = whole(events)
    assert [item["type"] for item in made["output"]] == ["message", "function_call", "message"]
    assert [item["status"] for item in made["output"]] == ["completed"] * 3
    assert made["output"][2]["content"][0]["text"] == "After"


def test_a_call_of_a_custom_tool_has_its_text() -> None:
    fields = b'{"tools":[{"type":"custom","name":"run"},{"type":"function","name":"f"}]}'
    events: list[Event] = [
        msgspec.structs.replace(ASKED, fields=msgspec.Raw(fields)),
        OPENING,
        Part(1, 1, "open", "tool_call", 0, "c", "run"),
        Tool(1, '{"in', 1),
        Tool(1, 'put": "print(\\"a', 1),
        Tool(1, '\\")"}', 1),
        Part(1, 1, "close", "tool_call", 0, "c"),
        Part(1, 2, "open", "tool_call", 0, "d", "f"),
        Tool(1, "{}", 2),
        Part(1, 2, "close", "tool_call", 0, "d"),
        Done(2),
    ]
    custom, function = whole(events)["output"]
    assert custom == {
        "id": f"ctc_{STREAM}_0",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "c",
        "name": "run",
        "input": 'print("a")',
    }
    assert function["type"] == "function_call"
    shown = [frame for frame in frames(events) if "custom_tool" in frame["type"]]
    assert [frame.get("delta") for frame in shown] == ['print("a', '")', None]
    assert shown[-1]["input"] == 'print("a")'


def test_sealed_reasoning_is_handed_on() -> None:
    events: list[Event] = [
        OPENING,
        Part(1, 1, "open", "reasoning"),
        Reasoning(1, "Hm.", 1),
        Part(1, 1, "close", "reasoning", signature="sealed"),
        Part(1, 2, "open", "reasoning"),
        Part(1, 2, "close", "reasoning"),
        Done(2),
    ]
    first, second = whole(events)["output"]
    assert (first["encrypted_content"], first["content"][0]["text"]) == ("sealed", "Hm.")
    assert "encrypted_content" not in second
    done = [frame for frame in frames(events) if frame["type"] == "response.output_item.done"]
    assert done[0]["item"] == first


def test_an_obfuscated_delta_has_one_of_few_lengths() -> None:
    lengths = set()
    for size in range(200):
        state = responses.begin(STREAM, META)
        for event in (OPENING, Token(1, "x" * size)):
            state, shown = responses.step(state, event)
        made = responses.obfuscated(shown[-1])
        data = json.loads(made.data)
        assert data.pop("obfuscation")
        assert data == json.loads(shown[-1].data)
        lengths.add(len(made.data))
    assert len(lengths) <= 5
    assert responses.obfuscated(shown[0]) == shown[0]


def test_log_probabilities_stand_with_their_text() -> None:
    one, two = {"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.1}

    def token(entry: dict[str, Any]) -> Token:
        extra = {"choice": {"logprobs": {"content": [entry]}}}
        return Token(1, entry["token"], extra=msgspec.Raw(json.dumps(extra).encode()))

    odd = Token(1, "c", extra=msgspec.Raw(b'{"choice":{"logprobs":{"content":7}}}'))
    events: list[Event] = [OPENING, token(one), token(two), Token(1, "-"), odd, Done(2)]
    deltas = [f["logprobs"] for f in frames(events) if f["type"].endswith("text.delta")]
    assert deltas == [[one], [two], [], []]
    (item,) = whole(events)["output"]
    assert item["content"][0]["logprobs"] == [one, two]


def test_sources_are_annotations_of_the_text() -> None:
    web = Source("p1", "Tea", "https://tea.example/", (0, 1), 1.0, "")
    own = Source("p2", "Cups", "cups.md", (0, 1), 1.0, "")
    events: list[Event] = [
        OPENING,
        Sources(1, (web, own)),
        Token(1, "Green [1], cup [2]."),
        Done(2),
    ]
    added = [each["annotation"] for each in frames(events) if "annotation" in each]
    assert added == [
        {
            "type": "url_citation",
            "url": "https://tea.example/",
            "title": "Tea",
            "start_index": 6,
            "end_index": 9,
        },
        {"type": "file_citation", "file_id": "p2", "filename": "cups.md", "index": 15},
    ]
    assert whole(events)["output"][0]["content"][0]["annotations"] == added


@pytest.mark.parametrize(
    ("end", "last", "status"),
    [
        (Done(2), "completed", "completed"),
        (Done(2, finish="length"), "incomplete", "incomplete"),
        (Done(2, finish="content_filter"), "incomplete", "incomplete"),
        (Done(2, status="stopped", reason="stop"), "incomplete", "cancelled"),
        (Error(2, "cut", "upstream_cut"), "failed", "failed"),
        (Reset(2, "again", "x"), "failed", "failed"),
    ],
)
def test_every_end(end: Event, last: str, status: str) -> None:
    events: list[Event] = [OPENING, Token(1, "Hello"), end]
    assert types(events)[-1] == last
    made = whole(events)
    assert made["status"] == status
    (item,) = made["output"]
    assert item["status"] == ("completed" if status == "completed" else "incomplete")
    assert item["content"][0]["text"] == "Hello"
    assert frames([*events, Token(3, "more")]) == frames(events)


def test_what_is_taken_back_before_anything_was_shown_is_nothing() -> None:
    events: list[Event] = [OPENING, Reset(1, "again", ""), Token(1, "Hello"), Done(2)]
    assert whole(events)["status"] == "completed"


def test_a_picture_is_an_item() -> None:
    events: list[Event] = [Part(1, 1, "open", "media"), Media(1, 1, "image/png", b"abc"), Done(2)]
    (item,) = whole(events)["output"]
    assert (item["type"], item["result"]) == ("image_generation_call", "YWJj")


def test_what_it_cost() -> None:
    details = msgspec.Raw(b'{"usage":{"completion_tokens_details":{"reasoning_tokens":3}}}')
    used = Usage(1, 9, 5, extra=details, cached_tokens=4)
    assert whole([OPENING, Token(1, "x"), used, Done(2)])["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 14,
    }


# -- whatever is written --------------------------------------------------------------------------

_text = st.text(max_size=6)
_parts = st.integers(0, 3)
_refusal = msgspec.Raw(b'{"delta":{"refusal":"x"}}')
_web = Source("p", "T", "https://x/", (0, 1), 1.0, "")
_events = st.one_of(
    st.builds(Token, st.just(5), _text, _parts),
    st.builds(Token, st.just(5), _text, _parts, st.just(_refusal)),
    st.builds(Reasoning, st.just(5), _text, _parts),
    st.builds(Tool, st.just(5), _text, _parts),
    st.builds(
        Part,
        st.just(5),
        _parts,
        st.sampled_from(["open", "close"]),
        st.sampled_from(["text", "reasoning", "tool_call", "media"]),
        st.integers(0, 1),
        st.sampled_from(["", "c"]),
        st.sampled_from(["", "f"]),
        st.just(""),
        st.sampled_from(["", "stop", "length"]),
    ),
    st.builds(Media, st.just(5), _parts, st.just("image/png"), st.just(b"x")),
    st.just(Sources(5, (_web,))),
    st.just(Progress(5, "on it")),
    st.builds(Thinking, st.just(5), st.sampled_from(["queued", "writing"])),
    st.just(Usage(5, 1, 2)),
    st.builds(Reset, st.just(5), st.just("why"), _text),
    st.builds(Done, st.just(6), st.sampled_from(["completed", "stopped"])),
    st.just(Error(6, "cut", "upstream_cut")),
)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """What a writer can have written, with an end."""
    grammar = Grammar()
    made: list[Event] = []
    for event in [ASKED, *draw(st.lists(_events, max_size=25)), Done(7)]:
        try:
            grammar.step(event)
        except IllegalEvent:
            continue
        decoded = codec.decode(codec.encode(event))
        assert not isinstance(decoded, Unknown)
        made.append(decoded)
    return made


@given(answers())
def test_the_frames_add_up_to_the_response(events: list[Event]) -> None:
    made = frames(events)
    assert [each["sequence_number"] for each in made] == list(range(len(made)))
    assert made[0]["type"] == "response.created"
    assert made[-1]["type"] in (
        "response.completed",
        "response.failed",
        "response.incomplete",
    )
    assert made[-1]["response"] == whole(events)
    output: list[dict[str, Any]] = []
    texts: dict[str, str] = {}
    for each in made:
        kind = each["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert each["output_index"] == len(output)
            output.append(each["item"])
            texts[each["item"]["id"]] = ""
        elif kind.endswith(".delta"):
            texts[each["item_id"]] += each["delta"]
        elif kind == "output_item.done":
            output[each["output_index"]] = each["item"]
    assert output == made[-1]["response"]["output"]
    for item in output:
        said = item.get("arguments", "")
        for part in item.get("content", ()):
            said += part.get("text", "") + part.get("refusal", "")
        assert texts[item["id"]] == said


def blocks(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The id and the data of each block."""
    parser = Parser()
    return [(event.id or "", json.loads(event.data)) for event in parser.feed(data)]


@given(answers())
@settings(max_examples=60, deadline=None)
def test_reading_on_from_anywhere_gives_exactly_the_rest(events: list[Event]) -> None:
    """The law: the same numbers on every read, by number and by position."""

    async def run() -> None:
        store = MemoryStore()
        await store.open()
        await store.join("w", 60)
        spec = StreamSpec(id=STREAM, owner="o", content_type="x", meta=encode_meta(META))
        created = await store.create(spec, writer="w")
        assert isinstance(created, Created)
        assert created.epoch is not None
        records = [codec.encode(event) for event in events]
        await store.append(STREAM, created.epoch, 0, records, close=True)
        info = await store.info(STREAM)
        readers = Readers(store, "n", 10, 0, lambda: 0.0, lambda stream, count: False)

        async def read(after: str = "", shown: int = 0) -> list[tuple[str, dict[str, Any]]]:
            position = parse_position(after.partition(".")[2]) if after else None
            readers.admit(ANONYMOUS.consumer)
            try:
                reader = await readers.attach(ANONYMOUS, info, position, ResponsesSseWire, shown)
            except BadPosition:
                readers.leave(ANONYMOUS.consumer)
                raise
            data = b""
            while not reader.ended:
                data += reader.take(200)
                if reader.cold:
                    await reader.fill()
            readers.detach(reader)
            return blocks(data)

        everything = await read()
        assert [data for _, data in everything] == frames(events)
        for number, (id, _) in enumerate(everything, 1):
            assert await read(shown=number) == everything[number:]
            assert await read(after=id) == everything[number:]
        with pytest.raises(BadPosition):
            await read(shown=len(everything) + 1)
        await readers.close()
        await store.close()

    asyncio.run(run())
