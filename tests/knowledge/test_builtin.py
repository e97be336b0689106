"""The documentation that a fresh server answers from."""

from pathlib import Path

from fairlead.knowledge.builtin import NAME, builtin_documents, refresh_builtin
from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.sqlite import SqliteKnowledge


async def test_an_empty_knowledge_base_gets_it(knowledge: SqliteKnowledge) -> None:
    report = await refresh_builtin(knowledge)
    assert report is not None
    assert "fairlead/README.md" in report.added
    assert len(report.added) == len(builtin_documents())
    assert await knowledge.retrieve("What is Fairlead?")
    again = await refresh_builtin(knowledge)
    assert again is not None
    assert (again.added, again.unchanged) == ([], report.added)


async def test_it_does_not_come_back_beside_documents(
    knowledge: SqliteKnowledge, folder: Path
) -> None:
    await refresh_builtin(knowledge)
    await ingest([folder], knowledge)
    assert await refresh_builtin(knowledge) is not None
    await knowledge.remove_source(NAME)
    assert await refresh_builtin(knowledge) is None
    assert {d.source for d in await knowledge.documents()} == {"papers"}
