"""The native session: what each message asks of the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fairlead.engine.ask import Ask
from fairlead.events.attachment import Attachment
from fairlead.journal.position import parse_position
from fairlead.protocols import native

POSITION = "11k3f9az-13"


def receive(**message: Any) -> native.Act:
    return native.receive(json.dumps(message))


@pytest.mark.parametrize("name", ["message", "question"])
def test_chat_begins_an_answer(name: str) -> None:
    act = receive(
        type="chat",
        id="1",
        key="k",
        conversation_id="c",
        parent="",
        background=True,
        **{name: "Hi"},
    )
    ask = Ask(message="Hi", conversation="c", parent="", background=True)
    assert act == native.Begin("1", ask, "k")


def test_interrupt_supersedes_what_was_shown() -> None:
    act = receive(type="interrupt", stream="s", shown=POSITION, message="No")
    assert act == native.Supersede("", "s", parse_position(POSITION), Ask(message="No"), "")
    act = receive(type="interrupt", stream="s", message="No")
    assert isinstance(act, native.Supersede)
    assert act.shown is None


def test_a_position_may_have_the_form_of_an_event_s_id() -> None:
    joined = native.Join("", "s", parse_position(POSITION))
    assert receive(type="attach", stream="s", after=POSITION) == joined
    assert receive(type="attach", stream="s", after=f"s.{POSITION}") == joined
    assert receive(type="attach", stream="s", after="") == native.Join("", "s", None)


def test_the_rest() -> None:
    assert receive(type="detach", id="1", stream="s") == native.Leave("1", "s")
    assert receive(type="stop", id="1", stream="s") == native.End("1", "s")
    identify = receive(type="authenticate", id="1", token="secret")
    assert identify == native.Identify("1", "secret")
    assert "secret" not in repr(identify)
    assert receive(type="ping") == native.Say(b'{"type":"pong"}')


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00\xff", "bad_request"),
        ("nonsense", "bad_request"),
        ('{"type":"chat","id":"1","message":"a","question":"b"}', "bad_request"),
        ('{"type":"attach","id":"1","stream":"s","after":"nowhere"}', "bad_position"),
        ('{"type":"interrupt","id":"1","stream":"s","shown":"?","message":"a"}', "bad_position"),
    ],
)
def test_what_is_wrong_is_answered_with_an_error(data: str | bytes, code: str) -> None:
    act = native.receive(data)
    assert isinstance(act, native.Say)
    message = json.loads(act.message)
    assert message["type"] == "error"
    assert message["data"]["code"] == code
    if isinstance(data, str) and "id" in data:
        assert message["id"] == "1"
    assert ("stream" in message) == ("stream" in str(data))


def test_a_binary_message_is_an_attachment_to_be_held() -> None:
    head = b'{"type":"attachment","id":"a","data":{"content_type":"image/png","name":"x.png"}}'
    act = native.receive(head + b"\n\x89PNG\n")
    assert act == native.Hold("a", Attachment("image/png", b"\x89PNG\n", "x.png"))
    said = native.receive(b"\x89PNG")
    assert isinstance(said, native.Say)
    assert json.loads(said.message)["data"]["code"] == "bad_request"


@pytest.mark.parametrize("type", ["chat", "interrupt"])
def test_a_question_names_attachments_or_brings_them(type: str) -> None:
    inline = {"type": "text/plain", "data": "aGk="}
    act = receive(type=type, stream="s", message="Hi", attachments=["a", inline])
    assert isinstance(act, native.Begin | native.Supersede)
    assert act.attachments == ("a", Attachment("text/plain", b"hi"))
    assert act.ask == Ask(message="Hi")
