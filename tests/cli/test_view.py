"""How events of an answer are shown where stdout and stderr are no terminals."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.cli.console import printable
from fairlead.cli.view import View
from fairlead.client.answers import Event


def shown(*events: tuple[str, dict[str, Any]]) -> View:
    view = View()
    for name, data in events:
        view.show(Event(name, data))
    view.end()
    return view


def token(text: str) -> tuple[str, dict[str, Any]]:
    return "token", {"token": text}


DONE = ("done", {"status": "completed"})


def test_only_the_answers_text_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    view = shown(
        ("thinking", {"message": "Looking…", "conversation_id": "c", "notice": "No model"}),
        ("sources", {"sources": [{"title": "T", "heading": "H", "address": "t.md"}, "odd"]}),
        ("reasoning", {"reasoning": "hm", "part": 1}),
        ("token", {"tokens": ["a", "b"]}),
        ("token", {"token": "another choice", "part": 3}),
        token("c"),
        ("hologram", {}),
        ("usage", {"input_tokens": 1}),
        DONE,
    )
    out, err = capsys.readouterr()
    assert out == "abc\n"
    assert err == "\n[1] T › H  t.md\n"
    assert view.status == 0


def test_a_line_end_of_the_answer_is_not_doubled(capsys: pytest.CaptureFixture[str]) -> None:
    shown(token("a\n"), DONE)
    assert capsys.readouterr().out == "a\n"


def test_a_reset_that_goes_on_is_not_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    shown(token("a"), ("reset", {"reason": "lost", "text": "abc"}), token("d"), DONE)
    assert capsys.readouterr() == ("abcd\n", "")


def test_a_reset_that_takes_back_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    shown(token("abc"), ("reset", {"reason": "the store lost it", "text": "ab"}), DONE)
    out, err = capsys.readouterr()
    assert out == "abc\nab\n"
    assert "took back" in err
    assert "the store lost it" in err


def test_an_error_is_said_and_is_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    view = shown(token("half"), ("error", {"error": "too long", "code": "upstream_rejected"}))
    assert view.status == 1
    assert capsys.readouterr() == ("half\n", "error: too long\n")


def test_a_stopped_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    view = shown(token("half"), ("done", {"status": "stopped", "reason": "abandoned"}))
    assert view.status == 0
    assert capsys.readouterr().err == "The answer was stopped: abandoned\n"


def test_what_steers_a_terminal_is_not_printable() -> None:
    assert printable("a\x1b]0;title\x07b\x9b2Jc\r\n\td\u202e") == "a]0;titleb2Jc\n\td\u202e"
