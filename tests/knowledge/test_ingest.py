"""Keeping in step with files and folders."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from fairlead.knowledge.ingest import Progress, Report, ingest
from fairlead.knowledge.sqlite import SqliteKnowledge

COFFEE, TEA = "papers/deep/coffee.txt", "papers/tea.md"


def counts(report: Report) -> tuple[int, int, int, int, int]:
    return (
        len(report.added),
        len(report.updated),
        len(report.unchanged),
        len(report.removed),
        len(report.skipped),
    )


def reasons(report: Report) -> dict[str, str]:
    return {skipped.address: skipped.reason for skipped in report.skipped}


async def test_only_what_changed_is_read_again(knowledge: SqliteKnowledge, folder: Path) -> None:
    seen: list[Progress] = []
    report = await ingest([folder], knowledge, on_progress=seen.append)
    assert report.added == [COFFEE, TEA] or report.added == [TEA, COFFEE]
    assert report.passages == 2
    assert [(p.done, p.total, p.outcome) for p in seen] == [(1, 2, "added"), (2, 2, "added")]

    assert counts(await ingest([folder], knowledge)) == (0, 0, 2, 0, 0)

    (folder / "tea.md").write_text("# Tea\n\nBlack tea is brewed with boiling water.\n")
    (folder / "new.md").write_text("Cocoa is made with milk.\n")
    (folder / "deep" / "coffee.txt").unlink()
    report = await ingest([folder], knowledge)
    assert (report.added, report.updated, report.removed) == (["papers/new.md"], [TEA], [COFFEE])
    assert await knowledge.retrieve("espresso") == []
    assert await knowledge.retrieve("green tea at eighty degrees") == []
    assert [p.address for p in await knowledge.retrieve("boiling black tea")] == [TEA]


async def test_ids_stay_with_addresses_and_texts(knowledge: SqliteKnowledge, folder: Path) -> None:
    (folder / "tea.md").write_text("## Green\n\nAt eighty degrees.\n\n## Black\n\nBoiling.\n")
    await ingest([folder], knowledge)
    (green,) = await knowledge.retrieve("eighty")
    (black,) = await knowledge.retrieve("boiling")
    (folder / "tea.md").write_text("## Green\n\nAt seventy degrees.\n\n## Black\n\nBoiling.\n")
    await ingest([folder], knowledge)
    assert (await knowledge.retrieve("boiling"))[0].id == black.id
    (changed,) = await knowledge.retrieve("seventy")
    assert changed.document == green.document
    assert changed.id != green.id


async def test_part_of_a_known_folder_and_single_files(
    knowledge: SqliteKnowledge, folder: Path
) -> None:
    assert (await ingest([folder / "tea.md"], knowledge)).added == ["tea.md"]
    report = await ingest([folder], knowledge)
    assert sorted(report.added) == [COFFEE, TEA]
    # The file belongs to the folder now, and is there once.
    assert [d.address for d in await knowledge.documents()] == [COFFEE, TEA]
    assert [s.name for s in await knowledge.sources()] == ["papers"]

    (folder / "tea.md").unlink()
    (folder / "deep" / "more.txt").write_text("Ristretto is shorter.")
    report = await ingest([folder / "deep"], knowledge)
    assert report.added == ["papers/deep/more.txt"]
    assert counts(report) == (1, 0, 1, 0, 0)  # the missing tea lies elsewhere
    assert (await ingest([folder / "tea.md"], knowledge)).removed == [TEA]


async def test_folders_of_the_same_name(knowledge: SqliteKnowledge, tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "docs").mkdir(parents=True)
        (tmp_path / parent / "docs" / "x.md").write_text(f"Text of {parent}.")
    report = await ingest([tmp_path / "a" / "docs", tmp_path / "b" / "docs"], knowledge)
    assert report.added == ["docs/x.md", "docs-2/x.md"]


async def test_a_missing_path_costs_nothing(knowledge: SqliteKnowledge, folder: Path) -> None:
    await ingest([folder], knowledge)
    shutil.move(folder, folder.with_name("elsewhere"))
    report = await ingest([folder, folder.parent / "typo"], knowledge)
    assert set(reasons(report).values()) == {"no such file or folder"}
    assert counts(report) == (0, 0, 0, 0, 2)
    assert len(await knowledge.documents()) == 2


async def test_unsuitable_files_are_named_with_their_reason(
    knowledge: SqliteKnowledge, folder: Path
) -> None:
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "Makefile").write_text("all:")
    (folder / "empty.md").write_text(" \n\n")
    (folder / "binary.txt").write_bytes(b"abc\0def")
    (folder / "latin.txt").write_bytes("Müller trägt Öl über die Brücke.".encode("latin-1"))
    (folder / "large.txt").write_text("x" * 2000)
    (folder.parent / "outside.md").write_text("Secret.")
    (folder / "link.md").symlink_to(folder.parent / "outside.md")
    (folder / "inner.md").symlink_to(folder / "tea.md")
    (folder / "dead.md").symlink_to(folder / "nothing")
    (folder / "linked").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe.txt")
    (folder / ".git").mkdir()
    (folder / ".git" / "notes.md").write_text("Hidden.")
    report = await ingest([folder], knowledge, max_bytes=1000)
    assert len(report.added) == 2
    assert reasons(report) == {
        "papers/picture.png": "unknown type .png",
        "papers/Makefile": "no known type",
        "papers/empty.md": "empty",
        "papers/binary.txt": "binary",
        "papers/latin.txt": (
            "its encoding is none of UTF-8, UTF-16 with a byte order mark, GB 18030"
        ),
        "papers/large.txt": "larger than 1,000 bytes",
        "papers/link.md": "a symbolic link out of the folder",
        "papers/inner.md": "a symbolic link",
        "papers/dead.md": "a symbolic link that leads nowhere",
        "papers/linked": "a symbolic link out of the folder",
        "papers/pipe.txt": "not a regular file",
    }


async def test_a_document_that_is_no_text_any_more_leaves(
    knowledge: SqliteKnowledge, folder: Path
) -> None:
    await ingest([folder], knowledge)
    (folder / "tea.md").write_bytes(b"\0\0")
    report = await ingest([folder], knowledge)
    assert (report.removed, reasons(report)) == ([TEA], {TEA: "binary"})


async def test_a_name_that_is_no_text_is_skipped(knowledge: SqliteKnowledge, folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.md")).write_text("Text.")
    report = await ingest([folder], knowledge)
    assert reasons(report) == {"papers/\\udcff.md": "its name is not UTF-8"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
async def test_encodings(knowledge: SqliteKnowledge, folder: Path, encoding: str) -> None:
    text = "# 断线重连\r\n\r\n客户端带上最后的位置，服务器从断点继续。\r\n"
    (folder / "zh.md").write_bytes(text.encode(encoding))
    await ingest([folder], knowledge)
    (found,) = await knowledge.retrieve("断点")
    assert found.title == "断线重连"
    assert found.text == "客户端带上最后的位置，服务器从断点继续。"


async def test_an_interrupted_ingestion_is_gone_on_with(
    knowledge: SqliteKnowledge, folder: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(_: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        await ingest([folder], knowledge, on_progress=stop)
    assert len(await knowledge.documents()) == 1
    assert counts(await ingest([folder], knowledge)) == (1, 0, 1, 0, 0)


KILLED_WITHIN_A_DOCUMENT = """
import asyncio, os, signal, sys
from pathlib import Path
from fairlead.knowledge import tokenizer
from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.sqlite import SqliteKnowledge

