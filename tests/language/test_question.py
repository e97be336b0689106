"""What a question asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.language.question import (
    BEFORE,
    CODE,
    INFLECTED,
    MAX_TERMS,
    PART,
    SYNONYM,
    Needle,
    Question,
    parse,
    rarity,
)  # fmt: skip


def needles(text: str) -> list[str]:
    return [needle.term for needle in parse(text).needles]


def covered(question: str, text: str, before: str = "") -> float:
    """The coverage where all words are equally rare."""
    asked = parse(question, before)
    return asked.coverage(asked.strengths(text), flat(asked))


def flat(asked: Question) -> list[float]:
    return [1.0] * len(asked.needles)


def test_stop_words_of_both_languages_are_dropped() -> None:
    assert needles("How do I resume the stream?") == ["resum", "stream"]
    assert needles("请问怎么安装？") == ["安装"]
    assert needles("什么是温度曲线") == ["温度", "度曲", "曲线"]


def test_words_that_contain_a_stop_word_are_kept() -> None:
    assert needles("目的") == ["目的"]
    assert needles("邀请") == ["邀请"]


def test_a_single_character_is_sought_by_prefix() -> None:
    assert parse("猫").needles == (Needle("猫", prefix=True),)


def test_a_question_of_stop_words_asks_for_nothing() -> None:
    for text in ("", "???", "What is it?", "这是什么？"):
        assert parse(text).units == ()


def test_coverage_counts_rare_words_for_more() -> None:
    asked = parse("zebra stream")
    rare, common = rarity(100, 1), rarity(100, 60)
    assert asked.coverage({0: 1.0, 1: 1.0}, [rare, common]) == 1.0
    assert asked.coverage({0: 1.0}, [rare, common]) > asked.coverage({1: 1.0}, [rare, common])
    assert asked.coverage({}, [rare, common]) == 0.0


def test_light_characters_need_not_be_found() -> None:
    assert covered("断线和重连", "断线以后重连") == 1.0


def test_an_identifier_is_covered_by_its_whole_and_by_its_pieces() -> None:
    for text in ("StreamingResponse", "streamingresponse"):
        assert covered("StreamingResponse", text) == 1.0
    assert covered("StreamingResponse", "a streaming response") == pytest.approx(INFLECTED)


@pytest.mark.parametrize(
    ("question", "text", "worth"),
    [
        ("How fast is it?", "FastAPI", PART),
        ("fairlead", "set FAIRLEAD_UPSTREAM", PART),
        ("fairlead", "set `FAIRLEAD_UPSTREAM` for fairlead", 1.0),
        ("What does FAIRLEAD_UPSTREAM do?", "set FAIRLEAD_UPSTREAM", 1.0),
        ("upstream key", "upstream_key", 1.0),
        ("streaming response", "StreamingResponse", 1.0),
        ("fetch", "fetch-event-source", 1.0),
    ],
)
def test_a_part_of_an_identifier_is_no_word(question: str, text: str, worth: float) -> None:
    assert covered(question, text) == pytest.approx(worth)


def test_code_says_less_than_prose() -> None:
    assert covered("install", "text\n```ini\n[Install]\n```\n") == pytest.approx(CODE)
    assert covered("serve", "run `fairlead serve --port 0`") == pytest.approx(CODE)
    assert covered("serve", "the command `serve`") == 1.0


def test_the_word_itself_says_more_than_its_other_forms() -> None:
    assert covered("coming", "it is coming") == 1.0
    assert covered("coming", "it comes") == pytest.approx(INFLECTED)


def test_synonyms_are_found_a_little_less() -> None:
    assert covered("删除", "移除") == pytest.approx(SYNONYM)
    assert covered("删除", "删除") == 1.0
    assert covered("delete", "remove") == pytest.approx(SYNONYM * INFLECTED)
    assert covered("delete", "rename") == 0.0


def test_only_a_question_that_leans_on_the_one_before_is_read_with_it() -> None:
    before = "How do I resume a stream?"
    assert covered("Why?", "resume a stream", before) == 1.0
    assert covered("And over nginx?", "nginx", before) == pytest.approx(1 / (1 + 2 * BEFORE))
    assert covered("那 nginx 呢？", "nginx", "怎么续传？") < 1.0
    assert covered("What is the price of tea?", "resume a stream", before) == 0.0
    assert needles("And over nginx?") == ["nginx"]


def test_a_heading_announces_most_what_it_is_about_alone() -> None:
    asked = parse("What is a position?")
    exact = asked.titled("Positions", flat(asked))
    assert exact > asked.titled("Streams, events, positions", flat(asked)) > 0
    assert asked.titled("Epochs", flat(asked)) == 0.0


def test_a_question_may_stand_in_a_text_itself() -> None:
    asked = parse("What is coming?")
    assert asked.is_said_in("**What is coming, and does not work yet:**")
    assert not asked.is_said_in("What comes is coming soon")
    assert not parse("Why?").is_said_in("Why? Because.")


@given(st.text(max_size=400) | st.text(alphabet="模型 abcX", max_size=3000))
def test_any_text_is_a_question_of_bounded_size(text: str) -> None:
    asked = parse(text)
    assert len(asked.needles) <= MAX_TERMS
    assert all(0 <= i < len(asked.needles) for unit in asked.units for i in unit.any_of)
    everything = dict.fromkeys(range(len(asked.needles)), 1.0)
    assert asked.coverage(everything, flat(asked)) == pytest.approx(float(bool(asked.units)))
    found = asked.strengths(text)
    assert found or not asked.needles
    assert all(0 < strength <= 1 for strength in found.values())


def test_identifiers_are_meant_literally() -> None:
    asked = parse("What is Last-Event-ID in /chat/stream?")
    assert asked.literals == ("last-event-id", "chat/stream")
    assert asked.is_literally_in("send `Last-Event-ID`")
    assert not asked.is_literally_in("the id of the last event")
    assert parse("last event").is_literally_in("anything")
