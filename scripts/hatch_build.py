"""Puts the page into the wheel. It is built before, with Node: ``make page``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """An installation for development serves the page from where it is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        page = Path(self.root) / "web" / "dist"
        if not (page / "index.html").is_file():
            raise FileNotFoundError(f"{page} has no page: run 'make page' first")
        build_data["force_include"][str(page)] = "fairlead/_page"
