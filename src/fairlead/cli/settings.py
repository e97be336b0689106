"""The flags of the settings, made from their one table, and that table in the help."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperCommand

from fairlead.cli.console import out
from fairlead.server.config import SETTINGS
from fairlead.server.settings import Setting
from fairlead.server.sources import Flag, Sources

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file (TOML). \\[default: $FAIRLEAD_CONFIG, else ./fairlead.toml]",
        show_default=False,
    ),
]


class SettingsCommand(TyperCommand):
    """A command that takes every setting as a flag, and shows them in its help as one table."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        out().print(settings_table())


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command for typer with ``--config`` and a flag for each setting. It is called with the
    :class:`~fairlead.server.config.Config` that results, with its ``sources`` if it has a parameter
    of that name, and with its further parameters."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    wants_sources = any(parameter.annotation is Sources for parameter in own)
    own = [parameter for parameter in own if parameter.annotation is not Sources]

    def run(**flags: Any) -> None:
        file = flags.pop("config_file")
        further = {parameter.name: flags.pop(parameter.name) for parameter in own}
        given: dict[str, Flag] = {
            name: value for name, value in flags.items() if value is not None and value != []
        }
        sources = Sources(given, os.environ, file)
        if wants_sources:
            further["sources"] = sources
        command(sources.load(), **further)

    parameters = [_parameter("config_file", ConfigFile, None)]
    parameters += [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters += [_parameter(s.name, _annotation(s), None) for s in SETTINGS if s.flag]
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def settings_table() -> Table:
    """Every setting: flag and variable, default, meaning. The key in the file is the flag's name
    with underscores."""
    table = Table(
        title="Settings: flags go before variables, those before the file (port = 8000)",
        title_justify="left",
        title_style="bold",
        show_lines=False,
        expand=True,
        padding=(0, 1, 0, 0),
        box=None,
    )
    table.add_column("Flag, and variable", no_wrap=True)
    table.add_column("Default", max_width=16)
    table.add_column("Meaning")
    group = ""
    for setting in SETTINGS:
        if setting.group != group:
            group = setting.group
            table.add_row()
            table.add_row(f"[bold]{group}[/bold]")
        table.add_row(_names(setting), escape(setting.default), _meaning(setting))
    return table


def _names(setting: Setting) -> str:
    flag = setting.flag
    if setting.type is bool:
        flag += f" | --no-{flag[2:]}"
    names = [f"[cyan]{flag}[/cyan]" if flag else "", f"[dim]{setting.env}[/dim]"]
    if not flag and not setting.env:
        names = [f"[cyan]{escape('[[' + setting.name + ']]')}[/cyan] [dim]in the file[/dim]"]
    return "\n".join(name for name in names if name)


def _meaning(setting: Setting) -> str:
    text = setting.help
    unit = setting.extra("unit")
    if unit and unit != "bytes":
        text = f"{text.rstrip('.')}, in {unit}."
    if setting.expects().startswith("one of"):
        text = f"{text} {setting.expects().capitalize()}."
    return escape(text)


def _annotation(setting: Setting) -> Any:
    # Hidden from typer's own list: the table shows them, with the variables.
    flag = setting.flag
    if setting.type is bool:
        return Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", hidden=True)]
    if setting.is_list:
        return Annotated[list[str] | None, typer.Option(flag, hidden=True)]
    return Annotated[str | None, typer.Option(flag, hidden=True)]


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
