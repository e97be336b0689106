"""``fairlead ingest``, and a running server that sees the documents at once."""

from __future__ import annotations

from pathlib import Path

from tests.cli.command import run
from tests.support.server import ServerProcess


def counted(out: str) -> dict[str, int]:
    """The rows of the summary that are not 0."""
    rows = (line.split() for line in out.splitlines())
    return {
        row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit() and row[1] != "0"
    }


async def test_the_summary_counts_and_says_why_files_were_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# Anchors\n\nAn anchor holds the ship.")
    (folder / "b.txt").write_text("Ropes run through fairleads.")
    (folder / "c.png").write_bytes(b"\x89PNG")
    ingest = ["ingest", "--data-dir", str(tmp_path / "data")]
    first = await run(*ingest, str(folder))
    assert first.status == 0
    assert counted(first.out) == {"added": 2, "skipped": 1}
    assert "docs/c.png: unknown type .png" in first.out
    assert str(tmp_path / "data") in first.err

    (folder / "a.md").write_text("# Anchors\n\nTwo anchors hold it better.")
    (folder / "b.txt").unlink()
    second = await run(*ingest, str(folder))
    assert counted(second.out) == {"updated": 1, "removed": 1, "skipped": 1}

    third = await run(*ingest, str(folder))
    assert counted(third.out)["unchanged"] == 1
    assert third.err == ""


async def test_nothing_taken_in_is_a_failure(tmp_path: Path) -> None:
    result = await run("ingest", "--data-dir", str(tmp_path / "data"), str(tmp_path / "none"))
    assert result.status == 1
    assert "no such file or folder" in result.out


async def test_a_data_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = await run("ingest", "--data-dir", str(tmp_path / "file" / "data"), str(tmp_path))
    assert result.status == 2
    assert "--data-dir" in result.err
    assert "Traceback" not in result.err


async def test_a_running_server_answers_from_it_at_once(tmp_path: Path) -> None:
    document = tmp_path / "harbour.md"
    document.write_text("# Harbour\n\nThe harbour master of Zanzibar is called Wendeline.")
    async with ServerProcess(tmp_path / "data", "--extractive-pace", "0") as server:
        question = "Who is the harbour master of Zanzibar?"
        before = await run("ask", "--server", server.url, question)
        assert "Wendeline" not in before.out
        await run("ingest", "--data-dir", str(tmp_path / "data"), str(document))
        after = await run("ask", "--server", server.url, question)
    assert "Wendeline" in after.out
    assert "harbour.md" in after.err
