"""``[oidc]``: logging in with a browser."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from fairlead.server.settings import Secret
from fairlead.server.tables.claims import Claimed, wrong_address
from fairlead.server.tables.table import says


class Oidc(Claimed, frozen=True, kw_only=True):
    """An OpenID provider. Without an ``issuer`` there is no login."""

    WORDS: ClassVar[dict[str, str]] = {
        "client_secret": "a secret does not belong in a file; name an environment variable in "
        "client_secret_env"
    }

    issuer: Annotated[str, says("the provider, exactly as it calls itself")] = ""
    client_id: Annotated[str, says("how this server is known there")] = ""
    client_secret_env: Annotated[
        str, says("the environment variable that holds its secret there; none: a public client")
    ] = ""
    client_secret: Secret = Secret()
    url: Annotated[
        str,
        says(
            "this server's address as browsers see it, with its base path; the provider has to "
            "know `{url}/login/callback`, and for logging out `{url}/`"
        ),
    ] = ""
    request_scopes: Annotated[tuple[str, ...], says("what is asked of the provider")] = (
        "openid",
        "profile",
    )
    session_hours: Annotated[float, says("how long a login lasts")] = 12.0

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS."""
        return self.url.startswith("https://")

    def label(self) -> str:
        return self.issuer

    def summary(self) -> str:
        missing = "" if not self.client_secret_env or self.client_secret else " (secret not set)"
        return f"{self.issuer} as {self.client_id}{missing}" if self.issuer else ""

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        (oidc,) = tables
        if oidc == cls():
            return ""
        for name in ("issuer", "url"):
            if wrong := wrong_address(getattr(oidc, name)):
                return f"{name}: {wrong}"
        parts = urlsplit(oidc.url)
        if oidc.url.endswith("/") or parts.query or parts.fragment:
            return "url must end with the host or the base path, without a slash"
        if not oidc.client_id:
            return "client_id is missing"
        if "openid" not in oidc.request_scopes:
            return "request_scopes must hold openid (OpenID Connect Core 1.0, section 3.1.2.1)"
        if not 0 < oidc.session_hours <= 8760:
            return "session_hours must be more than 0, at most 8760"
        return oidc.wrong_claims()
