"""``fairlead config``: the settings in force."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from fairlead.cli.console import err, out, printable, reports_errors
from fairlead.cli.keys import any_key
from fairlead.cli.settings import takes_settings
from fairlead.errors import Misconfigured
from fairlead.server.config import Config


@reports_errors
@takes_settings
def config(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting: its value in force and where that came from. Secrets are masked.

    \b
    Examples:
      fairlead config
      fairlead config --config staging.toml --json
    """
    rows = config.effective()
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
    else:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("Setting", "Value", "From"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            style = "dim" if row.origin == "default" else ""
            table.add_row(row.name, Text(printable(row.value)), row.origin, style=style)
        out().print(table)
    try:
        config.check_serving(stored_keys=any_key(config))
    except Misconfigured as error:
        err().print(Text(f"serve would refuse this: {error.message}", "yellow"))
