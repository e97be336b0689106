"""``fairlead usage``: who used how much of which model."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from fairlead.cli.console import err, out, printable, reports_errors
from fairlead.cli.keys import DataDir
from fairlead.cli.settings import ConfigFile
from fairlead.errors import BadRequest, NotFound
from fairlead.policy.prices import MICRO
from fairlead.ports.usage import By, Usage, grouped
from fairlead.server.sources import load

#: Days that are shown unless told.
_DAYS = 31


class _By(StrEnum):
    DAY = "day"
    CONSUMER = "consumer"
    MODEL = "model"
    ROW = "row"


@reports_errors
def usage(
    since: Annotated[str, typer.Option(metavar="DAY", help="First day, such as 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(metavar="DAY", help="Last day; today unless given.")] = "",
    by: Annotated[_By, typer.Option(help="What to add up; row: nothing.")] = _By.ROW,
    consumer: Annotated[
        str | None, typer.Option(help="Only this consumer's.", show_default=False)
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="FAIRLEAD_SERVER",
            metavar="URL",
            help="Ask this server, with the key in FAIRLEAD_API_KEY; else the data folder.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Show who used how many tokens of which model, day by day (UTC).

    \b
    Examples:
      fairlead usage                               the last 31 days
      fairlead usage --by consumer --since 2026-11-01
      fairlead usage --csv > usage.csv
      fairlead usage --server https://ai.example   with an admin key
    """
    if as_csv and as_json:
        raise BadRequest("give either --csv or --json, not both")
    last = _day(until, "--until") if until else datetime.now(UTC).date()
    first = _day(since, "--since") if since else last - timedelta(days=_DAYS - 1)
    if first > last:
        raise BadRequest("--since must not be after --until")
    span = first.isoformat(), last.isoformat()
    if server:
        rows = asyncio.run(_ask(server, consumer, *span))
    else:
        rows = asyncio.run(_read(data_dir, config, consumer, *span))
    if by is not _By.ROW:
        rows = grouped(rows, _BY[by])
    if as_csv:
        from fairlead.server.exports import as_csv as table

        typer.echo(table(rows), nl=False)
    elif as_json:
        typer.echo(
            msgspec.json.format(msgspec.json.encode([_plain(row) for row in rows]), indent=2)
        )
    else:
        _show(rows, by)


_BY: dict[_By, By] = {_By.DAY: "day", _By.CONSUMER: "consumer", _By.MODEL: "model"}


def _show(rows: list[Usage], by: _By) -> None:
    if not rows:
        err().print(Text("Nothing was used in these days.", "dim"))
        return
    names = ["day", "consumer", "model"] if by is _By.ROW else [by.value]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name.capitalize(), overflow="fold")
    for heading in ("Requests", "Input", "Output", "Cached", "Cost"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*[Text(printable(getattr(row, name))) for name in names], *_counts(row))
    if len(rows) > 1:
        total = [""] * len(names)
        total[0] = "All"
        by_currency = grouped([msgspec.structs.replace(row, day="") for row in rows], "day")
        for row in by_currency:
            table.add_row(*total, *_counts(row), style="bold")
    out().print(table)


def _counts(row: Usage) -> list[str]:
    cost = f"{row.money / MICRO:,.4f} {row.currency}" if row.currency else ""
    counts = (row.requests, row.input_tokens, row.output_tokens, row.cached_tokens)
    return [*(f"{count:,}" for count in counts), cost]


def _plain(row: Usage) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(row)
    del made["money"], made["currency"]
    if row.currency:
        made |= {"money": row.money / MICRO, "currency": row.currency}
    return made


async def _ask(server: str, consumer: str | None, since: str, until: str) -> list[Usage]:
    from fairlead.cli.remote import Remote, locked

    query = {"since": since, "until": until}
    if consumer is not None:
        query["consumer"] = consumer
    async with Remote(server, os.environ.get("FAIRLEAD_API_KEY", "").strip()) as remote:
        try:
            found = await remote.get("usage", **query)
        except NotFound as error:
            raise locked(error, remote.url) from None
    for row in found["usage"]:
        row["money"] = round(row.get("money", 0) * MICRO)
    return msgspec.convert(found["usage"], list[Usage])


async def _read(
    data_dir: str | None, config: Path | None, consumer: str | None, since: str, until: str
) -> list[Usage]:
    # Only now: it brings SQLite along.
    from fairlead.server.ledger import stored_usage

    loaded = load({"data_dir": data_dir} if data_dir else {}, os.environ, config)
    async with stored_usage(loaded) as ledger:
        return await ledger.read(consumer, since, until)


def _day(text: str, option: str) -> date:
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{option} must be a day such as 2026-11-20") from None
