"""Events through stream transforms: what is held back, flushed, forgotten and dropped."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from fairlead.errors import Moderated, PluginFailed
from fairlead.events.model import Done, Event, Part, Reasoning, Reset, Token, Tool
from fairlead.plugins import Chunk, StreamTransform
from fairlead.policy.caller import ANONYMOUS
from fairlead.server.guard import Guard
from fairlead.server.transforms import PluginStream


class Words(StreamTransform):
    """Shows whole words, in capitals; ``log`` has what it was given."""

    def __init__(self) -> None:
        self.log: list[Chunk] = []

    def write(self, chunk: Chunk) -> str | tuple[str, str]:
        self.log.append(chunk)
        if chunk.last:
            return chunk.text.upper()
        shown, blank, held = chunk.text.rpartition(" ")
        return (shown + blank).upper(), held


class Ends(StreamTransform):
    """Puts a mark at each end, and counts in its own copy."""

    count = 0

    async def write(self, chunk: Chunk) -> str:
        self.count += 1
        if "STOP" in chunk.text:
            raise Moderated("no more")
        return chunk.text + (f"<{self.count}>" if chunk.last else "")


def stream(*plugins: StreamTransform) -> PluginStream:
    return PluginStream([(each, Guard(type(each).__name__, 1.0)) for each in plugins], ANONYMOUS)


async def through(passed: PluginStream, *events: Event) -> list[Event]:
    found: list[Event] = []
    for event in events:
        found += await passed.write(event)
    return found


def texts(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Token)]


async def test_what_is_held_back_comes_again_and_is_flushed_at_the_end() -> None:
    words = Words()
    found = await through(stream(words), Token(1, "ab"), Token(2, "c d"), Token(3, "e"), Done(9))
    assert found == [Token(2, "ABC "), Token(9, "DE"), Done(9)]
    given = [(chunk.text, chunk.last) for chunk in words.log]
    assert given == [("ab", False), ("abc d", False), ("de", False), ("de", True)]


async def test_parts_are_told_apart_and_flushed_when_they_close() -> None:
    found = await through(
        stream(Words()),
        Part(1, 1, "open", "reasoning"),
        Reasoning(1, "rea", 1),
        Token(2, "tex"),
        Reasoning(3, "son", 1),
        Part(4, 1, "close", "reasoning"),
        Tool(5, "{}", 2),
    )
    assert found[1:] == [
        Reasoning(4, "REASON", 1),
        Part(4, 1, "close", "reasoning"),
        Tool(5, "{}", 2),
    ]
    passed = stream(Words())
    await through(passed, Token(1, "tex"))
    assert await passed.end(7) == [Token(7, "TEX")]


async def test_plugins_follow_each_other_and_each_answer_has_its_own_state() -> None:
    words, ends = Words(), Ends()
    for _ in range(2):
        found = await through(stream(words, ends), Token(1, "a b"), Token(1, "c"), Done(2))
        assert texts(found) == ["A ", "BC<2>"]
    assert ends.count == 0
    with pytest.raises(Moderated):
        await through(stream(words, ends), Token(1, "stop it"))


async def test_reset_forgets_what_was_held_and_its_text_is_taken_too() -> None:
    found = await through(
        stream(Words()),
        Token(1, "secre"),
        Reset(2, "retry", "so far an"),
        Token(3, "d on"),
        Done(4),
    )
    assert found == [Reset(2, "retry", "SO FAR "), Token(3, "AND "), Token(4, "ON"), Done(4)]


async def test_what_the_upstream_said_besides_is_dropped_where_it_may_repeat_the_text() -> None:
    extra = msgspec.Raw(b'{"logprobs":["a"]}')
    found = await through(
        stream(Words()),
        Token(1, "a ", extra=extra),
        Token(1, "", extra=extra),
        Tool(2, "x", 3, extra=extra),
        Done(4, extra=extra),
    )
    assert found == [Token(1, "A "), Tool(2, "x", 3, extra=extra), Done(4)]


async def test_holding_back_is_bounded() -> None:
    passed = stream(Words())
    await through(passed, Token(1, "x" * Words.max_held))
    with pytest.raises(PluginFailed, match="'Words'"):
        await through(passed, Token(1, "x"))
