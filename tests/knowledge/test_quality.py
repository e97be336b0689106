"""Does retrieval find, and the embedded answerer say, what the documents hold?

The bars stand a little below what is reached, so that a change that loses questions is seen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.providers.quoting import answer
from tests.knowledge.questions import CHINESE, ENGLISH, UNANSWERABLE, Asked

DOCUMENTS = Path(__file__).parent / "documents"

#: Of all questions, those whose document is among the first three passages …
DOCUMENT_AT_3 = 0.95
#: … whose answer's words are in one of these passages …
ANSWER_AT_3 = 0.95
#: … and are quoted by the embedded answerer.
ANSWERED = 0.9


@pytest.fixture
async def library(knowledge: SqliteKnowledge) -> SqliteKnowledge:
    report = await ingest([DOCUMENTS], knowledge)
    assert len(report.added) == 16
    return knowledge


@pytest.mark.parametrize("asked", [ENGLISH, CHINESE], ids=["english", "chinese"])
async def test_questions_find_their_documents(
    library: SqliteKnowledge, asked: tuple[Asked, ...]
) -> None:
    found, held, said = [], [], []
    for question, document, words in asked:
        passages = await library.retrieve(question)
        first = passages[:3]
        found.append(any(p.address.endswith("/" + document) for p in first))
        held.append(any(words in p.text for p in first))
        said.append(words in answer(question, passages))
    assert sum(found) >= DOCUMENT_AT_3 * len(asked)
    assert sum(held) >= ANSWER_AT_3 * len(asked)
    assert sum(said) >= ANSWERED * len(asked)


@pytest.mark.parametrize("question", UNANSWERABLE)
async def test_the_documents_hold_no_answer(library: SqliteKnowledge, question: str) -> None:
    assert await library.retrieve(question) == []


@pytest.mark.parametrize("question", ["backup", "备份", "parcel", "包裹", "leave"])
async def test_passages_are_in_place_and_comparable(
    library: SqliteKnowledge, question: str
) -> None:
    passages = await library.retrieve(question, limit=8)
    assert passages
    scores = [passage.score for passage in passages]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    sections = [(passage.document, passage.heading) for passage in passages]
    assert max(sections.count(section) for section in sections) <= 2
    for passage in passages:
        document = await library.document(passage.document)
        assert document.text[slice(*passage.span)] == passage.text
        assert (document.title, document.address) == (passage.title, passage.address)
        assert await library.passage(passage.id) != passage  # has neither snippet nor score
        assert (await library.passage(passage.id)).text == passage.text
        assert question in passage.snippet.lower() + passage.heading.lower() + passage.title.lower()


async def test_the_opening_of_a_document_counts_as_headed_by_its_title(
    knowledge: SqliteKnowledge, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("# Pots\n\n## Cleaning\n\nA kettle is rinsed, never scrubbed.\n")
    (tmp_path / "b.md").write_text(
        "# The kettle\n\nA pot of the plainest kind for boiling water.\n"
    )
    await ingest([tmp_path], knowledge)
    first, *_ = await knowledge.retrieve("What is a kettle?")
    assert first.title == "The kettle"


async def test_passages_in_the_language_of_the_question_come_first(
    knowledge: SqliteKnowledge, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("# Kettle\n\nKettle boils water. Kettle is made of steel.\n")
    (tmp_path / "b.md").write_text("# 厨房\n\n水壶叫做 Kettle，用来烧开水，放在厨房的炉子上面。\n")
    (tmp_path / "c.md").write_text("# Stove\n\nThe stove burns gas.\n")
    await ingest([tmp_path], knowledge)
    assert (await knowledge.retrieve("什么是 Kettle？"))[0].title == "厨房"
    assert (await knowledge.retrieve("What is Kettle?"))[0].title == "Kettle"
    # The other language answers what it alone can.
    assert [p.title for p in await knowledge.retrieve("什么是 stove？")] == ["Stove"]
