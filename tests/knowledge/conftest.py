"""A knowledge base for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.knowledge.sqlite import SqliteKnowledge


@pytest.fixture
async def knowledge(tmp_path: Path) -> AsyncIterator[SqliteKnowledge]:
    knowledge = SqliteKnowledge(tmp_path / "knowledge.db")
    await knowledge.open()
    yield knowledge
    await knowledge.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to ingest, with two documents."""
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / "tea.md").write_text("# Tea\n\nGreen tea is brewed at eighty degrees.\n")
    (folder / "deep" / "coffee.txt").write_text("Espresso takes nine bars of pressure.\n")
    return folder
