"""What decisions may be made on besides the caller: where a request came from and how."""

from __future__ import annotations

import msgspec


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Names of what some rule, budget or route asks about: nothing else of a request is kept.
    Headers in small letters."""

    headers: frozenset[str] = frozenset()
    query: frozenset[str] = frozenset()
    cookies: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()

    def __or__(self, other: Keep) -> Keep:
        return Keep(
            headers=self.headers | other.headers,
            query=self.query | other.query,
            cookies=self.cookies | other.cookies,
            claims=self.claims | other.claims,
        )


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A request, as far as decisions look at it. ``address`` is the client's, behind the proxies
    that are trusted; empty where there is no network, as inside a program. ``headers`` by their
    names in small letters; of several of a name, all, joined by ``", "``.
    ``reader`` is what a reader calls itself, so that its authority can be renewed."""

    address: str = ""
    method: str = ""
    path: str = ""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    cookies: dict[str, str] = {}
    reader: str = ""


#: Where nothing came over a network.
NOWHERE = Facts()