calls = 0
index_terms = tokenizer.index_terms

def dying(utf8):
    global calls
    calls += 1
    if calls == 100:
        os.kill(os.getpid(), signal.SIGKILL)
    return index_terms(utf8)

tokenizer.index_terms = dying

async def main():
    knowledge = SqliteKnowledge(Path(sys.argv[1]))
    await knowledge.open()
    await ingest([Path(sys.argv[2])], knowledge)

asyncio.run(main())
"""


async def test_a_crash_leaves_whole_documents(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(20):
        sections = [f"## Part {part}\n\nNumber {n} is mentioned here." for part in range(5)]
        (folder / f"{n:02}.md").write_text("\n\n".join(sections))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_WITHIN_A_DOCUMENT, str(tmp_path / "k.db"), str(folder)
    )
    assert await process.wait() == -signal.SIGKILL

    knowledge = SqliteKnowledge(tmp_path / "k.db")
    await knowledge.open()
    try:
        before = await knowledge.documents()
        assert 0 < len(before) < 20
        found = await knowledge.retrieve("number mentioned", limit=40)
        assert {p.document for p in found} <= {d.id for d in before}
        assert all(document.passages == 5 for document in before)
        report = await ingest([folder], knowledge)
        assert len(report.unchanged) == len(before)
        assert len(report.added) == 20 - len(before)
    finally:
        await knowledge.close()
