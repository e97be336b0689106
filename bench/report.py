"""The tables on the terminal: figures, bars, verdicts."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.table import Table

_WIDTH = 40


def show(table: Table, console: Console) -> None:
    """Print one workload's outcome."""
    console.print()
    console.print(Text(f"{table.name}: {table.work}", "bold"))
    grid = RichTable(box=None, pad_edge=False, header_style="dim")
    grid.add_column("server", no_wrap=True)
    for column in table.columns:
        grid.add_column(column, justify="right")
    for row in table.rows:
        grid.add_row(row.server, *row.cells)
    console.print(grid)
    _bars(table, console)
    for check in table.checks:
        verdict = Text("met   ", "green") if check.met else Text("MISSED", "bold red")
        console.print(Text.assemble("  ", verdict, f"  {check.bar}: {check.found}"))
    for line in table.missing:
        console.print(Text(f"  NOT MEASURED  {line}", "bold yellow"))


def _bars(table: Table, console: Console) -> None:
    values = [row.value for row in table.rows if row.value is not None]
    if not values:
        return
    longest = max(values) or 1.0
    name = max(len(row.server) for row in table.rows)
    console.print(Text(f"  {table.unit}", "dim"))
    for row in table.rows:
        if row.value is not None:
            bar = "█" * max(1, round(row.value / longest * _WIDTH))
            style = "cyan" if row.server.startswith("fairlead") else "dim"
            line = Text.assemble(f"  {row.server:<{name}} ", (bar, style), f" {row.value:.1f}")
            console.print(line)
