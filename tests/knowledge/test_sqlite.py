"""The embedded knowledge base as a file, shared by threads and processes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.errors import Misconfigured, NotFound, StoreCorrupt, StoreUnavailable
from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.ports.knowledge import Knowledge


async def test_it_is_a_knowledge_base(knowledge: SqliteKnowledge) -> None:
    port: Knowledge = knowledge
    assert await port.retrieve("anything") == []
    with pytest.raises(NotFound):
        await port.passage("none")
    with pytest.raises(NotFound):
        await knowledge.document("none")


async def test_closed_it_says_so(tmp_path: Path) -> None:
    knowledge = SqliteKnowledge(tmp_path / "k.db")
    with pytest.raises(StoreUnavailable):
        await knowledge.retrieve("x")
    await knowledge.open()
    await knowledge.close()
    await knowledge.close()
    with pytest.raises(StoreUnavailable):
        await knowledge.retrieve("x")


async def test_what_was_put_is_there_after_a_restart(tmp_path: Path, folder: Path) -> None:
    for expected in ("added", "unchanged"):
        knowledge = SqliteKnowledge(tmp_path / "k.db")
        await knowledge.open()
        report = await ingest([folder], knowledge)
        assert len(getattr(report, expected)) == 2
        assert len(await knowledge.retrieve("espresso")) == 1
        await knowledge.close()


async def test_no_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    path.write_bytes(b"This is a text, not a database. " * 40)
    with pytest.raises(StoreCorrupt, match=r"k\.db"):
        await SqliteKnowledge(path).open()
    assert path.read_bytes().startswith(b"This is a text")


async def test_a_damaged_file(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "k.db"
    knowledge = SqliteKnowledge(path)
    await knowledge.open()
    await ingest([folder], knowledge)
    await knowledge.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    knowledge = SqliteKnowledge(path)

    async def use() -> None:
        await knowledge.open()
        await knowledge.retrieve("espresso")

    with pytest.raises(StoreCorrupt):
        await use()
    await knowledge.close()


async def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match="another program"):
        await SqliteKnowledge(path).open()
    assert path.read_bytes() == before


async def test_a_newer_version(tmp_path: Path, knowledge: SqliteKnowledge) -> None:
    await knowledge.close()
    newer = apsw.Connection(str(tmp_path / "knowledge.db"))
    newer.pragma("user_version", 99)
    newer.close()
    with pytest.raises(Misconfigured, match="newer version"):
        await knowledge.open()


async def test_no_folder_for_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await SqliteKnowledge(tmp_path / "none" / "k.db").open()


async def test_an_index_of_another_tokenizer_is_made_anew(
    tmp_path: Path, knowledge: SqliteKnowledge, folder: Path
) -> None:
    await ingest([folder], knowledge)
    await knowledge.close()
    older = apsw.Connection(str(tmp_path / "knowledge.db"))
    older.execute("UPDATE index_state SET tokenizer = 0")
    older.close()
    await knowledge.open()
    assert len(await knowledge.retrieve("espresso")) == 1


async def test_questions_are_answered_while_documents_come_in(
    tmp_path: Path, knowledge: SqliteKnowledge, folder: Path
) -> None:
    await ingest([folder], knowledge)
    many = tmp_path / "many"
    many.mkdir()
    for n in range(40):
        (many / f"{n}.md").write_text("\n\n".join(f"## {i}\n\nWords of {n}." for i in range(20)))
    ingestion = asyncio.create_task(ingest([many], knowledge))
    during = 0
    while not ingestion.done():
        found = await knowledge.retrieve("espresso pressure")
        assert [p.title for p in found] == ["coffee"]
        during += 1
    assert len((await ingestion).added) == 40
    assert during > 1


IN_ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.sqlite import SqliteKnowledge

async def main():
    knowledge = SqliteKnowledge(Path(sys.argv[1]))
    await knowledge.open()
    await ingest([Path(sys.argv[2])], knowledge)
    await knowledge.close()

asyncio.run(main())
"""


async def test_another_process_may_add_documents(
    tmp_path: Path, knowledge: SqliteKnowledge, folder: Path
) -> None:
    assert await knowledge.retrieve("espresso") == []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "knowledge.db"), str(folder)
    )
    assert await process.wait() == 0
    assert len(await knowledge.retrieve("espresso")) == 1


async def test_a_source_can_be_removed(knowledge: SqliteKnowledge, folder: Path) -> None:
    await ingest([folder], knowledge)
    await knowledge.remove_source("papers")
    await knowledge.remove_source("papers")
    assert await knowledge.documents() == []
    assert await knowledge.retrieve("espresso") == []


async def test_documents_come_in_pages(knowledge: SqliteKnowledge, folder: Path) -> None:
    await ingest([folder], knowledge)
    (first,) = await knowledge.documents(limit=1)
    (second,) = await knowledge.documents(after=first.address)
    assert (first.address, second.address) == ("papers/deep/coffee.txt", "papers/tea.md")
    assert first.text == ""
    assert (await knowledge.document(first.id)).text.startswith("Espresso")


async def test_limits_of_a_question(knowledge: SqliteKnowledge, folder: Path) -> None:
    await ingest([folder], knowledge)
    assert await knowledge.retrieve("espresso", limit=0) == []
    long = "espresso " + "filler 断线 " * 100_000
    assert len(await knowledge.retrieve(long, limit=1)) <= 1


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(question=st.text() | st.text(alphabet="espro \"*():^-+'NOTAND断线\0\ud800", max_size=40))
async def test_any_text_may_be_asked(knowledge: SqliteKnowledge, question: str) -> None:
    await knowledge.retrieve(question)
