"""What ``fairlead top`` shows."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fairlead.cli.console import printable

#: Streams that are shown at most.
_MOST = 100


def board(seen: dict[str, Any], url: str) -> RenderableType:
    """What was seen of the server at ``url``."""
    head = Text.assemble(
        ("Fairlead", "bold"),
        f"  {printable(url)}  ",
        ("draining", "bold yellow") if seen["draining"] else "",
        f"\nwriting {seen['writing']}  queued {seen['queued']}  readers ",
        ", ".join(f"{name} {number}" for name, number in sorted(seen["readers"].items())) or "none",
        "\n",
    )
    parts: list[RenderableType] = [head]
    if seen["upstreams"]:
        parts += [_upstreams(seen["upstreams"]), Text()]
    if seen["streams"]:
        parts.append(_streams(seen["streams"][:_MOST]))
        if len(seen["streams"]) > _MOST:
            parts.append(Text(f"… and {len(seen['streams']) - _MOST} more", "dim"))
    else:
        parts.append(Text("Nothing runs.", "dim"))
    if seen["sockets"]:
        parts += [Text(), _sockets(seen["sockets"][:_MOST])]
        if len(seen["sockets"]) > _MOST:
            parts.append(Text(f"… and {len(seen['sockets']) - _MOST} more", "dim"))
    return Group(*parts)


def _sockets(sockets: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Socket", "Passed on to", "Consumer", "Address"):
        table.add_column(heading, no_wrap=heading == "Socket")
    for heading in ("Age", "Tokens"):
        table.add_column(heading, justify="right")
    for one in sockets:
        table.add_row(
            one["socket"],
            *(Text(printable(one[name])) for name in ("name", "consumer", "address")),
            f"{one['age']:.0f} s",
            str(one["tokens"]),
        )
    return table


def _upstreams(upstreams: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Upstream", "State"):
        table.add_column(heading, overflow="fold")
    for heading in ("In flight", "Waiting", "Answered", "Failed"):
        table.add_column(heading, justify="right")
    table.add_column("Last error")
    for one in upstreams:
        state = "usable" if one["usable"] else ("not well" if not one["well"] else one["state"])
        table.add_row(
            Text(printable(one["name"])),
            Text(state, "green" if one["usable"] else "red"),
            *(str(one[name]) for name in ("in_flight", "waiting", "answered", "failed")),
            Text(one["last_error"], "dim"),
        )
    return table


def _streams(streams: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("Stream", "State", "Consumer", "Model"):
        table.add_column(heading, no_wrap=heading == "Stream")
    for heading in ("Age", "Tokens", "Per s"):
        table.add_column(heading, justify="right")
    table.add_column("Readers")
    for one in streams:
        queued = one["state"] == "queued"
        table.add_row(
            one["stream"],
            Text(f"place {one['place']}" if queued else one["state"], "yellow" if queued else ""),
            Text(printable(one["consumer"])),
            Text(printable(one["model"])),
            "" if one["age"] is None else f"{one['age']:.0f} s",
            str(one["tokens"]),
            f"{one['rate']:.1f}",
            ", ".join(f"{name} {number}" for name, number in sorted(one["readers"].items()))
            or Text("none", "dim"),
        )
    return table
