"""How a setting is described; see :mod:`fairlead.server.settings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fairlead.policy.addresses import Networks

_DAY = 24 * 3600.0
SECONDS: dict[str, Any] = {"unit": "seconds", "le": 7 * _DAY}
BYTES: dict[str, Any] = {"unit": "bytes", "ge": 1024, "le": 1 << 40}
#: For what is written in the file alone, as a table.
TABLE: dict[str, Any] = {"flag": False, "env": ""}


class Group:
    """The settings under one heading."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(
        self, description: str, check: Callable[[Any], str] | None = None, **more: Any
    ) -> msgspec.Meta:
        """A setting's description and limits. ``check`` says what is wrong with a value that no
        type can tell, and what would be right; empty: nothing."""
        limits = {name: more.pop(name) for name in ("gt", "ge", "le") if name in more}
        if check is not None:
            more["check"] = check
        return msgspec.Meta(description=description, extra={"group": self._name, **more}, **limits)

    def table(self, header: str, description: str) -> msgspec.Meta:
        """Such a description of what is written in the file alone, under ``header``."""
        why = f"several values belong together: write {header} in the configuration file"
        return self(description, why=why, **TABLE)


def check_networks(networks: tuple[str, ...]) -> str:
    """What is wrong with networks; empty: nothing."""
    try:
        Networks(networks)
    except ValueError as error:
        return str(error)
    return ""
