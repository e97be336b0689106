"""The models that can be asked for, and who answers for each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fairlead.errors import BadRequest
from fairlead.ports.provider import Provider


class Model(msgspec.Struct, frozen=True):
    """A name that callers use, the provider that answers to it, and its name there. ``searches``:
    whether the documents are searched for it."""

    name: str
    provider: Provider
    upstream_name: str = ""
    searches: bool = True


class Models:
    """The models of this server; the first one is the default."""

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise ValueError("a server needs at least one model")
        self.all = tuple(models)
        self._named = {model.name: model for model in self.all}

    def choose(self, name: str) -> Model:
        """The model called ``name`` (empty: the default one)."""
        if not name:
            return self.all[0]
        try:
            return self._named[name]
        except KeyError:
            known = ", ".join(self._named)
            raise BadRequest(f"there is no model {name!r} here; there are: {known}") from None
