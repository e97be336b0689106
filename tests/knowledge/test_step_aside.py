"""The built-in documentation gives way to the operator's own documents."""

from __future__ import annotations

from pathlib import Path

from fairlead.knowledge.builtin import NAME, refresh_builtin, step_aside
from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.sqlite import SqliteKnowledge


async def test_the_documentation_steps_aside_for_own_documents_alone(tmp_path: Path) -> None:
    own = tmp_path / "handbook"
    own.mkdir()
    (own / "leave.md").write_text("# Leave\n\nEverybody has thirty days of leave a year.\n")
    knowledge = SqliteKnowledge(tmp_path / "knowledge.db")
    await knowledge.open()
    try:
        await refresh_builtin(knowledge)
        await step_aside(knowledge)
        assert NAME in {source.name for source in await knowledge.sources()}
        await ingest([own], knowledge)
        await step_aside(knowledge)
        assert NAME not in {source.name for source in await knowledge.sources()}
        assert await refresh_builtin(knowledge) is None
    finally:
        await knowledge.close()
