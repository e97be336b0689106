"""``fairlead ingest``: take in documents."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from fairlead.cli.console import FAILED, err, out, printable, reports_errors
from fairlead.cli.settings import ConfigFile
from fairlead.server.config import Config
from fairlead.server.sources import load

if TYPE_CHECKING:
    from fairlead.server.ingestion import Report

#: Skipped files that the summary names; the rest is counted.
_NAMED = 50


@reports_errors
def ingest(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Files and folders.", show_default=False)
    ],
    data_dir: Annotated[
        str | None,
        typer.Option(
            help="The server's data folder. \\[default: as for serve]", show_default=False
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Take in documents to answer from: Markdown and text, with all folders below.

    Run it again after changes: what did not change is left alone, what has
    gone from a folder leaves. A server that runs on the same data folder
    answers from the new documents at once.

    \b
    Examples:
      fairlead ingest ./handbook
      fairlead ingest --data-dir /srv/fairlead notes.md faq/
    """
    loaded = load({"data_dir": data_dir} if data_dir else {}, os.environ, config)
    # Only now: it brings SQLite along.
    report = asyncio.run(_with_progress(loaded, paths))
    _summary(report, loaded)
    if report.skipped and not (report.added or report.updated or report.unchanged):
        raise typer.Exit(FAILED)


async def _with_progress(config: Config, paths: list[Path]) -> Report:
    from fairlead.server.ingestion import Progress as Step
    from fairlead.server.ingestion import run_ingest

    console = err()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("Reading", total=None)

        def on_progress(step: Step) -> None:
            bar.update(
                task,
                completed=step.done,
                total=step.total,
                description=printable(step.address).replace("[", r"\[")[-40:],
            )

        return await run_ingest(config, paths, on_progress)


def _summary(report: Report, config: Config) -> None:
    console = out()
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name in ("added", "updated", "unchanged", "removed", "skipped"):
        table.add_row(name, str(len(getattr(report, name))))
    console.print(table)
    if report.skipped:
        console.print(Text("\nSkipped:", "bold"))
        for skipped in report.skipped[:_NAMED]:
            console.print(Text(f"  {printable(skipped.address)}: {printable(skipped.reason)}"))
        if len(report.skipped) > _NAMED:
            console.print(f"  … and {len(report.skipped) - _NAMED} more")
    changed = len(report.added) + len(report.updated) + len(report.removed)
    if changed:
        err().print(
            Text(f"A server that runs on {config.data_dir} answers from this at once.", "dim")
        )
