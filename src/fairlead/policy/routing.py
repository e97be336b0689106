"""Which model a question goes to: aliases, and the first route that fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Generic, TypeVar

import msgspec

from fairlead.policy.caller import Caller
from fairlead.policy.facts import Keep

T = TypeVar("T")


def fits(glob: str, text: str) -> bool:
    """Whether a text is of a form: ``*`` stands for any characters, ``?`` for one, everything else
    for itself. Capital letters count."""
    return _pattern(glob).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    # Adjacent stars mean what one does.
    parts = [
        ".*" if part.startswith("*") else "." if part == "?" else re.escape(part)
        for part in re.split(r"(\*+|\?)", glob)
    ]
    return re.compile("".join(parts), re.DOTALL)


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Which questions a route is for: all of these must hold.

    Globs of the model's name and of the consumer; ``header`` (in small letters) must be there, and
    its value fit ``value``.
    """

    model: str = "*"
    consumer: str = "*"
    header: str = ""
    value: str = "*"

    def holds(self, model: str, caller: Caller) -> bool:
        """Whether it is for this question."""
        if not fits(self.model, model) or not fits(self.consumer, caller.consumer):
            return False
        if not self.header:
            return True
        found = caller.facts.headers.get(self.header)
        return found is not None and fits(self.value, found)

    @property
    def keep(self) -> Keep:
        """What of a request it looks at."""
        return Keep(headers=frozenset({self.header} if self.header else ()))


class Route(msgspec.Struct, Generic[T], frozen=True):
    """Where questions of a kind go: ``targets`` by the model's name; ``""`` is for all others."""

    match: Match
    targets: Mapping[str, T]


def route(name: str, caller: Caller, routes: Iterable[Route[T]]) -> T | None:
    """The target of the first route that fits and has one; None: there is none."""
    for one in routes:
        if one.match.holds(name, caller):
            target = one.targets.get(name) or one.targets.get("")
            if target is not None:
                return target
    return None
