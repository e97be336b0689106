"""The stated heuristic for what other applications stream."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.tokens import estimate, estimate_event

_LONG = "Why did the crew haul the line through it? "


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (b"", 0),
        (b"[DONE]", 1),
        (b"Hel", 1),
        (_LONG.encode(), estimate(_LONG)),
        ({"token": "Hel", "index": 4}, 1),
        ({"left": 3}, 1),
        ({"t": _LONG, "id": "short"}, estimate(_LONG)),
        ("Hel", 1),
        (7, 1),
        # A vendor's chunk is large, and holds one token.
        (
            {
                "id": "chatcmpl-0123456789abcdef0123456789abcdef",
                "object": "chat.completion.chunk",
                "model": "a-model-with-a-long-name-2026-11-20",
                "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}],
            },
            1,
        ),
        (
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": _LONG},
            },
            estimate(_LONG),
        ),
        # What is said as a whole at the end has been counted.
        ({"type": "response.output_text.done", "text": _LONG * 50}, 1),
        ({"type": "response.completed", "response": {"output": [{"text": _LONG}]}}, 1),
        (b"[" * 100_000, estimate("[" * 100_000)),
    ],
)
def test_of_an_event_its_text_counts(data: object, tokens: int) -> None:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    assert estimate_event(raw) == tokens


@given(st.binary(min_size=1) | st.text(min_size=1).map(lambda text: json.dumps(text).encode()))
def test_whatever_it_holds_an_event_counts_and_none_more_than_its_bytes(data: bytes) -> None:
    assert 1 <= estimate_event(data) <= max(1, len(data))
