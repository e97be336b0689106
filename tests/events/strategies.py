"""Events and streams of events for property tests."""

from __future__ import annotations

import json

import msgspec
from hypothesis import strategies as st

from fairlead.events.model import (
    NO_EXTRA,
    Done,
    Error,
    Event,
    Mark,
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

times = st.integers(0, 2**53)
texts = st.text(max_size=20)
parts = st.integers(0, 3)
extras = st.just(NO_EXTRA) | st.dictionaries(texts, st.integers() | texts, max_size=3).map(
    lambda d: msgspec.Raw(json.dumps(d).encode())
)
floats = st.floats(allow_nan=False, allow_infinity=False)
sources = st.builds(
    Source,
    id=texts,
    title=texts,
    address=texts,
    span=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    score=floats,
    snippet=texts,
    heading=texts,
)
deltas = st.one_of(
    st.builds(Token, at=times, text=texts, part=parts, extra=extras),
    st.builds(Reasoning, at=times, text=texts, part=parts, extra=extras),
    st.builds(Tool, at=times, text=texts, part=parts, extra=extras),
)
events: st.SearchStrategy[Event] = st.one_of(
    deltas,
    st.builds(Thinking, at=times, status=texts, message=texts),
    st.builds(Mark, at=times, upstream=texts, place=extras),
    st.builds(Sources, at=times, sources=st.lists(sources, max_size=3).map(tuple)),
    st.builds(
        Part,
        at=times,
        part=parts,
        state=st.sampled_from(["open", "close"]),
        type=st.sampled_from(["text", "reasoning", "tool_call", "media"]),
        choice=parts,
        call_id=texts,
        name=texts,
        signature=texts,
        finish=texts,
    ),
    st.builds(Progress, at=times, message=texts, fraction=st.none() | floats),
    st.builds(Media, at=times, part=parts, content_type=texts, data=st.binary(max_size=20)),
    st.builds(Usage, at=times, input_tokens=times, output_tokens=times, extra=extras),
    st.builds(Reset, at=times, reason=texts, text=texts),
    st.builds(Done, at=times, status=st.sampled_from(["completed", "stopped"]), extra=extras),
    st.builds(Error, at=times, error=texts, code=texts, retryable=st.booleans()),
)
unknown = st.builds(
    Unknown, kind=st.just("hologram"), raw=st.just(b'{"kind":"hologram","at":1,"depth":[1,2]}')
)
