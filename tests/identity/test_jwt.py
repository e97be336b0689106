"""Signed tokens: the good ones, and every way in which one may be forged, stale or for others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from fairlead.errors import IdentityUnavailable, Unauthenticated
from fairlead.identity.algorithms import ALGORITHMS, USUAL
from fairlead.identity.claims import ClaimRules
from fairlead.identity.jwks import STALE, Jwks, public_keys
from fairlead.identity.jwt import JwtIdentity, JwtRules
from fairlead.testing.clock import Clock

ISSUER = "https://login.example/"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})


class Everything(jws.JWSRegistry):
    """Signs in whatever way, as attackers do."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def segment(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Issuer:
    """An issuer whose keys can be had, or not."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.published: Any = {"keys": [key.as_dict(private=False) for key in (RSA, EC, ED)]}
        self.loads = 0
        self.down = False
        self.moment = 0.0

    def identity(self, algorithms: tuple[str, ...] = USUAL, **rules: Any) -> JwtIdentity:
        jwt = JwtRules(
            issuer=ISSUER,
            audiences=frozenset({"fairlead", "other"}),
            algorithms=frozenset(algorithms),
            leeway=3.0,
            claims=ClaimRules(**rules),
        )
        return JwtIdentity(jwt, Jwks(self._load, monotonic=lambda: self.moment), self.clock)

    async def _load(self) -> Any:
        self.loads += 1
        if self.down:
            raise IdentityUnavailable("login.example does not answer")
        return self.published

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(self.clock())
        made = {"iss": ISSUER, "aud": "fairlead", "sub": "alice", "iat": now, "exp": now + 60}
        made.update(more)
        return {name: value for name, value in made.items() if value is not None}

    def token(
        self,
        key: Any = RSA,
        alg: str = "RS256",
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        **more: Any,
    ) -> str:
        header = {"alg": alg, "kid": key.kid, **(header or {})}
        return sign(header, self.claims(**(more | (claims or {}))), key)


def sign(header: dict[str, Any], claims: object, key: Any) -> str:
    header = {name: value for name, value in header.items() if value is not None}
    registry = Everything(strict_check_header=False)
    return jws.serialize_compact(header, json.dumps(claims), key, registry=registry)


@pytest.mark.parametrize(
    ("key", "alg"),
    [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")],
)
async def test_a_good_token_names_its_caller(key: Any, alg: str) -> None:
    issuer = Issuer()
    token = issuer.token(key, alg, email="a@example.com", admin=True, roles=["x", "y"])
    caller = await issuer.identity().identify(token)
    assert caller.consumer == "alice"
    assert caller.scopes == {"ask", "read"}
    assert caller.expires_at == issuer.clock() + 60 + 3
    assert caller.credential.startswith("jwt:")
    assert caller.claims["email"] == "a@example.com"
    assert (caller.claims["admin"], caller.claims["roles"]) == ("true", "x y")
    assert token.rpartition(".")[2] not in repr(caller)


async def test_all_algorithms_that_may_be_allowed_work() -> None:
    issuer = Issuer()
    curves = {"ES384": "P-384", "ES512": "P-521"}
    for alg in ALGORITHMS:
        key: Any = EC if alg == "ES256" else ED if alg.startswith("Ed") else RSA
        if alg in curves:
            key = ECKey.generate_key(curves[alg], {"kid": alg})
        issuer.published = {"keys": [key.as_dict(private=False)]}
        caller = await issuer.identity(ALGORITHMS).identify(issuer.token(key, alg))
        assert caller.consumer == "alice", alg


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"iss": "https://evil.example/"}, "another issuer"),
        ({"iss": "https://login.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "somebody-else"}, "another audience"),
        ({"aud": ["a", 5, None]}, "another audience"),
        ({"aud": {"fairlead": 1}}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"exp": None}, "lacks 'exp'"),
        ({"exp": -3}, "'exp' of the token is no time"),
        ({"exp": "9999999999"}, "'exp' of the token is no time"),
        ({"exp": True}, "'exp' of the token is no time"),
        ({"exp": 1e300}, "'exp' of the token is no time"),
        ({"nbf": "soon"}, "'nbf' of the token is no time"),
        ({"sub": None}, "lacks the claim 'sub'"),
        ({"sub": ""}, "lacks the claim 'sub'"),
        ({"sub": 7}, "lacks the claim 'sub'"),
        ({"sub": "x" * 300}, "is no name"),
        ({"sub": "a\nb"}, "is no name"),
    ],
)
async def test_claims_that_are_not_good_are_named(change: dict[str, Any], said: str) -> None:
    issuer = Issuer()
    token = issuer.token(claims=change)
    with pytest.raises(Unauthenticated) as caught:
        await issuer.identity().identify(token)
    assert said in caught.value.message
    assert token not in caught.value.message


async def test_one_of_several_audiences_is_enough() -> None:
    issuer = Issuer()
    assert (await issuer.identity().identify(issuer.token(aud=["x", "other"]))).consumer == "alice"


@pytest.mark.parametrize(
    ("seconds", "good"),
    [
        ({"exp": -2.9}, True),
        ({"exp": -3}, False),
        ({"nbf": 2.9}, True),
        ({"nbf": 3.1}, False),
        ({"iat": 2.9}, True),
        ({"iat": 3.1}, False),
    ],
)
async def test_clocks_may_differ_by_the_leeway(seconds: dict[str, float], good: bool) -> None:
    issuer = Issuer()
    token = issuer.token(claims={name: issuer.clock() + by for name, by in seconds.items()})
    if good:
        assert (await issuer.identity().identify(token)).consumer == "alice"
    else:
        with pytest.raises(Unauthenticated):
            await issuer.identity().identify(token)


def public_pem() -> bytes:
    pem: bytes = RSA.as_pem(private=False)
    return pem


def hs(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{segment(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def forgeries(issuer: Issuer) -> dict[str, str]:
    """Tokens that somebody without the issuer's keys can make."""
    claims = issuer.claims(sub="admin")
    good = issuer.token()
    head, body, signature = good.split(".")
    modulus = json.dumps(RSA.as_dict(private=False)).encode()
    stolen_header = {"alg": "RS256", "kid": "rsa"}
    public = OTHER.as_dict(private=False)
    zeros = segment(bytes(64))
    return {
        "none": f"{segment({'alg': 'none'})}.{segment(claims)}.",
        "none, capitals": f"{segment({'alg': 'NONE', 'kid': 'rsa'})}.{segment(claims)}.",
        "none, signed": f"{segment({'alg': 'none'})}.{segment(claims)}.{signature}",
        "no alg": f"{segment({'kid': 'rsa'})}.{segment(claims)}.{signature}",
        "alg of another type": f"{segment({'alg': ['RS256']})}.{segment(claims)}.{signature}",
        "hs256, pem": hs({"alg": "HS256", "kid": "rsa"}, claims, public_pem()),
        "hs256, stripped": hs({"alg": "HS256", "kid": "rsa"}, claims, public_pem().strip()),
        "hs256, jwk": hs({"alg": "HS256", "kid": "rsa"}, claims, modulus),
        "hs256, empty": hs({"alg": "HS256"}, claims, b""),
        "hs256, no kid": hs({"alg": "HS256"}, claims, public_pem()),
        "rs256 named, hs256 made": hs(stolen_header, claims, public_pem()),
        "other claims": f"{head}.{segment(claims)}.{signature}",
        "other header": f"{segment({'alg': 'PS256', 'kid': 'rsa'})}.{body}.{signature}",
        "cut signature": good[:-8],
        "no signature": f"{head}.{body}.",
        "another key, same kid": sign(stolen_header, claims, OTHER),
        "another key, no kid": sign({"alg": "RS256"}, claims, OTHER),
        "key in the header": sign({"alg": "RS256", "jwk": public}, claims, OTHER),
        "address in the header": sign(
            {"alg": "RS256", "jku": "https://evil.example/jwks", "kid": "rsa"}, claims, OTHER
        ),
        "certificate in the header": sign(
            {"alg": "RS256", "x5u": "https://evil.example/", "x5c": ["AAAA"]}, claims, OTHER
        ),
        "critical": sign(
            {"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": False}, claims, RSA
        ),
        "unknown kid": sign({"alg": "RS256", "kid": "../../rsa"}, claims, RSA),
        "curve swapped": sign({"alg": "ES256", "kid": "ec"}, claims, ECKey.generate_key("P-256")),
        "encrypted": "aaaa.bbbb.cccc.dddd.eeee",
        "no object": sign(stolen_header, ["admin"], RSA),
        "no json": f"{head}.{segment(b'nothing')}.{signature}",
        "psychic": f"{segment({'alg': 'ES256', 'kid': 'ec'})}.{segment(claims)}.{zeros}",
        "too long": sign(stolen_header, claims | {"x": "y" * 20_000}, RSA),
        "bytes": "\udcff.\udcff.\udcff",
    }


