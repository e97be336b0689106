"""The tables in a document: each between two comments that name its workload, so that one command
brings them up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.chart import svg
from bench.table import Table

_END = "<!-- end -->"


def put(document: Path, tables: Sequence[Table], about: str, command: str) -> list[str]:
    """Write each table to its place in the document, and its chart beside it, to ``charts/``.
    ``command`` is what measured them. The names of those that found no place."""
    text = document.read_text(encoding="utf-8")
    charts = document.parent / "charts"
    homeless: list[str] = []
    for table in tables:
        begin = f"<!-- bench: {table.name} -->\n"
        before, found, rest = text.partition(begin)
        if not found:
            homeless.append(table.name)
            continue
        after = rest[rest.index(_END) :]
        text = f"{before}{begin}{render(table)}\n*{about}; `{command}`*\n{after}"
        charts.mkdir(exist_ok=True)
        (charts / f"{table.name}.svg").write_text(svg([table], about), encoding="utf-8")
    document.write_text(text, encoding="utf-8")
    return homeless


def render(table: Table) -> str:
    """A table as Markdown, with what was held against a bar and missed it, and what is missing."""
    lines = [
        f"{table.work[:1].upper()}{table.work[1:]}:",
        "",
        _line(["", *table.columns]),
        _line(["---", *["--:"] * len(table.columns)]),
        *(_line([row.server, *row.cells]) for row in table.rows),
        "",
    ]
    for check in table.checks:
        if not check.met:
            lines += [f"Missed: {check.bar} ({check.found}).", ""]
    for missing in table.missing:
        lines += [f"Not measured: {missing}.", ""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
