"""Usage as a table for other programs (CSV, RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from fairlead.policy.prices import MICRO
from fairlead.ports.usage import Usage

COLUMNS = (
    "day",
    "consumer",
    "model",
    "requests",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "estimated",
    "money",
    "currency",
)

#: What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: Iterable[Usage]) -> str:
    """The rows with a heading. Names that a spreadsheet would take for formulas have an apostrophe
    before them; money is in its currency."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row, column) for column in COLUMNS])
    return text.getvalue()


def _cell(row: Usage, column: str) -> str:
    if column == "money":
        return f"{row.money / MICRO:.6f}" if row.currency else ""
    text = str(getattr(row, column))
    return f"'{text}" if text.startswith(_FORMULA) else text
