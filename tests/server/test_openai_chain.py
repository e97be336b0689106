"""What a response goes on with."""

from __future__ import annotations

from fairlead.dialects.openai_responses import Response
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Done, Event, Part, Reasoning, Token, Tool
from fairlead.server.openai_chain import said_by


def test_reasoning_that_its_model_can_read_is_gone_on_with() -> None:
    events: list[Event] = [
        Part(1, 1, "open", "reasoning"),
        Reasoning(1, "For people.", 1),
        Part(1, 1, "close", "reasoning"),
        Part(1, 2, "open", "reasoning"),
        Part(1, 2, "close", "reasoning", signature="sealed"),
        Token(1, "Let me see."),
        Part(1, 3, "open", "tool_call", call_id="c", name="f"),
        Tool(1, "{}", 3),
        Part(1, 3, "close", "tool_call", call_id="c"),
        Part(1, 4, "open", "tool_call", call_id="d", name="f"),
        Tool(1, "{", 4),
        Done(2, status="stopped", reason="stop"),
    ]
    sum = Response("s" * 26, GenerationMeta(provider="p", model="m"))
    for event in events:
        sum.add(event)
    said = said_by(sum)
    assert [item["type"] for item in said] == ["reasoning", "message", "function_call"]
    assert said[0]["encrypted_content"] == "sealed"
    assert said[2]["call_id"] == "c"
