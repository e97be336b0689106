"""What a question asks for."""

from hypothesis import given
from hypothesis import strategies as st

from fairlead.language.question import MAX_TERMS, Needle, parse, rarity
from fairlead.language.words import words


def needles(text: str) -> list[str]:
    return [needle.term for needle in parse(text).needles]


def test_stop_words_of_both_languages_are_dropped() -> None:
    assert needles("How do I resume the stream?") == ["resum", "stream"]
    assert needles("请问怎么安装？") == ["安装"]
    assert needles("什么是断线重连") == ["断线", "线重", "重连"]


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
    assert asked.coverage({0, 1}, [rare, common]) == 1.0
    assert asked.coverage({0}, [rare, common]) > asked.coverage({1}, [rare, common])
    assert asked.coverage(set(), [rare, common]) == 0.0


def test_light_characters_need_not_be_found() -> None:
    asked = parse("断线和重连")
    found = asked.found_in({word.term for word in words("断线以后重连")})
    assert asked.coverage(found, [1.0] * len(asked.needles)) == 1.0


def test_an_identifier_is_covered_by_its_whole_and_by_its_pieces() -> None:
    asked = parse("StreamingResponse")
    for text in ("StreamingResponse", "streamingresponse", "a streaming response"):
        found = asked.found_in({word.term for word in words(text)})
        assert asked.coverage(found, [1.0] * len(asked.needles)) == 1.0


@given(st.text(max_size=400) | st.text(alphabet="模型 abcX", max_size=3000))
def test_any_text_is_a_question_of_bounded_size(text: str) -> None:
    asked = parse(text)
    assert len(asked.needles) <= MAX_TERMS
    assert all(0 <= i < len(asked.needles) for unit in asked.units for i in unit.any_of)
    everything = set(range(len(asked.needles)))
    assert asked.coverage(everything, [1.0] * len(asked.needles)) == bool(asked.units)
    assert asked.found_in({word.term for word in words(text)}) or not asked.needles


def test_identifiers_are_meant_literally() -> None:
    asked = parse("What is Last-Event-ID in /chat/stream?")
    assert asked.literals == ("last-event-id", "chat/stream")
    assert asked.is_literally_in("send `Last-Event-ID`")
    assert not asked.is_literally_in("the id of the last event")
    assert parse("last event").is_literally_in("anything")