@pytest.mark.parametrize("how", forgeries(Issuer()))
async def test_a_forged_token_is_refused(how: str) -> None:
    issuer = Issuer()
    token = forgeries(issuer)[how]
    with pytest.raises(Unauthenticated) as caught:
        await issuer.identity().identify(token)
    assert token not in caught.value.message


async def test_an_algorithm_that_is_not_allowed_is_refused_though_the_key_is_right() -> None:
    issuer = Issuer()
    with pytest.raises(Unauthenticated, match="taken: ES256"):
        await issuer.identity(("ES256",)).identify(issuer.token())


async def test_keys_that_could_sign_verify_nothing() -> None:
    shared = OctKey.generate_key(256, {"kid": "shared"})
    keys = public_keys(
        {
            "keys": [
                shared.as_dict(),
                RSA.as_dict(private=True),
                {**EC.as_dict(private=False), "use": "enc"},
                {"kty": "RSA"},
                {"kty": "AKP", "pub": "x"},
                {"kty": "EC", "crv": "P-256", "x": "!", "y": 5},
                "no key",
                ED.as_dict(private=False),
            ]
        }
    )
    assert [key.kid for key in keys] == ["ed"]
    nonsense: list[Any] = [{}, [], {"keys": {}}, None, "x"]
    for wrong in nonsense:
        with pytest.raises(IdentityUnavailable):
            public_keys(wrong)


