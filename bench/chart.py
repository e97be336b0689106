"""The same bars as a picture (SVG)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.table import Table

_WIDTH, _LEFT, _ROW, _HEAD = 760, 230, 24, 52
_OURS, _OTHERS = "#0e7490", "#94a3b8"


def svg(tables: Sequence[Table], about: str) -> str:
    """One picture of all workloads; ``about`` says where and when they were measured."""
    parts: list[str] = []
    y = 34
    for table in tables:
        rows = [(row.server, row.value) for row in table.rows if row.value is not None]
        if not rows:
            continue
        parts.append(_text(16, y, f"{table.name}: {table.work}", "bold"))
        parts.append(_text(16, y + 18, table.unit, "small"))
        y += _HEAD - 16
        longest = max(value for _, value in rows) or 1.0
        for name, value in rows:
            length = max(1.0, value / longest * (_WIDTH - _LEFT - 70))
            color = _OURS if name.startswith("fairlead") else _OTHERS
            parts.append(_text(_LEFT - 10, y + 13, name, "end"))
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="16" fill="{color}"/>'
            )
            parts.append(_text(_LEFT + length + 6, y + 13, f"{value:.1f}", "small"))
            y += _ROW
        y += 30
    parts.append(_text(16, y, about, "small"))
    style = (
        "text{font:13px system-ui,sans-serif;fill:#1e293b}.bold{font-weight:600}"
        ".small{fill:#64748b;font-size:12px}.end{text-anchor:end}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 16}" '
        f'width="{_WIDTH}" height="{y + 16}" role="img"><title>{escape(about)}</title>'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" class="{kind}">{escape(text)}</text>'
