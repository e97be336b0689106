"""Settings: one table, made from the fields of a struct, from flags, variables and keys to values.

A setting is a field annotated with ``msgspec.Meta``: its ``description`` is the help, its limits
(``ge``, ``le``, …) are checked. ``extra`` holds what else the table needs:

- ``group``: its heading in the help; ``shown``: the default as people read it
- ``flag``, ``file``: False where the setting cannot be given there, and ``why`` says why not
- ``env``: the variable's name, where it is not the usual one
- ``separator``: what stands between the items of a list in a variable
- ``unit``: of a number, for the help; with ``bytes`` "16 MiB" is understood
- ``check``: a function that says what is wrong with a value that no type can tell; empty: nothing
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

ENV_PREFIX = "FAIRLEAD_"

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_SIZE = re.compile(r"(\d{1,15})\s*([A-Za-z]*)")


class Secret:
    """A text that must not be shown: only :meth:`reveal` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret('…')" if self._text else "Secret('')"


class Setting(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    type: Any
    """Without its annotation."""
    meta: msgspec.Meta
    initial: Any
    """The default, where there is one."""

    def extra(self, key: str, default: Any = "") -> Any:
        """One of the entries of ``extra`` described above."""
        return (self.meta.extra or {}).get(key, default)

    @property
    def group(self) -> str:
        """The heading that it stands under."""
        return str(self.extra("group"))

    @property
    def help(self) -> str:
        """What it means."""
        return self.meta.description or ""

    @property
    def flag(self) -> str:
        """``--data-dir``; empty where there is none."""
        return "--" + self.name.replace("_", "-") if self.extra("flag", True) else ""

    @property
    def env(self) -> str:
        """``FAIRLEAD_DATA_DIR``; empty where there is none."""
        return str(self.extra("env", ENV_PREFIX + self.name.upper()))

    @property
    def in_file(self) -> bool:
        """Whether it may stand in the configuration file."""
        return bool(self.extra("file", True))

    @property
    def default(self) -> str:
        """The default as people read it."""
        if self.table is not None:
            return ""
        return str(self.extra("shown", show(self.initial, self.extra("unit"))))

    @property
    def table(self) -> Any:
        """The :class:`~fairlead.server.tables.table.Table` that it is written as, once or several
        times; None: it is a plain value."""
        for one in (self.type, *get_args(self.type)):
            if isinstance(one, type) and hasattr(one, "resolved"):
                return one
        return None

    @property
    def is_list(self) -> bool:
        """Whether it may be given several times."""
        return get_origin(self.type) is tuple

    def expects(self) -> str:
        """What would be right, in words."""
        if self.extra("unit") == "bytes":
            return f"a number of bytes such as 65536 or 16 MiB{self._range()}"
        if self.type is bool:
            return "true or false"
        if self.type is int:
            return f"a whole number{self._range()}"
        if self.type is float:
            return f"a number of {self.extra('unit')}{self._range()}"
        if get_origin(self.type) is Literal:
            return "one of " + ", ".join(get_args(self.type))
        return "a list of texts" if self.is_list else "a text"

    def read(self, given: object, *, text: bool) -> Any:
        """The value that ``given`` means. ``text``: it comes from a variable or flag, where
        numbers, truth and lists are written as text too.

        Raises :class:`ValueError`, whose message says what would be right.
        """
        if text and isinstance(given, str):
            given = given.strip()
            if self.is_list:
                separator = self.extra("separator", ",")
                given = [item.strip() for item in given.split(separator) if item.strip()]
        if self.extra("unit") == "bytes" and isinstance(given, str):
            given = _size(given)
        try:
            value = msgspec.convert(
                given, self.type, strict=not text or self.type is str, dec_hook=_convert
            )
        except msgspec.ValidationError:
            raise ValueError(f"it must be {self.expects()}") from None
        if not self.fits(value):
            raise ValueError(f"it must be {self.expects()}")
        return value

    def fits(self, value: object) -> bool:
        """Whether a number lies within the limits; true of anything else."""
        if not isinstance(value, int | float):
            return True
        meta = self.meta
        return (
            math.isfinite(value)
            and (meta.gt is None or value > meta.gt)
            and (meta.ge is None or value >= meta.ge)
            and (meta.le is None or value <= meta.le)
        )

    def _range(self) -> str:
        meta, unit = self.meta, self.extra("unit")
        least, most = (None if v is None else show(v, unit) for v in (meta.ge, meta.le))
        if least and most:
            return f", from {least} to {most}"
        if meta.gt is not None:
            return f", more than {show(meta.gt, unit)}" + (f", at most {most}" if most else "")
        return f", at least {least}" if least else ""


def settings_of(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """The table of a struct's settings, in their order. A field without a description is none."""
    rows = []
    for field in msgspec.structs.fields(struct):
        plain, *notes = get_args(field.type) if hasattr(field.type, "__metadata__") else [None]
        for meta in notes:
            if isinstance(meta, msgspec.Meta) and meta.description:
                rows.append(Setting(field.name, plain, meta, field.default))
    return tuple(rows)


def show(value: object, unit: str = "") -> str:
    """A value as people read it."""
    match value:
        case msgspec.UNSET | msgspec.NODEFAULT:
            return ""
        case bool():
            return "true" if value else "false"
        case int() if unit == "bytes":
            for name, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
                if value and value % factor == 0:
                    return f"{value // factor} {name}"
            return str(value)
        case float():
            return f"{value:g}"
        case tuple() | list():
            return ", ".join(show(item) for item in value)
        case Secret():
            return "(set)" if value else ""
        case _:
            return str(value)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """``"; did you mean 'port'?"`` for a typing error, else nothing."""
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _size(text: str) -> object:
    """Bytes for "16 MiB"; the text itself if it is none, which then fails as no number."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in _UNITS:
        return text
    return int(match[1]) * _UNITS[match[2].lower()]


def _convert(wanted: type, given: object) -> object:
    if wanted is Path and isinstance(given, str):
        return Path(given)
    if wanted is Secret and isinstance(given, str):
        return Secret(given)
    raise ValueError("not understood")
