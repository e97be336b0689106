"""What ``[jwt]``, ``[oauth2]`` and ``[oidc]`` have in common: from a token's claims to a consumer
and what it may."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from fairlead.identity.claims import ClaimRules
from fairlead.policy.caller import ALL_SCOPES
from fairlead.server.tables.key import SCOPES
from fairlead.server.tables.table import Table, says


class Claimed(Table, frozen=True, kw_only=True):
    """A table that tells how tokens name their bearers."""

    consumer_claim: Annotated[
        str, says("the claim that names the consumer; within others by a path with dots")
    ] = "sub"
    consumer_prefix: Annotated[
        str, says("put before the name, to keep it apart from names of other origins")
    ] = ""
    scopes: Annotated[
        frozenset[str],
        says("what every good token allows; none given: `ask` and `read`; `[]`: nothing"),
    ] = ALL_SCOPES
    scopes_claim: Annotated[
        str, says("the claim whose values `grants` looks up: a list, or words in a text")
    ] = "scope"
    grants: Annotated[
        dict[str, frozenset[str]],
        says('what a value of it allows besides, such as `{ "llm:admin" = ["admin"] }`'),
    ] = msgspec.field(default_factory=dict)

    def rules(self, *further: str) -> ClaimRules:
        """These rules; ``further`` claims name the consumer where the first one is missing."""
        return ClaimRules(
            consumer=(self.consumer_claim, *further),
            prefix=self.consumer_prefix,
            scope=self.scopes_claim,
            scopes=self.scopes,
            grants=self.grants,
        )

    def wrong_claims(self) -> str:
        """What is wrong with this part of the table; empty: nothing."""
        if not self.consumer_claim or not self.scopes_claim:
            return "consumer_claim and scopes_claim must each name a claim"
        if len(self.consumer_prefix) > 64 or not self.consumer_prefix.isprintable():
            return "consumer_prefix must be at most 64 printable characters"
        for scopes in (self.scopes, *self.grants.values()):
            if unknown := sorted(scopes - SCOPES):
                return f"no such scope: {unknown[0][:80]}; there are ask, read, admin"
        if not self.scopes and not self.grants:
            return "scopes is empty and there are no grants: no token would allow anything"
        return ""


def wrong_address(url: str) -> str:
    """What is wrong with the address of an issuer's service; empty: nothing."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isprintable() or " " in url:
        return "it must be an address such as https://login.example/"
    if "@" in parts.netloc:
        return "it must hold no user or password"
    return ""
