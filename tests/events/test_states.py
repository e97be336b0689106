"""The legal moves of a generation stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.events.merge import merge
from fairlead.events.model import (
    MAIN_PART,
    Asked,
    Done,
    Error,
    Event,
    Media,
    Part,
    Progress,
    Reasoning,
    Reset,
    Sources,
    Thinking,
    Token,
    Tool,
    Unknown,
    Usage,
)
from fairlead.events.states import EXTENDS, MOVES, Grammar, IllegalEvent, Phase
from tests.events.strategies import events, unknown

KINDS: tuple[type[Event], ...] = Event.__args__


def legal(stream: list[Event | Unknown]) -> tuple[list[Event | Unknown], Grammar]:
    """What of the stream may stand, in order, and the grammar at its end."""
    grammar = Grammar()
    taken: list[Event | Unknown] = []
    for event in stream:
        before = (grammar.phase, dict(grammar.open))
        try:
            grammar.step(event)
        except IllegalEvent:
            # A refused event leaves no trace.
            assert (grammar.phase, grammar.open) == before
        else:
            taken.append(event)
    return taken, grammar


streams = st.lists(events | unknown, max_size=60)


def test_the_table_speaks_of_every_kind() -> None:
    for phase, moves in MOVES.items():
        kinds: set[type[Event]] = set() if phase is Phase.ENDED else set(KINDS)
        # What was asked comes before anything of the answer.
        assert set(moves) == (kinds - {Asked} if phase is Phase.ANSWERING else kinds)


@given(streams)
def test_nothing_follows_the_end(stream: list[Event | Unknown]) -> None:
    taken, grammar = legal(stream)
    ends = [i for i, e in enumerate(taken) if isinstance(e, Done | Error)]
    assert ends == ([len(taken) - 1] if grammar.phase is Phase.ENDED else [])


@given(streams)
def test_deltas_name_an_open_part_of_their_kind(stream: list[Event | Unknown]) -> None:
    taken, _ = legal(stream)
    opened = {MAIN_PART: "text"}
    for event in taken:
        if isinstance(event, Part):
            if event.state == "open":
                assert event.part not in opened
                opened[event.part] = event.type
            else:
                del opened[event.part]
        elif isinstance(event, Reset):
            opened = {MAIN_PART: "text"}
        elif isinstance(event, Token | Reasoning | Tool | Media):
            assert opened[event.part] == EXTENDS[type(event)]


@given(streams)
def test_a_merged_stream_is_legal_and_ends_alike(stream: list[Event | Unknown]) -> None:
    taken, grammar = legal(stream)
    merged, after = legal(list(merge(taken)))
    assert merged == list(merge(taken))
    assert (after.phase, after.open) == (grammar.phase, grammar.open)


@given(streams)
def test_a_reset_begins_anew(stream: list[Event | Unknown]) -> None:
    _, grammar = legal(stream)
    if grammar.phase is not Phase.ENDED:
        grammar.step(Reset(at=1, reason="lost", text=""))
        fresh = Grammar()
        assert (grammar.phase, grammar.open) == (fresh.phase, fresh.open)


def test_an_ordinary_answer() -> None:
    answer: list[Event | Unknown] = [
        Thinking(at=1, status="retrieving"),
        Sources(at=2),
        Part(at=3, part=1, state="open", type="reasoning"),
        Reasoning(at=4, text="hm", part=1),
        Part(at=5, part=1, state="close"),
        Token(at=6, text="a"),
        Part(at=7, part=2, state="open", type="tool_call", call_id="c", name="f"),
        Tool(at=8, text="{", part=2),
        Token(at=9, text="b"),
        Tool(at=10, text="}", part=2),
        Part(at=11, part=2, state="close"),
        Progress(at=12),
        Unknown("later", b""),
        Usage(at=13),
        Done(at=14),
    ]
    taken, grammar = legal(answer)
    assert taken == answer
    assert grammar.phase is Phase.ENDED


@pytest.mark.parametrize(
    ("before", "event"),
    [
        ([], Reasoning(at=1, text="x", part=0)),
        ([], Token(at=1, text="x", part=1)),
        ([], Part(at=1, part=0, state="open")),
        ([], Part(at=1, part=1, state="close")),
        ([Part(at=1, part=1, state="open")], Part(at=2, part=1, state="open")),
        ([Part(at=1, part=1, state="open", type="media")], Token(at=2, text="x", part=1)),
        ([Done(at=1)], Done(at=2)),
        ([Done(at=1)], Usage(at=2)),
        ([Error(at=1, error="x", code="y")], Token(at=2, text="x")),
        ([Done(at=1)], Unknown("later", b"")),
    ],
)
def test_what_may_not_stand(before: list[Event], event: Event | Unknown) -> None:
    grammar = Grammar()
    for earlier in before:
        grammar.step(earlier)
    with pytest.raises(IllegalEvent):
        grammar.step(event)


def test_phases_only_go_back_by_a_reset() -> None:
    order = [Phase.PREPARING, Phase.ANSWERING, Phase.ENDED]
    for phase, moves in MOVES.items():
        for kind, to in moves.items():
            assert kind is Reset or order.index(to) >= order.index(phase)
    assert all(a != b for a, b in pairwise(order))
