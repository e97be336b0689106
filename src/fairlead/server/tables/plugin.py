"""``plugins``: the operator's own parts of the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import msgspec

from fairlead.server.tables.table import Table, says

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OBJECT = re.compile(r"[A-Za-z_]\w*")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LONGEST = 3600.0


class PluginTable(Table, frozen=True, kw_only=True):
    """One plugin. ``stamp`` is when its file was last written, so that it is loaded anew then."""

    PLAIN: ClassVar[str] = "use"

    use: Annotated[
        str,
        says(
            "`./file.py:Name` (from the folder of the configuration file), `package.module:Name`, "
            "or the name of an entry point in the group `fairlead.plugins`"
        ),
    ]
    name: Annotated[
        str,
        says("for messages, for budgets (`plugin:name`), of a model; none: what `use` ends with"),
    ] = ""
    timeout: Annotated[
        float | None, says("seconds that one call may take; none: as the plugin says")
    ] = None
    options: Annotated[dict[str, Any], says("arguments for the plugin's class, as a table")] = (
        msgspec.field(default_factory=dict)
    )
    stamp: int = 0

    def __repr__(self) -> str:
        # Options may hold what nobody should read.
        return f"PluginTable({self.use!r})"

    @property
    def file(self) -> Path | None:
        """The file that it stands in, if it is named by one."""
        path, colon, _ = self.use.rpartition(":")
        return Path(path) if colon and path.endswith(".py") else None

    @property
    def thing(self) -> str:
        """What it is called in its file or module; empty: it is an entry point."""
        return self.use.rpartition(":")[2] if ":" in self.use else ""

    def within(self, folder: Path) -> Self:
        """Itself with the file by its full path, seen from this folder."""
        file = self.file
        if file is None:
            return self
        path = Path.cwd() / folder / file.expanduser()
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
        return msgspec.structs.replace(self, use=f"{path}:{self.thing}", stamp=stamp)

    def label(self) -> str:
        return self.name or self.thing or self.use

    def summary(self) -> str:
        return f"{self.label()} ({self.use})" if self.label() != self.use else self.use

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        names: set[str] = set()
        for table in tables:
            where = f"{table.use[:80]}: "
            if ":" in table.use:
                if not _OBJECT.fullmatch(table.thing):
                    return where + "after the colon must come the name of a class"
                module = table.use.rpartition(":")[0]
                if table.file is None and not _MODULE.fullmatch(module):
                    return where + "before the colon must come a file such as ./pii.py, or a module"
            if not _NAME.fullmatch(table.label()):
                return where + "a plugin is named by 1 to 64 letters, digits and . _ -"
            if table.label() in names:
                return f"{where}the name {table.label()} is used twice; give another one in 'name'"
            names.add(table.label())
            if table.timeout is not None and not 0 < table.timeout <= _LONGEST:
                return f"{where}timeout must be a number of seconds, more than 0"
        return ""
