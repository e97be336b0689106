"""Taking in documents apart from a running server, which sees them at once: both use one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fairlead.errors import Misconfigured
from fairlead.knowledge.builtin import step_aside
from fairlead.knowledge.ingest import Progress, Report, ingest
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.server.config import Config

__all__ = ["Progress", "Report", "run_ingest"]


async def run_ingest(
    config: Config,
    paths: Sequence[Path],
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Bring the knowledge base of ``config`` in step with files and folders; see
    :func:`fairlead.knowledge.ingest.ingest`. The built-in documentation gives way to the first own
    documents.

    Raises :class:`~fairlead.errors.Misconfigured` when the data folder cannot be used, and what
    opening the knowledge base raises.
    """
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"cannot use the data folder {config.data_dir}: {error.strerror}. "
            "Choose another one with --data-dir.",
            setting="data_dir",
        ) from None
    knowledge = SqliteKnowledge(config.data_dir / "knowledge.db")
    await knowledge.open()
    try:
        report = await ingest(paths, knowledge, on_progress=on_progress)
        await step_aside(knowledge)
        return report
    finally:
        await knowledge.close()
