"""The same bars as a picture (SVG), which takes the page's colours: light or dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from bench.table import Table

_WIDTH, _LEFT, _ROW, _PANEL = 760, 230, 24, 54
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1e293b}.bold{font-weight:600}"
    ".small{fill:#64748b;font-size:12px}.end{text-anchor:end}"
    ".page{fill:#fff}.ours{fill:#0e7490}.others{fill:#94a3b8}"
    "@media(prefers-color-scheme:dark){text{fill:#e2e8f0}.small{fill:#94a3b8}"
    ".page{fill:#0f172a}.ours{fill:#22d3ee}.others{fill:#64748b}}"
)


class _Panel(NamedTuple):
    """Bars of one unit: what each stands for, and how long it is."""

    unit: str
    bars: list[tuple[str, float]]


def svg(tables: Sequence[Table], about: str) -> str:
    """One picture of all workloads; ``about`` says where and when they were measured."""
    parts: list[str] = []
    y = 34
    for table in tables:
        panels = list(_panels(table))
        if panels:
            parts.append(_text(16, y, f"{table.name}: {table.work}", "bold"))
            y += 18
        for panel in panels:
            parts.append(_text(16, y, panel.unit, "small"))
            y += 10
            longest = max(value for _, value in panel.bars) or 1.0
            for name, value in panel.bars:
                length = max(1.0, value / longest * (_WIDTH - _LEFT - 80))
                kind = "ours" if _ours(name, table) else "others"
                parts.append(_text(_LEFT - 10, y + 13, name, "end"))
                parts.append(
                    f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="16" class="{kind}"/>'
                )
                parts.append(_text(_LEFT + length + 6, y + 13, _figure(value), "small"))
                y += _ROW
            y += _PANEL - _ROW
    parts.append(_text(16, y, about, "small"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 16}" '
        f'width="{_WIDTH}" height="{y + 16}" role="img"><title>{escape(about)}</title>'
        f'<style>{_STYLE}</style><rect width="100%" height="100%" class="page"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _panels(table: Table) -> Iterator[_Panel]:
    bars = [(row.server, row.value) for row in table.rows if row.value is not None]
    if bars:
        yield _Panel(table.unit, bars)
    for column in table.pictured:
        at = table.columns.index(column)
        cells = [(row.server, _number(row.cells[at])) for row in table.rows]
        bars = [(name, value) for name, value in cells if value is not None]
        if bars:
            yield _Panel(column, bars)


def _ours(name: str, table: Table) -> bool:
    """Whether it is Fairlead's; where all of them are, none stands out from the others."""
    return name.startswith("fairlead") or not any(
        row.server.startswith("fairlead") for row in table.rows
    )


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", ""))
    except ValueError:
        return None


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" class="{kind}">{escape(text)}</text>'
