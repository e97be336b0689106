"""The models that can be asked for, and who answers for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from fairlead.errors import UnknownModel
from fairlead.events.model import Mark
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Keep
from fairlead.policy.routing import Route, route
from fairlead.ports.provider import Provider
from fairlead.ports.resuming import Resuming


class Model(msgspec.Struct, frozen=True):
    """A name that callers use, the provider that answers to it, and its name there. ``searches``:
    whether the documents are searched for it; ``searches_for_vendors``: whether they are for
    questions in a vendor's dialect, whose askers may not expect it."""

    name: str
    provider: Provider
    upstream_name: str = ""
    searches: bool = True
    searches_for_vendors: bool = True


class Models:
    """The models of this server; the first one is the default. ``aliases`` are other names for
    them; ``routes`` send the questions of some callers elsewhere."""

    def __init__(
        self,
        models: Sequence[Model],
        *,
        aliases: Mapping[str, str] | None = None,
        routes: Sequence[Route[Model]] = (),
    ) -> None:
        if not models:
            raise ValueError("a server needs at least one model")
        self.all = tuple(models)
        self.aliases = dict(aliases or {})
        self._named = {model.name: model for model in self.all}
        self._routes = tuple(routes)

    @property
    def keep(self) -> Keep:
        """What of a request the routes look at."""
        kept = Keep()
        for one in self._routes:
            kept |= one.match.keep
        return kept

    def resuming(self, mark: Mark) -> tuple[Provider, Resuming] | None:
        """Who can go on from a mark, seen both ways; None: nobody."""
        for model in self.all:
            provider = model.provider
            if isinstance(provider, Resuming) and provider.resumes(mark):
                return model.provider, provider
        return None

    def choose(self, name: str, caller: Caller) -> Model:
        """The model that answers ``caller`` who asks for ``name`` (empty: the default one)."""
        asked = self.aliases.get(name, name) or self.all[0].name
        model = route(asked, caller, self._routes) or self._named.get(asked)
        if model is None:
            known = ", ".join([*self._named, *self.aliases])
            raise UnknownModel(f"there is no model {name!r} here; there are: {known}")
        return model
