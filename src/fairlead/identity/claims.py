"""From what a token says of its bearer to a caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.errors import Unauthenticated
from fairlead.policy.caller import ALL_SCOPES, Caller

#: The longest name of a consumer, with its prefix.
MAX_CONSUMER = 256
#: Claims that are kept for decisions, and the longest value of one. What is longer is left out.
_MOST_CLAIMS = 64
_LONGEST = 512


class ClaimRules(msgspec.Struct, frozen=True, kw_only=True):
    """``consumer`` and ``scope`` name claims, those within others by a path with dots
    (``realm_access.roles``). ``prefix`` goes before the consumer's name, to keep those of several
    issuers apart. ``scopes`` are allowed to everybody with a good token; ``grants`` says what a
    value of the claim ``scope`` allows besides.
    """

    consumer: tuple[str, ...] = ("sub",)
    prefix: str = ""
    scope: str = "scope"
    scopes: frozenset[str] = ALL_SCOPES
    grants: dict[str, frozenset[str]] = {}

    def caller(
        self, claims: Mapping[str, Any], *, credential: str, expires_at: float | None
    ) -> Caller:
        """Who the claims are about. Raises :class:`~fairlead.errors.Unauthenticated` if they do not
        say, or allow nothing."""
        scopes = self.scopes.union(
            *(self.grants.get(value, frozenset()) for value in words(find(claims, self.scope)))
        )
        if not scopes:
            raise Unauthenticated(f"the claim {self.scope!r} of the token allows nothing here")
        return Caller(
            self.name(claims),
            scopes=scopes,
            expires_at=expires_at,
            credential=credential,
            claims=kept(claims),
        )

    def name(self, claims: Mapping[str, Any]) -> str:
        """The consumer's name: the first of the claims that there is."""
        for path in self.consumer:
            value = find(claims, path)
            if isinstance(value, str) and value:
                name = self.prefix + value
                if len(name) > MAX_CONSUMER or not name.isprintable():
                    raise Unauthenticated(
                        f"the claim {path!r} of the token is no name of at most {MAX_CONSUMER} "
                        "printable characters"
                    )
                return name
        named = " or ".join(repr(path) for path in self.consumer)
        raise Unauthenticated(f"the token lacks the claim {named}, which names who asks")


def find(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of this name, else the one at the path; None: there is none. (Names such as
    ``https://example.com/roles`` have dots themselves.)"""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def words(value: Any) -> list[str]:
    """The values of a claim that has several: a list, or a text with spaces (RFC 6749, section
    3.3)."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list):
        return [one for one in value if isinstance(one, str)]
    return []


def kept(claims: Mapping[str, Any]) -> dict[str, str]:
    """The claims as texts, as far as they are some."""
    made: dict[str, str] = {}
    for name, value in claims.items():
        match value:
            case bool():
                text = "true" if value else "false"
            case str() | int() | float():
                text = str(value)
            case list():
                text = " ".join(words(value))
            case _:
                continue
        if len(made) < _MOST_CLAIMS and len(name) <= _LONGEST and 0 < len(text) <= _LONGEST:
            made[name] = text
    return made
