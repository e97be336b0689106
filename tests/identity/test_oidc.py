"""A login at a provider that misbehaves, or that somebody else stands in for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from joserfc.jwk import RSAKey

from fairlead.errors import BadRequest, FairleadError, IdentityUnavailable, Unauthenticated
from fairlead.identity.claims import ClaimRules
from fairlead.identity.issuer import MAX_BYTES, Client, Discovery
from fairlead.identity.jwks import Jwks
from fairlead.identity.jwt import JwtIdentity, JwtRules
from fairlead.identity.oidc import PATIENCE, Login, LoginRules, is_path
from fairlead.identity.sessions import SessionIdentity
from fairlead.stores.memory_sessions import MemorySessions
from fairlead.testing.clock import Clock
from tests.identity.test_jwt import sign

KEY = RSAKey.generate_key(2048, {"kid": "k"})
OTHER = RSAKey.generate_key(2048, {"kid": "k"})


class Provider:
    """A provider that says what the test wants. ``form``: what it was last sent for a code."""

    def __init__(self) -> None:
        self.issuer = ""
        self.clock = Clock()
        self.nonce = ""
        self.signer: Any = KEY
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.token: Any = None
        self.userinfo: Any = None
        self.status = 200
        self.form: dict[str, str] = {}

    async def discovery(self, _: web.Request) -> web.Response:
        names = ("authorization", "token", "userinfo", "end_session")
        found = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in names}
        found |= {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **self.metadata}
        return web.json_response(found)

    async def jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [KEY.as_dict(private=False)]})

    async def redeem(self, request: web.Request) -> web.Response:
        self.form = {name: str(value) for name, value in (await request.post()).items()}
        self.form["authorization"] = request.headers.get("Authorization", "")
        if self.token is not None:
            return web.json_response(self.token, status=self.status)
        now = int(self.clock())
        claims = {
            "iss": self.issuer,
            "aud": "fairlead",
            "sub": "ann",
            "iat": now,
            "exp": now + 60,
            "nonce": self.nonce,
            "scope": "x",
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        id_token = sign({"alg": "RS256", "kid": "k"}, claims, self.signer)
        return web.json_response({"id_token": id_token, "access_token": "an access token"})

    async def info(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer an access token"
        return web.json_response(self.userinfo)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made.discovery)
    app.router.add_get("/jwks", made.jwks)
    app.router.add_post("/token", made.redeem)
    app.router.add_get("/userinfo", made.info)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.close()


class Kit:
    """A login, and the sessions that it makes."""

    def __init__(self, provider: Provider, client: Client, secret: str = "", **claims: Any) -> None:
        self.provider = provider
        self.sessions = SessionIdentity(MemorySessions(provider.clock), provider.clock)
        discovery = Discovery(client, provider.issuer)

        async def keys() -> Any:
            return await client.get(await discovery.get("jwks_uri"))

        rules = JwtRules(
            issuer=provider.issuer,
            audiences=frozenset({"fairlead"}),
            algorithms=frozenset({"RS256"}),
            leeway=3.0,
            claims=ClaimRules(**claims),
        )
        self.login = Login(
            LoginRules(
                issuer=provider.issuer,
                client_id="fairlead",
                client_secret=secret,
                url="https://chat.example",
                request_scopes=("openid",),
                seconds=3600,
                claims=ClaimRules(**claims),
            ),
            client=client,
            discovery=discovery,
            tokens=JwtIdentity(rules, Jwks(keys), provider.clock),
            sessions=self.sessions,
            secret=b"the deployment's secret",
            entropy=os.urandom,
            clock=provider.clock,
        )

    async def begin(self, back: str = "") -> tuple[str, dict[str, str]]:
        """The cookie, and what the provider is asked."""
        begun = await self.login.begin(back)
        query = {k: v[0] for k, v in parse_qs(urlsplit(begun.location).query).items()}
        self.provider.nonce = query["nonce"]
        return begun.cookie, query

    async def log_in(self) -> Any:
        cookie, query = await self.begin()
        done = await self.login.finish(cookie, {"state": query["state"], "code": "c"})
        return await self.sessions.identify(done.cookie)


@pytest.fixture
def kit(provider: Provider, client: Client) -> Kit:
    return Kit(provider, client)


async def test_a_good_login_makes_a_session(kit: Kit, provider: Provider) -> None:
    cookie, query = await kit.begin("/talk?x=1")
    assert query["redirect_uri"] == "https://chat.example/login/callback"
    done = await kit.login.finish(cookie, {"state": query["state"], "code": "c"})
    assert done.back == "/talk?x=1"
    caller = await kit.sessions.identify(done.cookie)
    assert (caller.consumer, caller.expires_at) == ("ann", provider.clock() + 3600)
    assert provider.form["client_id"] == "fairlead", "a public client names itself in the form"
    assert provider.form["authorization"] == ""
    # PKCE: who has seen the request cannot make the verifier of its challenge.
    assert provider.form["code_verifier"] not in (*query.values(), cookie)
    assert len(provider.form["code_verifier"]) >= 43
    assert (
        "https://chat.example/"
        in parse_qs(await kit.login.logout_url())["post_logout_redirect_uri"]
    )


async def test_a_client_with_a_secret_shows_it_as_oauth_wants(
    provider: Provider, client: Client
) -> None:
    await Kit(provider, client, secret="s:e c/r+et").log_in()
    assert provider.form["authorization"].startswith("Basic ")
    assert "client_id" not in provider.form
    assert "s:e" not in str(provider.form)


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another login's"},
        {"nonce": None},
        {"nonce": 5},
        {"aud": "another client"},
        {"aud": ["fairlead", "x"], "azp": "another client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"sub": None},
    ],
)
async def test_an_id_token_must_be_made_for_this_login(
    kit: Kit, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    with pytest.raises(Unauthenticated):
        await kit.log_in()


async def test_an_id_token_must_be_the_providers(kit: Kit, provider: Provider) -> None:
    provider.signer = OTHER
    with pytest.raises(Unauthenticated, match="signature"):
        await kit.log_in()


@pytest.mark.parametrize(
    ("token", "status", "error"),
    [
        ({}, 200, Unauthenticated),
        ([], 200, Unauthenticated),
        ({"id_token": None}, 200, Unauthenticated),
        ({"id_token": "x" * 100_000}, 200, Unauthenticated),
        ({"error": "invalid_grant"}, 400, Unauthenticated),
        ({"error": "invalid_client"}, 401, IdentityUnavailable),
        ({"error": "<script>"}, 400, IdentityUnavailable),
        ("x" * MAX_BYTES, 200, IdentityUnavailable),
        ({"x": 1}, 302, IdentityUnavailable),
    ],
)
async def test_other_answers_for_a_code_log_nobody_in(
    kit: Kit, provider: Provider, token: Any, status: int, error: type[FairleadError]
) -> None:
    provider.token, provider.status = token, status
    with pytest.raises(error) as caught:
        await kit.log_in()
    assert "script" not in caught.value.message


async def test_what_the_id_token_lacks_is_asked_for_and_must_be_about_the_same(
    provider: Provider, client: Client
) -> None:
    kit = Kit(provider, client, scope="groups", grants={"admins": frozenset({"admin"})})
    provider.userinfo = {"sub": "ann", "groups": ["admins"], "email": "a@example.com"}
    caller = await kit.log_in()
    assert "admin" in caller.scopes
    provider.userinfo = {"sub": "root", "groups": ["admins"]}
    assert "admin" not in (await kit.log_in()).scopes
    # What is signed goes before what is asked for.
    provider.userinfo = {"sub": "ann", "groups": ["admins"]}
    provider.claims = {"groups": ["nothing"]}
    assert "admin" not in (await kit.log_in()).scopes


async def test_another_issuers_metadata_are_not_taken(kit: Kit, provider: Provider) -> None:
    provider.metadata = {"issuer": "https://evil.example"}
    with pytest.raises(IdentityUnavailable, match="not of the issuer"):
        await kit.login.begin()
    provider.metadata = {"authorization_endpoint": "javascript:alert(1)"}
    with pytest.raises(IdentityUnavailable, match="names no authorization_endpoint"):
        await kit.login.begin()


async def test_a_login_has_to_be_finished_in_time(kit: Kit, provider: Provider) -> None:
    cookie, query = await kit.begin()
    provider.clock.advance(PATIENCE)
    with pytest.raises(BadRequest, match="within 600 s"):
        await kit.login.finish(cookie, {"state": query["state"], "code": "c"})


def test_only_paths_of_this_server_are_led_back_to() -> None:
    for good in ("/", "/a", "/a?b=c&d=//e", "/a//b", "/ws%20"):
        assert is_path(good), good
    bad = ["", "a", "//a", "/\\a", "\\/a", "https://a", "/a\nb", "/é", "/a\\b", "/" + "x" * 1000]
    for path in bad:
        assert not is_path(path), path
