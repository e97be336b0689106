"""Terms and their places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.language.words import count_cjk, is_chinese, words

texts = st.text() | st.text(alphabet="aZ9 é_-/.模型断线カﾞｶ\u0301\n𠀀ß", max_size=60)


def terms(text: str) -> list[str]:
    return [word.term for word in words(text)]


def test_chinese_gives_each_character_with_its_successor() -> None:
    assert terms("断线重连") == ["断线", "线重", "重连", "连"]
    assert terms("用nginx代理") == ["用", "nginx", "代理", "理"]


def test_english_words_are_stemmed_and_folded() -> None:
    assert terms("Streaming STREAMED streams") == ["stream"] * 3
    assert terms("Café ＡＢＣ Straße") == ["cafe", "abc", "strass"]
    assert terms("cafe\u0301") == terms("café")


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("Last-Event-ID", ["last", "event", "id"]),
        ("snake_case", ["snake", "case"]),
        ("/chat/stream", ["chat", "stream"]),
        ("StreamingResponse", ["streamingrespons", "stream", "respons"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("sha256", ["sha256", "sha", "256"]),
        ("3.11", ["3", "11"]),
    ],
)
def test_identifiers_are_found_by_their_pieces(identifier: str, expected: list[str]) -> None:
    assert terms(identifier) == expected


@given(texts)
def test_every_term_has_a_place_and_places_never_go_back(text: str) -> None:
    before = 0
    for start, end, term in words(text):
        assert before <= start < end <= len(text)
        assert term
        before = start


@given(texts, texts)
def test_terms_do_not_depend_on_what_stands_around(left: str, right: str) -> None:
    assert terms(f"{left} \n {right}") == terms(left) + terms(right)


@given(texts)
def test_case_and_width_make_no_difference_to_ascii(text: str) -> None:
    plain = "".join(c for c in text if c.isascii()).lower()
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in plain)
    assert [w for w in terms(wide) if w] == [w.term for w in words(plain) if _whole(plain, w)]


def _whole(text: str, word: tuple[int, int, str]) -> bool:
    """Whether the word is not a piece of another: pieces are looked for in ASCII only."""
    start, end, _ = word
    return not (start and text[start - 1].isalnum()) and not (
        end < len(text) and text[end].isalnum()
    )


def test_the_language_of_a_question() -> None:
    assert is_chinese("怎么配置 nginx 反向代理？")
    assert is_chinese("SSE 断了怎么办")
    assert not is_chinese("What does 模型 mean in this text?")
    assert not is_chinese("")
    assert count_cjk("a模b型") == 2
