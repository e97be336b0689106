"""``fairlead top``: what runs on a server now."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from fairlead.cli.console import INTERRUPTED, out, printable, reports_errors
from fairlead.cli.keys import DataDir
from fairlead.cli.settings import ConfigFile
from fairlead.errors import FairleadError, NotFound
from fairlead.server.config import Config
from fairlead.server.sources import load

if TYPE_CHECKING:
    from fairlead.cli.remote import Remote

#: The key that it makes for itself lives this long at most, in seconds.
_LIFE = 24 * 3600.0


@reports_errors
def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, once.")] = False,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between looks.")] = 2.0,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="FAIRLEAD_SERVER",
            metavar="URL",
            help="The server. \\[default: that of the configuration, on this machine]",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Show what a server writes, what waits, who reads, and how the upstreams stand.

    The variable FAIRLEAD_API_KEY holds a key with the scope admin. Without one, whoever can write
    the server's data folder needs none: a key is made there, and revoked in the end.

    \b
    Examples:
      fairlead top
      fairlead top --once --server https://ai.example
      fairlead top --json | jq .streams
    """
    loaded = load({"data_dir": data_dir} if data_dir else {}, os.environ, config)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(loaded, server, every, once=once, as_json=as_json))
        return
    raise typer.Exit(INTERRUPTED)


async def _watch(
    config: Config, server: str | None, every: float, *, once: bool, as_json: bool
) -> None:
    # Only now: aiohttp takes its time to import.
    from fairlead.cli.board import board
    from fairlead.cli.remote import Remote, address

    async with _key(config, server) as key, Remote(server or address(config), key) as remote:
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(await _look(remote)), indent=2))
        elif once:
            out().print(board(await _look(remote), remote.url))
        else:
            await _follow(remote, every)


async def _follow(remote: Remote, every: float) -> None:
    """Show it again and again: on a terminal in one place, elsewhere one after the other."""
    from fairlead.cli.board import board
    from fairlead.client.problems import Unreachable

    console = out()
    shown: RenderableType = board(await _look(remote), remote.url)
    live = Live(shown, console=console, screen=True) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while True:
            if live is None:
                console.print(shown)
            else:
                live.update(shown, refresh=True)
            await asyncio.sleep(every)
            try:
                shown = board(await _look(remote), remote.url)
            except Unreachable as error:
                shown = Text(printable(error.message), "red")  # it may be restarting


async def _look(remote: Remote) -> dict[str, Any]:
    from fairlead.cli.remote import locked

    try:
        streams, upstreams = await asyncio.gather(remote.get("streams"), remote.get("upstreams"))
    except NotFound as error:
        raise locked(error, remote.url) from None
    return {**streams, **upstreams}


@contextlib.asynccontextmanager
async def _key(config: Config, server: str | None) -> AsyncGenerator[str, None]:
    """A key for the server: one that was given, or, for this machine's server that wants one, a new
    one for as long as it is needed."""
    given = os.environ.get("FAIRLEAD_API_KEY", "").strip()
    if given or server or not await _wanted(config):
        yield given
        return
    from fairlead.policy.caller import ADMIN
    from fairlead.server.changes import stored_changes

    async with stored_changes(config) as changes:
        key, text = await changes.create(
            "fairlead-top", name="made by fairlead top", scopes=frozenset({ADMIN}), life=_LIFE
        )
        try:
            yield text
        finally:
            await changes.revoke(key.id)


async def _wanted(config: Config) -> bool:
    """Whether the server of the configuration wants a key, and its data folder can be used."""
    from fairlead.cli.remote import Remote, address

    if config.durability == "memory" or not (config.data_dir / "gateway.db").exists():
        return False
    async with Remote(address(config)) as remote:
        try:
            await remote.get("queue")
        except NotFound:
            return True
        except FairleadError:
            return False  # the next one to ask says what is wrong
    return False
