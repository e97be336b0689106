"""The embedded answerer."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.events.model import Event, Token, Usage
from fairlead.policy.tokens import estimate
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import GenerationRequest, Provider, Turn
from fairlead.providers.extractive import ExtractiveProvider, pieces
from fairlead.providers.quotable import Quote, plain, quotes
from fairlead.providers.quoting import (
    MAX_QUOTES,
    NO_ANSWER_CHINESE,
    NO_ANSWER_ENGLISH,
    answer,
)


def passage(text: str, heading: str = "", title: str = "Manual") -> Passage:
    return Passage(
        id="p",
        document="d",
        title=title,
        address="manual.md",
        heading=heading,
        span=(0, len(text)),
        text=text,
    )


def provider() -> ExtractiveProvider:
    return ExtractiveProvider(clock=itertools.count(1000).__next__)


async def events(question: str, *passages: Passage) -> list[Event]:
    request = GenerationRequest(
        stream="s",
        turns=(Turn("user", "Hello"), Turn("assistant", "Hi"), Turn("user", question)),
        passages=passages,
    )
    return [event async for event in provider().generate(request)]


def written(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


TEA = passage(
    "Green tea is brewed at eighty degrees. Black tea needs boiling water. "
    "The tin stands in the cupboard. Our tea comes from Assam.",
    "Brewing",
)


# -- events ----------------------------------------------------------------------------------------


async def test_an_answer_is_tokens_and_then_usage() -> None:
    port: Provider = provider()
    assert port.name == "extractive"
    *tokens, usage = await events("How hot must the water for green tea be?", TEA)
    assert len(tokens) > 5
    assert all(isinstance(token, Token) and token.part == 0 for token in tokens)
    text = written([*tokens])
    assert text.startswith("Green tea is brewed at eighty degrees. [1]")
    assert isinstance(usage, Usage)
    assert (usage.estimated, usage.model) == (True, "extractive")
    assert usage.output_tokens == estimate(text)
    assert usage.input_tokens > estimate(TEA.text)
    times = [event.at for event in [*tokens, usage]]
    assert times == list(range(1000, 1000 + len(times)))


async def test_the_last_question_counts() -> None:
    request = GenerationRequest(
        stream="s",
        turns=(Turn("user", "Where does the tea come from?"), Turn("user", "怎么泡茶？")),
    )
    assert written([e async for e in provider().generate(request)]) == NO_ANSWER_CHINESE


async def test_closing_stops_the_answer() -> None:
    request = GenerationRequest(stream="s", turns=(Turn("user", "tea"),), passages=(TEA,))
    answering = provider().generate(request)
    await anext(answering)
    await answering.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(answering)


async def test_a_pace_is_kept_and_may_not_be_negative() -> None:
    paced = ExtractiveProvider(clock=lambda: 0, pace=0.0001)
    request = GenerationRequest(stream="s", turns=(Turn("user", "tea"),), passages=(TEA,))
    assert "tea" in written([event async for event in paced.generate(request)])
    with pytest.raises(ValueError, match="pace"):
        ExtractiveProvider(clock=lambda: 0, pace=-1)


@given(st.text() | st.text(alphabet="ab 模型，。[1]\n", max_size=80))
def test_pieces_are_the_text(text: str) -> None:
    cut = pieces(text)
    assert "".join(cut) == text
    assert all(cut)


def test_pieces_are_words_and_a_few_characters() -> None:
    assert pieces("Two words [1]") == ["Two ", "words ", "[1]"]
    assert pieces("断线后重连。[2]") == ["断线", "后重", "连。", "[2]"]


# -- answers ---------------------------------------------------------------------------------------


async def test_no_passages_no_answer_in_the_language_of_the_question() -> None:
    assert written(await events("What is the boiling point?")) == NO_ANSWER_ENGLISH
    assert written(await events("沸点是多少？")) == NO_ANSWER_CHINESE
    assert "fairlead ingest" in NO_ANSWER_ENGLISH
    assert "fairlead ingest" in NO_ANSWER_CHINESE
    assert written(await events("tea", passage("  \n"))) == NO_ANSWER_ENGLISH


def test_sentences_come_in_the_order_of_the_passages_with_their_numbers() -> None:
    other = passage("Coffee is ground fresh. Green tea is kept in the dark.", "Storing")
    text = answer("green tea", [TEA, other])
    assert text.startswith("Green tea is brewed at eighty degrees. [1] ")
    assert text.endswith("[1]\n\nGreen tea is kept in the dark. [2]")
    assert "Coffee" not in text


def test_what_does_not_bear_on_the_question_is_left_out() -> None:
    text = answer("Where does the tea come from, is it Assam?", [TEA])
    assert "Our tea comes from Assam. [1]" in text
    assert "cupboard" not in text


def test_chinese_sentences_need_no_spaces() -> None:
    text = answer(
        "绿茶用多热的水？", [passage("绿茶用八十度的水冲泡。红茶要用开水。茶叶放在柜子里。")]
    )
    assert text.startswith("绿茶用八十度的水冲泡。[1]")
    assert "柜子" not in text


def test_nothing_is_said_twice() -> None:
    same = [TEA, passage(TEA.text), passage("Green tea is brewed at eighty degrees, always.")]
    assert answer("green tea degrees", same).count("eighty degrees") == 1


def test_a_question_in_the_document_is_answered_by_what_follows_it() -> None:
    faq = passage("Can I change the address? Yes, until the van is loaded. Vans are blue.")
    assert answer("How can I change the address?", [faq]).startswith(
        "Yes, until the van is loaded."
    )


def test_what_a_heading_covers_is_answered_by_its_first_sentences() -> None:
    headed = passage("Nine bars. Use fresh beans every time you do it.", "Espresso pressure")
    assert "Nine bars." in answer("Which pressure does espresso need?", [headed])


def test_code_follows_the_sentence_that_introduces_it() -> None:
    text = answer(
        "How do I install the server?",
        [passage("To install the server, run:\n\n```sh\npip install server\n```\n\nThen rest.")],
    )
    assert text.startswith("To install the server, run: [1]\n\n```sh\npip install server\n```\n[1]")


def test_all_steps_of_a_procedure_are_given() -> None:
    steps = "1. Stop the service.\n2. Restore the database.\n3. Start the service."
    text = answer("How do I restore the database?", [passage(steps)])
    assert text == (
        "1. Stop the service. [1]\n2. Restore the database. [1]\n3. Start the service. [1]"
    )


def test_rows_of_a_table_name_their_columns() -> None:
    table = "| kind | kept | where |\n|---|---|---|\n| nightly | 14 days | Dublin |"
    assert answer("nightly", [passage(table)]) == "- nightly: kept: 14 days; where: Dublin [1]"


def test_passages_without_a_word_of_the_question_are_quoted_from_their_beginnings() -> None:
    text = answer("automobile", [passage("Cars have four wheels. They need fuel.")])
    assert text.startswith("Cars have four wheels. [1]")


texts = st.text() | st.lists(
    st.sampled_from(
        ["Tea is hot.", "茶很热。", "- item tea", "1. tea", "| tea | b |", "|---|---|", "```", ""]
    ),
    max_size=12,
).map("\n".join)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["tea", "茶", "", "why is tea hot?"]), st.lists(texts, max_size=4))
def test_any_passages_give_a_bounded_answer_that_cites_only_them(
    question: str, bodies: list[str]
) -> None:
    text = answer(question, [passage(body) for body in bodies])
    assert text.strip()
    assert len(text) < 20_000
    if text not in (NO_ANSWER_ENGLISH, NO_ANSWER_CHINESE):
        cited = {int(n) for n in re.findall(r"\[(\d)\](?=\s|$|[^\w(])", text)}
        assert cited
        assert min(cited) >= 1
        assert text.rstrip().endswith("]")


def test_an_answer_is_short() -> None:
    many = passage(" ".join(f"Tea number {n} is sold in town {n * 7}." for n in range(60)))
    assert 1 <= answer("tea", [many]).count("[1]") <= MAX_QUOTES


# -- what can be quoted ----------------------------------------------------------------------------


def test_markdown_is_taken_apart() -> None:
    text = (
        "Some **bold** **`words`**\nand [a link](http://x.y). More[^1] here:\n"
        "- one\n  goes on\n- two\n\n> Quoted `code`.\n\n"
        "| a | b |\n|---|---|\n| x | y |\n\n```py\n# no heading\n```\n<!-- hidden -->\n## End\n"
    )
    assert quotes(text) == [
        Quote("sentence", "Some bold `words` and a link."),
        Quote("sentence", "More here:", leads=True),
        Quote("item", "one goes on"),
        Quote("item", "two"),
        Quote("sentence", "Quoted `code`."),
        Quote("row", "x: y"),
        Quote("code", "```py\n# no heading\n```"),
        Quote("sentence", "End"),
    ]


def test_code_that_was_cut_is_closed_and_long_code_is_cut() -> None:
    assert quotes("```\nrun") == [Quote("code", "```\nrun\n```")]
    (long,) = quotes("~~~\n" + "line\n" * 100 + "~~~")
    assert long.text.endswith("…\n~~~")
    assert long.text.count("line") < 100


def test_links_and_numbers_in_brackets_do_not_look_like_citations() -> None:
    assert plain("See [2] and [this][3] and ![x](y.png) `a[1]`.") == "See  and this and  `a[1]`."


@given(texts)
def test_quotes_are_never_blank(text: str) -> None:
    assert all(quote.text.strip() for quote in quotes(text))
