"""The session of a socket on which responses are asked for: lanes, their order, their limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.protocols.responses import (
    MAX_LANES,
    MAX_RUNNING,
    MAX_WAITING,
    Begin,
    Say,
    Session,
    Stop,
    Unstored,
)


def create(lane: str | None = None, **fields: Any) -> str:
    if lane is not None:
        fields["stream_id"] = lane
    return json.dumps({"type": "response.create", **fields})


def begun(session: Session, lane: str | None = None, **fields: Any) -> Begin | None:
    act = session.receive(create(lane, **fields))
    assert act is None or isinstance(act, Begin)
    return act


def error(act: Any) -> dict[str, Any]:
    assert isinstance(act, Say)
    told: dict[str, Any] = json.loads(act.message)
    assert told["type"] == "error"
    assert told["code"] == told["error"]["code"]
    return told


def test_the_question_is_the_message_without_its_envelope() -> None:
    act = begun(Session(1000), "main", input="Hi", model="m", generate=False)
    assert act is not None
    assert (act.lane, act.generate) == ("main", False)
    assert {name: json.loads(bytes(raw)) for name, raw in act.fields.items()} == {
        "input": "Hi",
        "model": "m",
    }


def test_a_lane_keeps_its_order_and_lanes_run_beside_each_other() -> None:
    session = Session(1000)
    assert begun(session, "a", input="1") is not None
    assert begun(session, "a", input="2") is None
    assert begun(session, "b", input="3") is not None
    assert begun(session, input="4") is not None
    assert session.ended("b") == []
    (second,) = session.ended("a")
    assert (second.lane, json.loads(bytes(second.fields["input"]))) == ("a", "2")
    assert session.ended("a") == []
    assert session.ended("") == []
    assert begun(session, "a", input="5") is not None


def test_no_more_are_written_at_once_than_may_be() -> None:
    session = Session(100_000)
    for number in range(MAX_RUNNING):
        assert begun(session, f"l{number}") is not None
    assert begun(session, "late") is None
    assert begun(session, "later") is None
    assert [begin.lane for begin in session.ended("l3")] == ["late"]
    assert [begin.lane for begin in session.ended("late")] == ["later"]


def test_what_waits_is_bounded() -> None:
    session = Session(100_000)
    begun(session)
    for _ in range(MAX_WAITING):
        assert begun(session) is None
    told = error(session.receive(create()))
    assert (told["status"], told["code"]) == (429, "rate_limit_exceeded")
    (after,) = session.ended("")
    assert after.lane == ""
    assert begun(session) is None
    large = Session(100)
    begun(large)
    assert error(large.receive(create(input="x" * 100)))["status"] == 429


def test_lanes_are_bounded() -> None:
    session = Session(100_000)
    for number in range(MAX_LANES):
        begun(session, f"l{number}")
    told = error(session.receive(create("one-more")))
    assert (told["code"], told["param"]) == ("websocket_stream_limit_reached", "stream_id")
    assert begun(session, "l0") is None, "lanes that there are go on"


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 257, 7, ["a"], {}])
def test_a_lane_must_have_a_good_name(name: Any) -> None:
    told = error(Session(1000).receive(create(name)))
    assert (told["code"], told["param"], told["status"]) == ("invalid_stream_id", "stream_id", 400)
    assert "stream_id" not in told


def test_an_error_names_its_lane() -> None:
    told = error(Session(1000).receive(json.dumps({"type": "response.steer", "stream_id": "a"})))
    assert (told["stream_id"], told["param"]) == ("a", "type")


def test_stopping() -> None:
    act = Session(9).receive('{"type": "response.cancel", "response_id": "resp_1"}')
    assert act == Stop("", "resp_1")


@pytest.mark.parametrize(
    "data", ["", "{", "null", "[]", "{}", '{"type": 7}', b"{}", "[" * 5000, '"\ud800"']
)
def test_what_is_no_message_is_told_so(data: str | bytes) -> None:
    assert error(Session(1000).receive(data))["status"] == 400


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["a", "b", "c", ""]).map(lambda lane: ("create", lane)),
            st.integers(0, 20).map(lambda number: ("end", str(number))),
        ),
        max_size=200,
    )
)
def test_every_request_has_its_turn_once_and_in_its_lanes_order(
    steps: list[tuple[str, str]],
) -> None:
    session = Session(1_000_000)
    asked: dict[str, list[int]] = {}
    written: dict[str, list[int]] = {}
    running: list[str] = []
    count = 0

    def began(begin: Begin) -> None:
        assert begin.lane not in running
        running.append(begin.lane)
        written.setdefault(begin.lane, []).append(int(bytes(begin.fields["n"])))

    for kind, value in steps:
        if kind == "create":
            count += 1
            act = session.receive(create(value or None, n=count))
            if not isinstance(act, Say):
                asked.setdefault(value, []).append(count)
            if isinstance(act, Begin):
                began(act)
        elif running:
            for begin in session.ended(running.pop(int(value) % len(running))):
                began(begin)
    while running:
        for begin in session.ended(running.pop()):
            began(begin)
    assert written == asked


def test_the_latest_of_each_lane_is_known_as_far_as_there_is_room() -> None:
    unstored = Unstored(100)
    unstored.keep("a", "resp_1", [{"n": 1}])
    unstored.keep("b", "resp_2", [{"n": 2}])
    assert unstored.recall("resp_1") == [{"n": 1}]
    unstored.keep("a", "resp_3", [{"n": 3}])
    assert unstored.recall("resp_1") is None
    assert unstored.recall("resp_2") == [{"n": 2}]
    unstored.keep("c", "resp_4", ["x" * 80])
    assert unstored.recall("resp_2") is None
    assert unstored.recall("resp_4") == ["x" * 80]
    unstored.keep("c", "resp_5", ["x" * 200])
    assert unstored.recall("resp_5") is None