async def test_a_key_that_the_issuer_takes_into_use_is_found() -> None:
    issuer = Issuer()
    identity = issuer.identity()
    new = RSAKey.generate_key(2048, {"kid": "new"})
    assert (await identity.identify(issuer.token())).consumer == "alice"
    with pytest.raises(Unauthenticated):
        await identity.identify(issuer.token(new))
    assert issuer.loads == 1, "it was loaded a moment ago"
    issuer.moment += 10
    issuer.published = {"keys": [new.as_dict(private=False)]}
    assert (await identity.identify(issuer.token(new))).consumer == "alice"
    assert issuer.loads == 2
    with pytest.raises(Unauthenticated):
        await identity.identify(issuer.token())


async def test_tokens_that_name_unknown_keys_do_not_make_it_ask_and_ask() -> None:
    issuer = Issuer()
    identity = issuer.identity()
    for n in range(100):
        issuer.moment += 0.1
        with pytest.raises(Unauthenticated):
            await identity.identify(issuer.token(header={"kid": f"unknown {n}"}))
    assert issuer.loads == 1
    issuer.moment += 1
    with pytest.raises(Unauthenticated):
        await identity.identify(issuer.token(header={"kid": "unknown"}))
    assert issuer.loads == 2


async def test_old_keys_serve_on_while_the_issuer_is_silent_but_not_for_ever() -> None:
    issuer = Issuer()
    identity = issuer.identity()
    assert (await identity.identify(issuer.token())).consumer == "alice"
    issuer.down = True
    issuer.moment += 300
    assert (await identity.identify(issuer.token())).consumer == "alice"
    assert issuer.loads == 2
    issuer.moment += STALE + 10
    with pytest.raises(IdentityUnavailable):
        await identity.identify(issuer.token())
    issuer.down = False
    issuer.moment += 10
    assert (await identity.identify(issuer.token())).consumer == "alice"


