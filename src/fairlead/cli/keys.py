"""``fairlead keys``: API keys, made and taken back while the server runs."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from fairlead.cli.console import err, out, printable, reports_errors
from fairlead.cli.settings import ConfigFile
from fairlead.errors import BadRequest
from fairlead.policy.caller import ALL_SCOPES
from fairlead.server.config import Config
from fairlead.server.sources import load

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.ports.keys import Keys, StoredKey
    from fairlead.server.changes import KeyChanges

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help="API keys: make, list, rotate and revoke them. A running server heeds it at once.",
)

DataDir = Annotated[
    str | None,
    typer.Option(help="The server's data folder. \\[default: as for serve]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_DURATION = re.compile(r"(\d{1,6})\s*([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command()
@reports_errors
def create(
    consumer: Annotated[str, typer.Argument(help="Whose key it is.", show_default=False)],
    name: Annotated[str, typer.Option(help="What it is for, for people.")] = "",
    scopes: Annotated[str, typer.Option(help="Of ask, read, admin.")] = "ask,read",
    quota: Annotated[
        list[str] | None, typer.Option(help="A budget it draws on; several times.")
    ] = None,
    expires: Annotated[str, typer.Option(help="How long it is good, such as 90d or 12h.")] = "",
    as_json: Json = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept.

    \b
    Examples:
      fairlead keys create alice
      fairlead keys create dashboard --scopes read --expires 90d
    """
    given = frozenset(filter(None, map(str.strip, scopes.split(",")))) if scopes else ALL_SCOPES
    life = seconds(expires) if expires else None

    def make(keys: KeyChanges) -> Awaitable[tuple[StoredKey, str]]:
        return keys.create(consumer, name=name, scopes=given, quotas=(*(quota or ()),), life=life)

    _show_new(*_change(_load(data_dir, config), make), as_json)


@app.command(name="list")
@reports_errors
def list_keys(
    consumer: Annotated[
        str | None, typer.Option(help="Only this consumer's.", show_default=False)
    ] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """List the keys, newest first: whose they are, and their state. Never a key itself."""

    async def every(keys: Keys) -> list[StoredKey]:
        found: list[StoredKey] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await keys.page(consumer, cursor or None, 500)
            found += page.items
            cursor = page.cursor
        return found

    keys = _with_keys(_load(data_dir, config), every)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(keys, order="deterministic"), indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Id", "Consumer", "Name", "Scopes", "Quotas", "State", "Last used"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        table.add_row(
            key.id,
            Text(printable(key.consumer)),
            Text(printable(key.name)),
            "+".join(sorted(key.scopes)),
            Text(printable(", ".join(key.quotas))),
            _state(key, time.time()),
            _day(key.last_used),
            style="" if key.alive(time.time()) else "dim",
        )
    out().print(table)


@app.command()
@reports_errors
def rotate(
    id: Annotated[str, typer.Argument(help="The key's id.", show_default=False)],
    overlap: Annotated[str, typer.Option(help="How long the old one stays good.")] = "24h",
    as_json: Json = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Make a new key in the place of one, and print it. The old one ends after the overlap.

    \b
    Examples:
      fairlead keys rotate 3v1m0c8x2k
      fairlead keys rotate 3v1m0c8x2k --overlap 0s
    """
    length = seconds(overlap)
    made = _change(_load(data_dir, config), lambda keys: keys.rotate(id, length))
    _show_new(*made, as_json)
    err().print(Text(f"The old key {printable(id)} is good for {overlap} more.", "dim"))


@app.command()
@reports_errors
def revoke(
    id: Annotated[str, typer.Argument(help="The key's id.", show_default=False)],
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """End a key for good. What is open under it ends within 5 seconds."""
    key = _change(_load(data_dir, config), lambda keys: keys.revoke(id))
    err().print(Text(f"The key {key.id} of {printable(key.consumer)} is revoked."))


def seconds(text: str) -> float:
    """The seconds that ``90d``, ``12h``, ``30m`` or ``45s`` mean."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise BadRequest(f"{text[:40]!r} is no duration; write one such as 90d, 12h, 30m or 45s")
    return float(int(match[1]) * _UNITS[match[2]])


def any_key(config: Config) -> bool:
    """Whether a public server of this configuration may start because a key was made for it."""
    if config.loopback or config.identified or not (config.data_dir / "gateway.db").exists():
        return False
    from fairlead.server.keys import any_stored

    return asyncio.run(any_stored(config))


def _load(data_dir: str | None, file: Path | None) -> Config:
    return load({"data_dir": data_dir} if data_dir else {}, os.environ, file)


def _with_keys(config: Config, act: Callable[[Keys], Awaitable[T]]) -> T:
    # Only now: it brings SQLite along.
    from fairlead.server.keys import stored_keys

    async def run() -> T:
        async with stored_keys(config) as keys:
            return await act(keys)

    return asyncio.run(run())


def _change(config: Config, act: Callable[[KeyChanges], Awaitable[T]]) -> T:
    from fairlead.server.changes import stored_changes

    async def run() -> T:
        async with stored_changes(config) as changes:
            return await act(changes)

    return asyncio.run(run())


def _show_new(key: StoredKey, text: str, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"key": text, **msgspec.to_builtins(key)}))
        return
    typer.echo(text)
    until = "" if key.expires_at is None else f", good until {_day(key.expires_at)}"
    err().print(
        Text(f"The key {key.id} of {printable(key.consumer)}{until}. It is shown only now.", "dim")
    )


def _state(key: StoredKey, now: float) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "good"
    state = f"good until {_day(key.expires_at)}" if key.alive(now) else "expired"
    return state + (f", replaced by {key.successor}" if key.successor else "")


def _day(at: float | None) -> str:
    if at is None:
        return "never"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
