"""Tokens of a real OpenID provider: who holds them, and what becomes of what is open under them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from joserfc import jwt

from fairlead.testing.upstream import ScriptedUpstream
from tests.acceptance.conftest import Serve, serve, session, upstream
from tests.contract.readers import PROMISE, TOKENS, Reader, all_end, all_have, begin
from tests.contract.transports import TRANSPORTS, Place
from tests.support.ports import free_port
from tests.support.provider import AUDIENCE, Provider, key
from tests.support.server import ServerProcess

__all__ = ["serve", "session", "upstream"]

#: How long the tokens of the expiring kind last, in seconds: time enough to open every transport.
SHORT = 15


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


def configured(path: Path, provider: Provider) -> Path:
    file = path / "fairlead.toml"
    file.write_text(
        f"""
        [jwt]
        issuer = "{provider.issuer}"
        audience = ["{AUDIENCE}"]
        jwks_pause = 0.1
        leeway = 0
        grants = {{ admin = ["admin"] }}

        [oauth2]
        issuer = "{provider.issuer}"
        client_id = "gateway"
        client_secret_env = "GATEWAY_SECRET"
        """
    )
    return file


@pytest.fixture
async def server(
    serve: Serve, provider: Provider, tmp_path: Path
) -> AsyncGenerator[ServerProcess, None]:
    port = free_port()
    process = serve("--config", str(configured(tmp_path, provider)), "--grpc-port", str(port))
    process.env |= {"GATEWAY_SECRET": "the secret of gateway", "GRPC": str(port)}
    async with process as running:
        yield running


@pytest.fixture
async def place(server: ServerProcess, session: aiohttp.ClientSession) -> Place:
    return Place(server.url, int(server.env["GRPC"]), session)


async def me(place: Place, credential: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {credential}"}
    async with place.session.get(f"{place.url}/me", headers=headers) as response:
        found: dict[str, Any] = await response.json()
        return found


async def test_the_clients_own_tokens_name_it(
    place: Place, provider: Provider, session: aiohttp.ClientSession
) -> None:
    for signed in (True, False):
        found = await me(place, await provider.token(session, signed=signed))
        assert (found["consumer"], found["scopes"]) == ("batch", ["ask", "read"])
        assert found["by"] == ("jwt" if signed else "token")
        assert 0 < found["expires_at"] - time.time() <= 600
    root = await me(place, await provider.token(session, signed=True, scope="ask admin"))
    assert root["scopes"] == ["admin", "ask", "read"]
    for wrong in ("nonsense", "a.b.c"):
        assert (await me(place, wrong))["code"] == "unauthenticated"


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_forged_and_foreign_tokens_are_refused_and_leave_no_trace(
    place: Place, provider: Provider, session: aiohttp.ClientSession, server: ServerProcess
) -> None:
    good = await provider.token(session, signed=True)
    _, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    async with session.get(f"{provider.issuer}/jwks") as response:
        jwks = await response.text()
    pem = provider.key.as_pem(private=False)
    header = {"alg": "HS256", "kid": "first"}

    def swapped(secret: bytes) -> str:
        text = f"{segment(header)}.{segment(claims)}"
        mac = hmac.digest(secret, text.encode(), hashlib.sha256)
        return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def signed(by: Any = provider.key, **change: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": "first"}, claims | change, by)

    now = time.time()
    assert (await me(place, signed(sub="really me")))["consumer"] == "really me"
    forged = {
        "none": f"{segment({'alg': 'none'})}.{segment(claims)}.",
        "swapped, pem": swapped(pem),
        "swapped, jwks": swapped(jwks.encode()),
        "claims changed": f"{good.split('.')[0]}.{segment(claims | {'sub': 'root'})}.{signature}",
        "another key": signed(key("first")),
        "another audience": signed(aud="urn:another"),
        "another issuer": signed(iss="http://127.0.0.1:1"),
        "expired": signed(exp=now - 1),
        "from the future": signed(nbf=now + 60),
        "for ever": signed(exp=None),
    }
    for how, token in forged.items():
        assert (await me(place, token))["code"] == "unauthenticated", how
    text = json.dumps(server.logs)
    for token in (good, *forged.values()):
        assert token not in text
        assert token.split(".")[1] not in text


async def test_a_new_key_of_the_issuer_is_taken_and_its_old_one_no_more(
    place: Place, provider: Provider, session: aiohttp.ClientSession
) -> None:
    old = await provider.token(session, signed=True)
    assert (await me(place, old))["consumer"] == "batch"
    await provider.restart(key("second"))
    new = await provider.token(session, signed=True)
    assert (await me(place, new))["consumer"] == "batch"
    assert (await me(place, old))["code"] == "unauthenticated"


async def test_a_revoked_token_ends_its_readers_on_every_transport(
    place: Place, provider: Provider, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    stolen = await provider.token(session, signed=False)
    kept = await provider.token(session, signed=False)
    stream = await begin(place, stolen, upstream)
    readers = [Reader(place, stream, transport, stolen) for transport in TRANSPORTS]
    others = [Reader(place, stream, transport, kept) for transport in TRANSPORTS]
    upstream.release(3)
    await all_have(readers + others, "0 1 2 ")
    await provider.revoke(session, stolen)
    ends = await all_end(readers)
    assert {code for transport, code in ends.items() if transport != "poll"} == {"revoked"}
    assert ends["poll"] in ("revoked", "unauthenticated")
    upstream.release(len(TOKENS))
    await all_have(others, "".join(TOKENS))
    await asyncio.gather(*(reader.task for reader in others))
    assert {reader.last for reader in others} == {"done"}


async def test_streams_stay_open_while_the_provider_is_down(
    place: Place,
    server: ServerProcess,
    provider: Provider,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
) -> None:
    token = await provider.token(session, signed=False)
    signed = await provider.token(session, signed=True)
    assert (await me(place, signed))["consumer"] == "batch"  # the keys are known from now on
    stream = await begin(place, token, upstream)
    reader = Reader(place, stream, "sse", token)
    upstream.release(1)
    await reader.has("0 ")
    await provider.__aexit__(None, None, None)
    await server.wait_log(lambda line: line.get("event") == "token_not_confirmed")
    assert (await me(place, "another token"))["code"] == "identity_unavailable"
    assert (await me(place, signed))["consumer"] == "batch"
    upstream.release(len(TOKENS))
    await reader.has("".join(TOKENS))
    await reader.task
    assert reader.last == "done"


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "opaque"])
async def test_an_expired_token_ends_its_readers_on_every_transport(
    tmp_path: Path,
    serve: Serve,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    signed: bool,
) -> None:
    port = free_port()
    async with Provider(ttl=SHORT) as provider:
        process = serve("--config", str(configured(tmp_path, provider)), "--grpc-port", str(port))
        process.env["GATEWAY_SECRET"] = "the secret of gateway"
        async with process as server:
            place = Place(server.url, port, session)
            token = await provider.token(session, signed=signed)
            stream = await begin(place, token, upstream)
            readers = [Reader(place, stream, transport, token) for transport in TRANSPORTS]
            upstream.release(2)
            await all_have(readers, "0 1 ")
            async with asyncio.timeout(SHORT + PROMISE):
                await asyncio.gather(*(reader.task for reader in readers))
            # The provider may have said first that it is not good any more.
            assert {reader.code for reader in readers} <= {"unauthenticated", "revoked"}
            assert {reader.text for reader in readers} == {"0 1 "}


async def test_other_rules_hold_at_once_and_end_only_what_they_concern(
    place: Place,
    server: ServerProcess,
    provider: Provider,
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    tmp_path: Path,
) -> None:
    opaque = await provider.token(session, signed=False)
    signed = await provider.token(session, signed=True)
    stream = await begin(place, opaque, upstream)
    readers = {name: Reader(place, stream, "sse", t) for name, t in (("o", opaque), ("s", signed))}
    upstream.release(1)
    await all_have(list(readers.values()), "0 ")
    file = configured(tmp_path, provider)
    text = file.read_text()
    assert (await me(place, signed))["scopes"] == ["ask", "read"]

    async def reloaded(text: str) -> dict[str, Any]:
        since = len(server.logs)
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)
        return await server.wait_log(lambda line: line["event"].startswith("reload"), since=since)

    refused = await reloaded(text.replace(f'audience = ["{AUDIENCE}"]', ""))
    assert refused["event"] == "reload_refused"
    assert "audience is missing" in refused["error"]
    told = await reloaded(text.replace("grants = { admin", "grants = { ask"))
    assert told["changed"] == ["jwt"]
    assert (await me(place, signed))["scopes"] == ["admin", "ask", "read"]
    async with asyncio.timeout(PROMISE):
        await readers["s"].task
    assert readers["s"].code == "unauthenticated"
    told = await reloaded(
        text.replace('client_id = "gateway"', 'client_id = "gateway"\ncache_seconds = 0')
    )
    assert set(told["changed"]) == {"jwt", "oauth2"}
    upstream.release(len(TOKENS))
    await readers["o"].has("".join(TOKENS))
