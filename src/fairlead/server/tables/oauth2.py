"""``[oauth2]``: opaque tokens, which the server that issued them is asked about."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from fairlead.server.settings import Secret
from fairlead.server.tables.claims import Claimed, wrong_address
from fairlead.server.tables.table import says


class OAuth2(Claimed, frozen=True, kw_only=True):
    """Introspection (RFC 7662). Without an ``issuer`` or ``introspection_url`` nobody is asked."""

    WORDS: ClassVar[dict[str, str]] = {
        "client_secret": "a secret does not belong in a file; name an environment variable in "
        "client_secret_env"
    }

    issuer: Annotated[
        str, says("the server that issues the tokens; it says where it is asked about them")
    ] = ""
    introspection_url: Annotated[str, says("where it is asked, if it does not say so itself")] = ""
    client_id: Annotated[str, says("how this server is known there")] = ""
    client_secret_env: Annotated[
        str, says("the environment variable that holds its secret there")
    ] = ""
    client_secret: Secret = Secret()
    audience: Annotated[
        tuple[str, ...], says("of `aud` a good token has one of these; none given: any")
    ] = ()
    cache_seconds: Annotated[
        float, says("how long an answer is used for further requests with the token")
    ] = 3.0
    recheck_seconds: Annotated[
        float, says("how often a token is asked about again while streams are open under it")
    ] = 2.0
    stale_seconds: Annotated[
        float, says("how long such streams stay open while the server does not answer")
    ] = 30.0

    def label(self) -> str:
        return self.issuer or self.introspection_url

    def summary(self) -> str:
        missing = "" if not self.client_secret_env or self.client_secret else " (secret not set)"
        return self.label() + (missing if self.label() else "")

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        (oauth2,) = tables
        if oauth2 == cls():
            return ""
        if not oauth2.label():
            return "give issuer, or introspection_url"
        for name in ("issuer", "introspection_url"):
            if getattr(oauth2, name) and (wrong := wrong_address(getattr(oauth2, name))):
                return f"{name}: {wrong}"
        if not oauth2.client_id:
            return "client_id is missing: introspection is not for everybody"
        for name, most in (("cache_seconds", 60), ("recheck_seconds", 3600)):
            if not 0 <= getattr(oauth2, name) <= most:
                return f"{name} must be from 0 to {most}"
        if not 0 <= oauth2.stale_seconds <= 86_400:
            return "stale_seconds must be from 0 to 86400"
        return oauth2.wrong_claims()
