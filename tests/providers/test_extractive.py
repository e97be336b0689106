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
from fairlead.providers.quotable import Quote, quotes
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


DIAGRAM = "```text\n connection breaks  x  the answer is written on\n```"


def test_code_comes_after_what_it_belongs_to() -> None:
    told = passage(f"{DIAGRAM}\n\nWhen a connection breaks, the answer goes on.")
    text = answer("What happens to the answer when the connection breaks?", [told])
    assert text == "When a connection breaks, the answer goes on. [1]"
    introduced = passage("A unit is such a file:\n\n```ini\n[Install]\n```\n\nTea is green.")
    assert answer("How do I install it?", [introduced]).startswith(
        "A unit is such a file: [1]\n\n```"
    )


def test_code_is_an_answer_where_a_command_is_asked_for() -> None:
    told = passage("The server ends at once.\n\n```sh\nkill -TERM server\n```\n\nIt is quick.")
    assert "kill -TERM" in answer("What is the command to kill the server?", [told])
    assert "kill -TERM" not in answer("When does the server end?", [told])


def test_an_answer_speaks_the_language_of_the_question() -> None:
    english = passage("Green tea is brewed at 80 degrees with Kettle.")
    chinese = passage("绿茶用 Kettle 冲泡，水温八十度。")
    assert answer("How do I use Kettle?", [chinese, english]) == (
        "Green tea is brewed at 80 degrees with Kettle. [2]"
    )
    assert answer("怎么使用 Kettle？", [english, chinese]) == "绿茶用 Kettle 冲泡，水温八十度。[2]"
    assert "Kettle" in answer("怎么使用 Kettle？", [english])


def test_the_language_of_a_passage_is_that_of_its_prose() -> None:
    rows = (
        "接入模型：\n\n| 服务 | 命令 |\n|---|---|\n| Kettle | `tea --kettle one two three four` |"
    )
    text = answer("How do I use Kettle?", [passage(rows), passage("Kettle is a tool for tea.")])
    assert text == "Kettle is a tool for tea. [2]"


def test_a_definition_comes_first() -> None:
    text = answer(
        "What is a kettle?",
        [passage("A kettle is valid if it holds water."), passage("A kettle is a pot for water.")],
    )
    assert text.startswith("A kettle is a pot for water. [2]")
    assert answer(
        "什么是水壶？", [passage("水壶是否有水要检查。"), passage("水壶是烧水用的器具。")]
    ).startswith("水壶是烧水用的器具。[2]")


def test_the_opening_of_a_document_stands_under_its_title() -> None:
    opening = passage("It is steamed and dried at once.", title="Green tea")
    later = passage("It is steamed and dried at once again.", heading="Black coffee")
    assert answer("green tea", [later, opening]).startswith("It is steamed and dried at once. [2]")


def test_an_item_is_given_with_what_it_is_one_of() -> None:
    listed = passage("**What does not work yet:**\n\n- a green pot\n- a kettle of glass")
    assert answer("Is there a kettle?", [listed]) == (
        "What does not work yet: [1]\n\n- a kettle of glass [1]"
    )


def test_pointers_give_way_to_what_is_said() -> None:
    text = answer(
        "Where is the kettle?",
        [
            passage("- [Kettle](kettle.md): where it is."),
            passage("The kettle stands on the stove."),
        ],
    )
    assert text.startswith("The kettle stands on the stove. [2]")


def test_a_row_that_is_about_what_is_asked_comes_first() -> None:
    head = "| name | default | meaning |\n|---|---|---|\n"
    host = passage(f"{head}| host | loopback | where the port is opened |")
    port = passage(f"{head}| port | 8000 | any free one |")
    assert answer("Which port?", [host, port]).startswith("- port: default: 8000")


async def test_a_short_question_leans_on_the_one_before() -> None:
    request = GenerationRequest(
        stream="s",
        turns=(Turn("user", "Where does the tea come from?"), Turn("user", "And why?")),
        passages=(TEA,),
    )
    text = written([event async for event in provider().generate(request)])
    assert "Our tea comes from Assam. [1]" in text
    assert "Green tea" not in text


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


def test_what_only_points_elsewhere_is_known() -> None:
    assert quotes("- [Performance](p.md): what was measured.")[0].points
    assert quotes("A proxy must not buffer: see [nginx](nginx.md).")[0].points
    assert not quotes("Send [a header](h.md) with the question.")[0].points


def test_a_greater_than_sign_within_a_line_stays() -> None:
    assert quotes("> If a > b, stop.") == [Quote("sentence", "If a > b, stop.")]


@given(texts)
def test_quotes_are_never_blank(text: str) -> None:
    assert all(quote.text.strip() for quote in quotes(text))