async def test_while_no_key_was_ever_had_it_says_so_and_asks_now_and_then() -> None:
    issuer = Issuer()
    issuer.down = True
    identity = issuer.identity()
    for _ in range(20):
        with pytest.raises(IdentityUnavailable) as caught:
            await identity.identify(issuer.token())
        assert caught.value.retryable
        issuer.moment += 0.6
    assert issuer.loads == 2


async def test_a_withdrawn_key_is_good_no_more_once_the_keys_are_loaded_anew() -> None:
    issuer = Issuer()
    identity = issuer.identity()
    assert (await identity.identify(issuer.token())).consumer == "alice"
    issuer.published = {"keys": [EC.as_dict(private=False)]}
    assert (await identity.identify(issuer.token())).consumer == "alice"
    issuer.moment += 300
    with pytest.raises(Unauthenticated, match="signature"):
        await identity.identify(issuer.token())


async def test_a_token_that_is_known_is_judged_all_the_same() -> None:
    issuer = Issuer()
    identity = issuer.identity()
    token = issuer.token()
    other = f"{token.rpartition('.')[0]}.{issuer.token(sub='bob').rpartition('.')[2]}"
    for _ in range(3):
        assert (await identity.identify(token)).consumer == "alice"
        with pytest.raises(Unauthenticated, match="signature"):
            await identity.identify(other)
    # Nor does it outlive its key, or itself.
    issuer.published = {"keys": [EC.as_dict(private=False)]}
    issuer.moment += 300
    with pytest.raises(Unauthenticated, match="signature"):
        await identity.identify(token)
    issuer = Issuer()
    identity = issuer.identity()
    token = issuer.token()
    await identity.identify(token)
    issuer.clock.advance(100)
    with pytest.raises(Unauthenticated, match="expired"):
        await identity.identify(token)


async def test_more_tokens_than_are_remembered_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.identity.jwt._REMEMBERED", 2)
    issuer = Issuer()
    identity = issuer.identity()
    tokens = {name: issuer.token(sub=name) for name in ("ann", "bob", "eve")}
    for _ in range(2):
        for name, token in tokens.items():
            assert (await identity.identify(token)).consumer == name
    assert len(identity._signatures) == 2


async def test_other_rules_end_what_was_judged_by_these() -> None:
    issuer = Issuer()
    before = issuer.identity(grants={"a": frozenset({"admin", "ask"}), "b": frozenset({"read"})})
    same = issuer.identity(grants={"b": frozenset({"read"}), "a": frozenset({"ask", "admin"})})
    other = issuer.identity()
    credential = (await before.identify(issuer.token())).credential
    assert await before.ended({credential, "key:x"}) == {}
    assert await same.ended({credential}) == {}
    assert (await other.ended({credential, "key:x"})).keys() == {credential}


async def test_claims_grant_scopes_by_the_operators_rules() -> None:
    issuer = Issuer()
    identity = issuer.identity(
        consumer=("client.id", "sub"),
        prefix="sso:",
        scope="realm_access.roles",
        scopes=frozenset(),
        grants={"staff": frozenset({"ask", "read"}), "root": frozenset({"admin"})},
    )
    token = issuer.token(realm_access={"roles": ["staff", "root", 5]}, client={"id": "web"})
    caller = await identity.identify(token)
    assert caller.consumer == "sso:web"
    assert caller.scopes == {"ask", "read", "admin"}
    assert (await identity.identify(issuer.token(realm_access={"roles": ["staff"]}))).scopes == {
        "ask",
        "read",
    }
    for nothing in ({}, {"roles": "x"}, {"roles": 5}, "staff", None):
        with pytest.raises(Unauthenticated, match="allows nothing"):
            await identity.identify(issuer.token(realm_access=nothing))
    named = issuer.identity(scope="https://example.com/roles", grants={"a": frozenset({"admin"})})
    assert (
        "admin"
        in (await named.identify(issuer.token(claims={"https://example.com/roles": "b a"}))).scopes
    )
