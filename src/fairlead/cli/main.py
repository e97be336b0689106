"""The ``fairlead`` command."""

from __future__ import annotations

from typing import Annotated

import typer

import fairlead
from fairlead.cli.ask import ask
from fairlead.cli.config import config
from fairlead.cli.ingest import ingest
from fairlead.cli.keys import app as keys
from fairlead.cli.serve import serve
from fairlead.cli.settings import SettingsCommand
from fairlead.cli.top import top
from fairlead.cli.usage import usage

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    # A traceback with local variables could show secrets.
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fairlead {fairlead.__version__}")
        raise typer.Exit


@app.callback()
def fairlead_command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A streaming server and gateway for LLM applications: an answer is a durable stream, not a
    connection.

    \b
    Examples:
      fairlead serve                       run it, on http://127.0.0.1:8000
      fairlead ask "What is a position?"   ask it: the answer streams in here
      fairlead ingest ./handbook           give it documents to answer from
      fairlead keys create alice           make an API key
      fairlead usage --by consumer         who used how much
      fairlead top                         what runs now
      fairlead config                      every setting, its value and origin
    """


app.command(cls=SettingsCommand)(serve)
app.command()(ask)
app.command()(ingest)
app.command(cls=SettingsCommand)(config)
app.add_typer(keys, name="keys")
app.command()(usage)
app.command()(top)


def main() -> None:
    """The entry point."""
    app()
