"""Fairlead's own documentation, so that a fresh server has something to answer from."""

from __future__ import annotations

from pathlib import Path

from fairlead.knowledge.ingest import Report, ingest_files
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.knowledge.walk import walk

#: The root of the source that holds it, wherever the files lie; its documents' addresses begin
#: with ``fairlead/``.
ROOT = "builtin:fairlead"
NAME = "fairlead"

_PACKED = Path(__file__).parent.parent / "_docs"
_CHECKOUT = Path(__file__).parents[3]
_FILES = ("README.md", "README.zh-CN.md", "PROTOCOL.md")


def builtin_documents() -> list[tuple[Path, str]]:
    """The documentation's files, each with its path in the source: from the installed package or,
    in a checkout, from the repository. Empty if the package was built without it."""
    base = _PACKED if _PACKED.is_dir() else _CHECKOUT
    if base is _CHECKOUT and not (base / "pyproject.toml").is_file():
        return []
    files = [base / name for name in _FILES if (base / name).is_file()]
    files += [file for file, reason in walk(base / "docs") if not reason and file.suffix == ".md"]
    return [(file, file.relative_to(base).as_posix()) for file in files]


async def refresh_builtin(knowledge: SqliteKnowledge) -> Report | None:
    """Take in the documentation if the knowledge base has no documents, or bring it up to date if
    it is there already; otherwise (the operator has documents and removed ours) do nothing.

    Meant for the server's start: unchanged files cost only their reading.
    """
    sources = await knowledge.sources()
    if any(source.documents for source in sources) and all(s.root != ROOT for s in sources):
        return None
    return await ingest_files(builtin_documents(), knowledge, root=ROOT, name=NAME)


async def step_aside(knowledge: SqliteKnowledge) -> None:
    """Remove the documentation once there are documents of the operator's own: whoever asks them
    does not ask about Fairlead."""
    sources = await knowledge.sources()
    own = any(source.documents for source in sources if source.root != ROOT)
    if own and any(source.root == ROOT for source in sources):
        await knowledge.remove_source(NAME)
