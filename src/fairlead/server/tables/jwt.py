"""``[jwt]``: tokens that an issuer has signed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from fairlead.identity.algorithms import ALGORITHMS, LEEWAY, USUAL
from fairlead.server.tables.claims import Claimed, wrong_address
from fairlead.server.tables.table import says


class Jwt(Claimed, frozen=True, kw_only=True):
    """JSON Web Tokens of one issuer. Without an ``issuer`` none are taken."""

    issuer: Annotated[str, says("the claim `iss` of good tokens, exactly as it stands there")] = ""
    audience: Annotated[
        tuple[str, ...], says("of the claim `aud` a good token has one of these")
    ] = ()
    jwks_url: Annotated[
        str, says("where the issuer's public keys are; none given: where the issuer says")
    ] = ""
    jwks_file: Annotated[str, says("a file with the public keys instead; an absolute path")] = ""
    algorithms: Annotated[
        tuple[str, ...],
        says("how good tokens are signed: of RS, PS, ES with 256, 384, 512, and EdDSA, Ed25519"),
    ] = USUAL
    leeway: Annotated[float, says("seconds by which clocks may differ")] = LEEWAY
    jwks_seconds: Annotated[
        float, says("how long the keys are used before they are fetched again")
    ] = 300.0
    jwks_pause: Annotated[
        float, says("seconds at least between two fetches, whatever keys tokens name")
    ] = 10.0

    def label(self) -> str:
        return self.issuer

    def summary(self) -> str:
        return f"{self.issuer} for {', '.join(self.audience)}" if self.issuer else ""

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        (jwt,) = tables
        if jwt == cls():
            return ""
        if not jwt.issuer:
            return "issuer is missing: the claim iss of the tokens, such as https://login.example/"
        if not jwt.audience or not all(jwt.audience):
            return "audience is missing: else tokens made for other services would be good here"
        if jwt.jwks_url and jwt.jwks_file:
            return "give jwks_url or jwks_file, not both"
        if jwt.jwks_file and not Path(jwt.jwks_file).is_absolute():
            return "jwks_file must be an absolute path"
        if not jwt.jwks_file and (wrong := wrong_address(jwt.jwks_url or jwt.issuer)):
            name = "jwks_url" if jwt.jwks_url else "without jwks_url or jwks_file, issuer"
            return f"{name}: {wrong}"
        for algorithm in jwt.algorithms:
            if algorithm.startswith("HS") or algorithm == "none":
                return (
                    f"algorithms: {algorithm} is never taken: with it a public key, or nothing, "
                    "would be enough to make a token"
                )
            if algorithm not in ALGORITHMS:
                return (
                    f"algorithms: no such one: {algorithm[:40]}; there are {', '.join(ALGORITHMS)}"
                )
        if not jwt.algorithms:
            return "algorithms must name at least one"
        if not 0 <= jwt.leeway <= 300:
            return "leeway must be from 0 to 300 seconds"
        if not 1 <= jwt.jwks_seconds <= 86_400:
            return "jwks_seconds must be from 1 to 86400"
        if not 0.1 <= jwt.jwks_pause <= 3600:
            return "jwks_pause must be from 0.1 to 3600 seconds"
        return jwt.wrong_claims()
