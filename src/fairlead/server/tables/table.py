"""What every table of the configuration file has in common.

A table is a struct whose fields are annotated with :func:`says`, their meaning for the reference.
The configuration has it as ``tuple[T, ...]`` (written ``[[name]]``, several times) or as ``T`` with
a default (written ``[name]``, once).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self, get_args

import msgspec

from fairlead.server.settings import Secret


def says(meaning: str) -> msgspec.Meta:
    """The meaning of a field, as the reference prints it."""
    return msgspec.Meta(description=meaning)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table. A field ``x`` of type :class:`~fairlead.server.settings.Secret` is never written
    in the file: its neighbour ``x_env`` names the environment variable that holds it.

    ``WORDS``: what is said of a key that is not written here, by its name. ``PLAIN``: the key whose
    text may stand in a list in the place of the whole table; empty: none.
    """

    PLAIN: ClassVar[str] = ""

    WORDS: ClassVar[dict[str, str]] = {}

    @classmethod
    def fields(cls) -> dict[str, tuple[msgspec.structs.FieldInfo, str]]:
        """The fields that may be written, with their meanings."""
        found = {}
        for field in msgspec.structs.fields(cls):
            for note in get_args(field.type)[1:] if hasattr(field.type, "__metadata__") else ():
                if isinstance(note, msgspec.Meta) and note.description:
                    found[field.name] = (field, note.description)
        return found

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        """What is wrong with these tables together, and what would be right; empty: nothing."""
        return ""

    def resolved(self, variable: Callable[[str], str]) -> Self:
        """Itself with what the environment variables that it names hold; ``variable`` looks one up
        (empty: not set). Raises :class:`ValueError` in words."""
        found: dict[str, Any] = {}
        for name in self.__struct_fields__:
            named = getattr(self, f"{name}_env", "")
            if named and isinstance(getattr(self, name), Secret):
                found[name] = Secret(variable(named))
        return msgspec.structs.replace(self, **found) if found else self

    def lacks(self) -> str:
        """Why no server must be started with it, such as a named variable that is not set; empty:
        nothing."""
        for name in self.__struct_fields__:
            named = getattr(self, f"{name}_env", "")
            if named and isinstance(getattr(self, name), Secret) and not getattr(self, name):
                return f"the environment variable {named}, which its {name}_env names, is not set"
        return ""

    def label(self) -> str:
        """What it is called in messages."""
        return str(getattr(self, "name", ""))

    def summary(self) -> str:
        """One line for people, without secrets."""
        return self.label()
