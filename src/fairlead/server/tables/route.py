"""``[[routes]]`` and ``[[aliases]]``: which model and which upstreams a question goes to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Self

from fairlead.policy.balance import STRATEGIES
from fairlead.policy.routing import Match, fits
from fairlead.server.tables.table import Table, says

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, 5.6.2, in small letters
_STRATEGIES = ", ".join(f"`{name}`" for name in STRATEGIES)


class RouteTable(Table, frozen=True, kw_only=True):
    """Where questions go that fit ``model``, ``consumer`` and ``header``: the first route that fits
    decides. ``*`` stands for any characters, ``?`` for one."""

    model: Annotated[str, says("for which models, by the name asked for; `*` is any")] = "*"
    consumer: Annotated[str, says("for which consumers; `*` is any")] = "*"
    header: Annotated[str, says("only for requests that have this header")] = ""
    value: Annotated[str, says("only if the header's value is of this form")] = "*"
    use: Annotated[str, says("the model to ask instead; none: the one asked for")] = ""
    upstreams: Annotated[
        tuple[str, ...], says("the names of the upstreams to ask; none: all that offer the model")
    ] = ()
    strategy: Annotated[str, says(f"which upstream is asked first: {_STRATEGIES}")] = "weighted"
    fallback: Annotated[
        tuple[str, ...], says("models to ask, in this order, when no upstream of the model answers")
    ] = ()

    @property
    def match(self) -> Match:
        """What it is for."""
        return Match(model=self.model, consumer=self.consumer, header=self.header, value=self.value)

    def label(self) -> str:
        named = [f"model {self.model}"] if self.model != "*" else []
        named += [f"consumer {self.consumer}"] if self.consumer != "*" else []
        named += [f"header {self.header}: {self.value}"] if self.header else []
        return ", ".join(named) or "any question"

    def summary(self) -> str:
        to = [self.use] if self.use else []
        to += [f"upstreams {', '.join(self.upstreams)}"] if self.upstreams else []
        to += [self.strategy]
        to += [f"else {', '.join(self.fallback)}"] if self.fallback else []
        return f"{self.label()} → {'; '.join(to)}"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        for table in tables:
            where = f"{table.label()}: "
            if table.strategy not in STRATEGIES:
                return f"{where}strategy must be one of {', '.join(STRATEGIES)}"
            if table.header and not _HEADER.fullmatch(table.header):
                return f"{where}header must be the name of a header in small letters"
            if table.value != "*" and not table.header:
                return f"{where}value says nothing without header"
        return ""


class AliasTable(Table, frozen=True, kw_only=True):
    """Another name for a model."""

    name: Annotated[str, says("the name that callers use")]
    model: Annotated[str, says("the model that it stands for")]

    def summary(self) -> str:
        return f"{self.name} = {self.model}"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        names: set[str] = set()
        for table in tables:
            if not table.name or not table.name.isprintable():
                return "every alias needs a name"
            if table.name in names:
                return f"{table.name}: this alias is given twice"
            names.add(table.name)
        return ""


def check_routing(
    offered: Mapping[str, Collection[str]],
    others: Collection[str],
    routes: tuple[RouteTable, ...],
    aliases: tuple[AliasTable, ...],
) -> str:
    """What is wrong with routes and aliases, given the models that upstreams offer (by model: the
    upstreams' names) and the ``others``; empty: nothing."""
    models = [*offered, *others]
    upstreams = {name for names in offered.values() for name in names}
    known = f"; there are {', '.join(sorted(models))}" if models else ""
    for alias in aliases:
        if alias.name in models:
            return f"aliases: {alias.name}: a model has this name already"
        if alias.model not in models:
            return f"aliases: {alias.name}: there is no model {alias.model[:80]!r}{known}"
    for table in routes:
        where = f"routes: {table.label()}: "
        if table.use and table.use not in models:
            return f"{where}use: there is no model {table.use[:80]!r}{known}"
        for name in table.fallback:
            if name not in offered:
                return f"{where}fallback: no upstream offers {name[:80]!r}{known}"
        for name in table.upstreams:
            if name not in upstreams:
                return f"{where}upstreams: there is no upstream {name[:80]!r}"
        wanted = [table.use] if table.use else [m for m in models if fits(table.model, m)]
        if not wanted:
            return f"{where}no model is called so{known}; name one to be asked with 'use'"
        if table.upstreams and not any(
            name in offered.get(model, ()) for model in wanted for name in table.upstreams
        ):
            return f"{where}none of its upstreams offers {' or '.join(wanted)}"
    return ""
