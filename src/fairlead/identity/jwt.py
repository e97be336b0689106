"""Identity by JSON Web Tokens that an issuer has signed (RFC 7519, RFC 9068)."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import Key as Jwk
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact

from fairlead.errors import Unauthenticated
from fairlead.identity.claims import ClaimRules
from fairlead.identity.jwks import Jwks
from fairlead.policy.caller import Caller
from fairlead.primitives import base32

#: Longer tokens are refused unread.
MAX_TOKEN = 16_384
#: Tokens whose signatures are remembered. To check one costs more than all the rest of a request's
#: way in, and a client sends the same token with many.
_REMEMBERED = 4096
#: What callers' credentials begin with that are tokens which nobody can take back.
KIND = "jwt:"

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class _Signed(NamedTuple):
    """What a token says that the key ``key`` has signed; it names it by ``kid``."""

    key: Jwk
    kid: str | None
    claims: dict[str, Any]


def has_shape(credential: str) -> bool:
    """Whether a credential looks like a signed token: three parts in base64url."""
    return len(credential) <= MAX_TOKEN and _SHAPE.fullmatch(credential) is not None


class _Registry(JWSRegistry):
    """joserfc's algorithms, among which ``EdDSA`` passes without a warning (RFC 9864 prefers the
    name ``Ed25519``, issuers go on with the other); headers that are unknown are passed over, as
    RFC 7515, section 4 wants it, unless they are critical."""

    max_header_length = 4096
    max_payload_length = MAX_TOKEN

    def __init__(self, allowed: frozenset[str]) -> None:
        super().__init__(algorithms=allowed, strict_check_header=False)
        self._ours = {name: self.algorithms[name] for name in allowed}

    def get_alg(self, name: str) -> Any:
        if name not in self._ours:
            raise Unauthenticated(
                "the token is signed in a way that is not taken here; taken: "
                + ", ".join(sorted(self._ours))
            )
        return self._ours[name]


class JwtRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a token must be: of the ``issuer``, for one of the ``audiences``, signed by one of the
    ``algorithms``. ``leeway``: seconds by which clocks may differ."""

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    leeway: float
    claims: ClaimRules

    def check(self, claims: Mapping[str, Any], now: float) -> float:
        """When the token expires, in seconds since 1970, UTC, the leeway included. Raises
        :class:`~fairlead.errors.Unauthenticated` for one that is not good at ``now``."""
        if claims.get("iss") != self.issuer:
            raise Unauthenticated("the token is of another issuer than this server's")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if not self.audiences.intersection(one for one in named if isinstance(one, str)):
            raise Unauthenticated("the token is for another audience than this server")
        expires = _time(claims, "exp")
        if expires is None:
            raise Unauthenticated("the token lacks 'exp': it would last for ever")
        if now >= expires + self.leeway:
            raise Unauthenticated("the token has expired; get a fresh one")
        for name in ("nbf", "iat"):
            begins = _time(claims, name)
            if begins is not None and now < begins - self.leeway:
                raise Unauthenticated(f"the token is not good yet ('{name}' lies in the future)")
        return expires + self.leeway


class JwtIdentity:
    """Implements :class:`~fairlead.ports.identity.Identity` for tokens of one issuer, and
    :class:`~fairlead.ports.identity.Revocable`."""

    def __init__(self, rules: JwtRules, keys: Jwks, clock: Callable[[], float] = time.time) -> None:
        self.rules = rules
        self._keys = keys
        self._clock = clock
        self._registry = _Registry(rules.algorithms)
        # By which rules a caller was judged: nobody remembers the token to judge it anew. The same
        # in all processes, which may have a ticket of each other's.
        text = msgspec.json.encode(rules, order="deterministic")
        #: Names the rules, in six characters.
        self.rule = base32(hashlib.sha256(text).digest())[:6]
        self._kind = f"{KIND}{self.rule}:"
        #: By the tokens' SHA-256, oldest first.
        self._signatures: dict[bytes, _Signed] = {}

    async def identify(self, credential: str | None) -> Caller:
        """The caller whom the token names."""
        token = credential or ""
        claims = await self.verified(token)
        expires_at = self.rules.check(claims, self._clock())
        id = self._kind + base32(hashlib.sha256(token.encode()).digest()[:10])
        return self.rules.claims.caller(claims, credential=id, expires_at=expires_at)

    async def ended(self, credentials: Collection[str]) -> dict[str, Unauthenticated]:
        """Which of the credentials are tokens that were good by other rules than these."""
        return {
            one: Unauthenticated("the rules for tokens have changed: send yours again")
            for one in credentials
            if one.startswith(KIND) and not one.startswith(self._kind)
        }

    async def verified(self, token: str) -> Mapping[str, Any]:
        """What the token says, its signature being one of the issuer's keys'. Raises
        :class:`~fairlead.errors.Unauthenticated`."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = self._signatures.get(digest)
        # Good for as long as the key is one of the issuer's, and no longer.
        if found is None or all(key is not found.key for key in await self._keys.find(found.kid)):
            self._signatures.pop(digest, None)
            found = await self._verify(token)
            self._signatures[digest] = found
            if len(self._signatures) > _REMEMBERED:
                del self._signatures[next(iter(self._signatures))]
        return found.claims

    async def _verify(self, token: str) -> _Signed:
        if not has_shape(token):
            raise Unauthenticated("this is no signed token: it must have three parts")
        try:
            parsed = extract_compact(token.encode(), None, self._registry)
        except (JoseError, ValueError) as error:
            raise Unauthenticated("the token cannot be read") from error
        algorithm, kid = parsed.headers().get("alg"), parsed.headers().get("kid")
        self._registry.get_alg(algorithm if isinstance(algorithm, str) else "")
        kid = kid if isinstance(kid, str) else None
        key = await self._signer(parsed, kid)
        if key is None:
            raise Unauthenticated("the token's signature is none of its issuer's")
        try:
            claims = msgspec.json.decode(parsed.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            claims = None
        if not isinstance(claims, dict):
            raise Unauthenticated("the token holds no claims")
        return _Signed(key, kid, claims)

    async def _signer(self, parsed: CompactSignature, kid: str | None) -> Jwk | None:
        for key in await self._keys.find(kid):
            try:
                if validate_compact(parsed, key, None, self._registry):
                    return key
            except (JoseError, ValueError):
                continue  # a key of another kind than the algorithm's
        return None


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2)."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Unauthenticated(f"'{name}' of the token is no time")
    return float(value)
