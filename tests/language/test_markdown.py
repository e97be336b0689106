"""Markdown as a reader sees it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.language.markdown import plain, prose, readable, split

texts = st.text() | st.lists(
    st.sampled_from(["`", "```", "\n", "[", "](", ")", "<", ">", "a b", "**", "\0", "1", "模"]),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[`deploy/nginx.conf`](../../deploy/nginx.conf).", "`deploy/nginx.conf`."),
        ("[**bold** and `code`](a.md)", "bold and `code`"),
        ("`[no](link)` and `**none**`", "`[no](link)` and `**none**`"),
        ("Open <http://127.0.0.1:8000/>, or", "Open http://127.0.0.1:8000/, or"),
        ("`--port`<br>`FAIRLEAD_PORT`", "`--port` `FAIRLEAD_PORT`"),
        ("**`words`**", "`words`"),
        ("See [2] and [this][3] and ![x](y.png) `a[1]`.", "See  and this and  `a[1]`."),
    ],
)
def test_inline_marks_are_taken_away(written: str, shown: str) -> None:
    assert plain(written) == shown


def test_what_stands_behind_a_fences_language_is_for_no_reader() -> None:
    text = "Run it:\n\n```sh run=resume\ncurl [x](y)\n```\n\nThen [rest](a.md).\n"
    assert "run=resume" not in readable(text)
    assert "```" not in readable(text)
    assert "curl" in readable(text)
    assert "Then rest." in readable(text)


def test_prose_is_what_is_not_code() -> None:
    text = "一个模型 `fairlead serve`：\n\n```sh\nfairlead serve\n```\n结束"
    assert "fairlead" not in prose(text)
    assert "模型" in prose(text)
    assert "结束" in prose(text)


def test_fences_that_are_not_closed_go_to_the_end() -> None:
    assert [code for _, code in split("a\n```\nb\n")] == [False, True, False]


@given(texts)
def test_any_text_can_be_read(text: str) -> None:
    kept = "".join(part for part, _ in split(text))
    assert all(line in kept for line in text.split("\n") if "```" not in line and "~~~" not in line)
    assert "\0" not in plain(text)
    assert len(plain(text)) <= len(text)
    readable(text)
