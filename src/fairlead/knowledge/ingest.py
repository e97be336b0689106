"""Keep the knowledge base in step with files and folders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from fairlead.knowledge.documents import Draft, Source
from fairlead.knowledge.reading import MAX_BYTES, Unsuitable, draft, read
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.knowledge.walk import walk

Outcome = Literal["added", "updated", "unchanged", "removed", "skipped"]


class Progress(msgspec.Struct, frozen=True):
    """What became of one file; ``done`` of ``total`` files of this call are finished. Removed
    documents are not among the files counted."""

    done: int
    total: int
    address: str
    outcome: Outcome
    reason: str = ""


class Skipped(msgspec.Struct, frozen=True):
    """A file that was not taken in, and why, for people."""

    address: str
    reason: str


class Report(msgspec.Struct, kw_only=True):
    """What an ingestion did, by address (skipped files that are outside: by path)."""

    added: list[str] = []
    updated: list[str] = []
    unchanged: list[str] = []
    removed: list[str] = []
    skipped: list[Skipped] = []
    passages: int = 0
    """How many passages the added and updated documents have."""


async def ingest(
    paths: Iterable[Path],
    knowledge: SqliteKnowledge,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Report:
    """Take in files and folders (with all below them).

    Markdown (``.md``, ``.markdown``) and text (``.txt``, ``.rst``) is read. A document whose file
    did not change is left alone; one whose file has gone from the folder, or is no text any more,
    leaves. A file that cannot be read now keeps its document. Each document is one transaction:
    whoever interrupts this finds whole documents and may call again. A path that does not exist is
    reported as skipped, and nothing is removed for it unless it lies in a folder known before.
    """
    run = _Run(knowledge, on_progress, max_bytes)
    for path in paths:
        await run.path(path)
    return run.report


async def ingest_files(
    files: Iterable[tuple[Path, str]],
    knowledge: SqliteKnowledge,
    *,
    root: str,
    name: str,
    on_progress: Callable[[Progress], None] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Report:
    """Make the source ``root`` consist of exactly these files, each with its path in the source."""
    run = _Run(knowledge, on_progress, max_bytes)
    await run.source(await knowledge.source(root, name), [(f, p, "") for f, p in files], "")
    return run.report


class _Run:
    def __init__(
        self,
        knowledge: SqliteKnowledge,
        on_progress: Callable[[Progress], None] | None,
        max_bytes: int,
    ) -> None:
        self.report = Report()
        self._knowledge = knowledge
        self._on_progress = on_progress
        self._max_bytes = max_bytes
        self._done = self._total = 0

    async def path(self, path: Path) -> None:
        path = await asyncio.to_thread(path.resolve)
        known = await self._knowledge.sources()
        owner = next((s for s in known if s.root != "" and _holds(s, path)), None)
        exists, is_folder = await asyncio.to_thread(lambda: (path.exists(), path.is_dir()))
        if not exists and (owner is None or owner.root == str(path)):
            self._total += 1
            self._note(str(path), "skipped", "no such file or folder")
            return
        if owner is None:
            owner = await self._knowledge.source(str(path), path.name or "files")
        root = Path(owner.root)
        within = "" if path == root else path.relative_to(root).as_posix()
        files = await asyncio.to_thread(_listed, path, root, is_folder, exists)
        await self.source(owner, files, within)
        for source in known:
            # Its files belong to the larger folder now.
            if source.id != owner.id and Path(source.root).is_relative_to(path):
                await self._knowledge.remove_source(source.name)

    async def source(self, source: Source, files: list[tuple[Path, str, str]], within: str) -> None:
        """Bring the part of a source below the path ``within`` in step with ``files``: each a
        file, its path in the source, and why it is not to be read (empty: it is)."""
        self._total += len(files)
        digests = await self._knowledge.digests(source)
        for file, path, reason in files:
            await self._file(source, file, path, reason, digests)
        seen = {path for _, path, _ in files}
        for path in sorted(digests.keys() - seen):
            if path == within or not within or path.startswith(within + "/"):
                await self._leave(source, path)

    async def _file(
        self, source: Source, file: Path, path: str, reason: str, digests: dict[str, str]
    ) -> None:
        address = f"{source.name}/{path}" if path else source.name
        known = digests.get(path)
        try:
            if reason:
                raise Unsuitable(reason)
            made = await asyncio.to_thread(_draft, file, path, known, self._max_bytes)
        except Unsuitable as error:
            self._note(address, "skipped", error.reason)
            if known is not None and not error.passing:
                await self._leave(source, path)
            return
        if made is None:
            self._note(address, "unchanged")
            return
        document = await self._knowledge.put(source, made)
        self.report.passages += document.passages
        self._note(address, "added" if known is None else "updated")

    async def _leave(self, source: Source, path: str) -> None:
        await self._knowledge.remove(source, path)
        self._note(f"{source.name}/{path}" if path else source.name, "removed")

    def _note(self, address: str, outcome: Outcome, reason: str = "") -> None:
        # A name that is no text must still be printable.
        address = address.encode(errors="backslashreplace").decode()
        if outcome == "skipped":
            self.report.skipped.append(Skipped(address, reason))
        else:
            getattr(self.report, outcome).append(address)
        if outcome != "removed":
            self._done += 1
        if self._on_progress is not None:
            self._on_progress(Progress(self._done, self._total, address, outcome, reason))


def _holds(source: Source, path: Path) -> bool:
    return not source.root.startswith("builtin:") and path.is_relative_to(source.root)


def _listed(path: Path, root: Path, is_folder: bool, exists: bool) -> list[tuple[Path, str, str]]:
    if not exists:
        return []
    if is_folder:
        return [(f, f.relative_to(root).as_posix(), reason) for f, reason in walk(path)]
    return [(path, "" if path == root else path.relative_to(root).as_posix(), "")]


def _draft(file: Path, path: str, known: str | None, max_bytes: int) -> Draft | None:
    """What to put, or None if the document is the same as before."""
    data, digest = read(file, path, max_bytes)
    return None if digest == known else draft(data, digest, path, file)
