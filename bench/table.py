"""What a workload found out: a table, a chart, and the bars it was held against."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One server's figures, in the order of the columns; ``value`` is what the chart shows of
    them."""

    server: str
    cells: list[str]
    value: float | None = None


class Check(msgspec.Struct, frozen=True):
    """One bar: what was asked, what was found, whether that is enough."""

    bar: str
    found: str
    met: bool


class Table(msgspec.Struct, frozen=True):
    """The outcome of one workload. ``unit`` is that of the chart; ``missing`` says what could not
    be measured, and why; ``pictured`` names columns that the chart shows as well."""

    name: str
    work: str
    columns: list[str]
    rows: list[Row]
    unit: str
    checks: list[Check] = []
    missing: list[str] = []
    pictured: list[str] = []


def ratio(value: float, base: float | None) -> str:
    """How often ``base`` goes into ``value``; a dash where there is nothing to compare with."""
    return f"{value / base:.2f}" if base else "–"


def optional(value: float | None, digits: int) -> str:
    """A figure that may not be there."""
    return "–" if value is None else f"{value:.{digits}f}"
