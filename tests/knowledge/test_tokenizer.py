"""The FTS5 tokenizer, in SQLite itself."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.knowledge.tokenizer import NAME, index_terms, match, register
from fairlead.language.question import Needle, parse

texts = st.text() | st.text(alphabet="aZ9 é_-/.模型断线カﾞ\u0301\n𠀀ß\"*'", max_size=60)


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    register(connection)
    connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(body, tokenize='{NAME}')")
    return connection


def found(connection: apsw.Connection, text: str, question: str) -> bool:
    """Whether a table that holds ``text`` alone answers ``question``."""
    connection.execute("DELETE FROM t")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    query = match(parse(question).needles)
    return bool(connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (query,)).get)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("大语言模型的部署", "模型"),
        ("大语言模型的部署", "模"),
        ("大语言模型", "型"),
        ("Reconnect with Last-Event-ID.", "event"),
        ("see snake_case_name", "case"),
        ("POST /chat/stream", "/chat/stream"),
        ("a StreamingResponse", "response"),
        ("resuming streams", "resumed stream"),
        ("ＨＴＴＰ", "http"),
        ("Éclairs", "eclair"),
    ],
)
def test_found(connection: apsw.Connection, text: str, question: str) -> None:
    assert found(connection, text, question)


@pytest.mark.parametrize(("text", "question"), [("大语言模型", "语型"), ("steam", "stream")])
def test_not_found(connection: apsw.Connection, text: str, question: str) -> None:
    assert not found(connection, text, question)


def test_highlight_marks_whole_characters(connection: apsw.Connection) -> None:
    connection.execute("DELETE FROM t")
    connection.execute("INSERT INTO t VALUES ('大语言模型与 café 模型')")
    query = match([Needle("模型"), Needle("cafe")])
    sql = "SELECT highlight(t, 0, '<', '>') FROM t WHERE t MATCH ?"
    assert connection.execute(sql, (query,)).get == "大语言<模型>与 <café> <模型>"


@given(texts)
def test_offsets_lie_on_characters_and_never_go_back(text: str) -> None:
    utf8 = text.encode()
    before = 0
    for start, end, term in index_terms(utf8):
        assert before <= start < end <= len(utf8)
        assert utf8[start:end].decode()
        assert term
        before = start


@given(texts)
def test_whatever_is_asked_is_data(connection: apsw.Connection, question: str) -> None:
    needles = parse(question).needles
    if needles:
        assert found(connection, question, question)


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_a_query_of_any_terms_is_valid(connection: apsw.Connection, term: str) -> None:
    query = match([Needle(term), Needle(term, prefix=True)])
    rows = connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (query,))
    assert rows.get in (0, 1)
