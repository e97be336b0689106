"""The doors: every way in which a caller may be known, put together from the configuration."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from fairlead.errors import IdentityUnavailable, Misconfigured
from fairlead.identity.algorithms import LEEWAY, USUAL
from fairlead.identity.chain import Chain, Recognise, Ways
from fairlead.identity.client_secrets import ClientSecrets
from fairlead.identity.introspection import Introspection, IntrospectionRules
from fairlead.identity.issuer import Client, Discovery
from fairlead.identity.jwks import Jwks, public_keys
from fairlead.identity.jwt import JwtIdentity, JwtRules
from fairlead.identity.oidc import Login, LoginRules
from fairlead.identity.own import OwnIdentity
from fairlead.identity.sessions import SessionIdentity
from fairlead.identity.static_keys import StaticKey, StaticKeys
from fairlead.identity.stored_keys import StoredKeys
from fairlead.identity.tickets import TicketIdentity
from fairlead.policy.caller import ANONYMOUS
from fairlead.ports.identity import Identity
from fairlead.ports.keys import Keys
from fairlead.server.config import Config
from fairlead.stores.memory_keys import MemoryKeys
from fairlead.stores.memory_sessions import MemorySessions
from fairlead.stores.memory_tickets import MemoryTickets
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_keys import SqliteKeys
from fairlead.stores.sqlite_sessions import SqliteSessions
from fairlead.stores.sqlite_tickets import SqliteTickets


class Prepared(NamedTuple):
    """What another configuration says of callers, ready to be gone by."""

    ways: Ways
    login: Login | None
    cookie: str


class Doors(msgspec.Struct, kw_only=True):
    """``identity`` names callers, and knows what has ended. ``login``: with a browser; None: there
    is none. ``cookie`` names the one that holds a session's credential; empty: none does. A reload
    puts others of these two into it. ``secret`` is the deployment's."""

    identity: Chain | OwnIdentity
    keys: Keys
    tickets: TicketIdentity
    secrets: ClientSecrets
    sessions: SessionIdentity
    login: Login | None
    cookie: str
    client: Client
    secret: bytes

    async def any_stored(self) -> bool:
        """Whether API keys were made in the data folder."""
        return isinstance(self.identity, Chain) and await self.identity.any_stored()

    async def prepared(
        self, config: Config, current: Config, plugins: Mapping[str, Recognise]
    ) -> Prepared:
        """What ``config`` and its ``plugins`` say of callers, for :meth:`change`; ``current`` is in
        force. Raises :class:`~fairlead.errors.Misconfigured`."""
        old = self.identity.ways if isinstance(self.identity, Chain) else None
        ways = await _ways(config, self.client, plugins, current, old)
        login = self.login
        if config.oidc != current.oidc:
            login = _login(config, self.client, self.sessions, self.secret)
        return Prepared(ways, login, _cookie(config))

    def change(self, prepared: Prepared) -> None:
        """Know callers so from now on; who logged in under other rules has to do so again. A
        program's own identity stays."""
        if isinstance(self.identity, Chain):
            self.identity.change(prepared.ways)
        self.login, self.cookie = prepared.login, prepared.cookie
        self.sessions.rule = None if self.login is None else self.login.rule


async def open_doors(
    config: Config,
    stack: AsyncExitStack,
    *,
    gateway: SqliteGateway | None,
    secret: bytes,
    plugins: Mapping[str, Recognise] = MappingProxyType({}),
    own: Identity | None = None,
) -> Doors:
    """The doors that ``config`` describes; ``stack`` closes them. ``gateway``: the file that holds
    keys, sessions and tickets; None: they are in memory. ``secret`` is the deployment's.
    ``plugins`` know callers besides. A program's ``own`` identity stands in for all but the
    tickets and client secrets."""
    if own is not None and plugins:
        raise Misconfigured(
            f"plugins: {', '.join(plugins)}: the program has an identity of its own, which nobody "
            "is asked beside",
            setting="plugins",
        )
    keys: Keys = MemoryKeys() if gateway is None else SqliteKeys(gateway)
    stores = (
        keys,
        kept_sessions := MemorySessions() if gateway is None else SqliteSessions(gateway),
        kept_tickets := MemoryTickets() if gateway is None else SqliteTickets(gateway),
    )
    for store in stores:
        await store.open()
    tickets, sessions = TicketIdentity(kept_tickets), SessionIdentity(kept_sessions)
    secrets = ClientSecrets(kept_tickets)
    client = Client()
    stack.push_async_callback(client.close)
    login = _login(config, client, sessions, secret)
    sessions.rule = None if login is None else login.rule
    if own is not None:
        identity: Chain | OwnIdentity = OwnIdentity(own, tickets, secrets)
    else:
        chain = Chain(
            stored=StoredKeys(keys),
            sessions=sessions,
            tickets=tickets,
            secrets=secrets,
            ways=await _ways(config, client, plugins),
        )
        stack.push_async_callback(chain.close)
        identity = chain
    return Doors(
        identity=identity,
        keys=keys,
        tickets=tickets,
        secrets=secrets,
        sessions=sessions,
        login=login,
        cookie=_cookie(config),
        client=client,
        secret=secret,
    )


async def _ways(
    config: Config,
    client: Client,
    plugins: Mapping[str, Recognise],
    current: Config | None = None,
    old: Ways | None = None,
) -> Ways:
    """What a configuration says of callers. What is as in ``current`` is taken from ``old``, which
    knows keys and tokens already."""
    jwt = introspection = None
    if old is not None and current is not None and config.jwt == current.jwt:
        jwt = old.jwt
    elif config.jwt.issuer:
        jwt = await _jwt(config, client)
    if old is not None and current is not None and config.oauth2 == current.oauth2:
        introspection = old.introspection
    elif config.oauth2.label():
        introspection = _introspection(config, client)
    return Ways(
        StaticKeys([StaticKey(key.consumer, key.digest, key.scopes) for key in config.keys]),
        jwt,
        introspection,
        None if config.identified or plugins else ANONYMOUS,
        plugins,
    )


async def _jwt(config: Config, client: Client) -> JwtIdentity:
    table = config.jwt
    load = _from_issuer(client, table.issuer, table.jwks_url)
    if table.jwks_file:
        path = Path(table.jwks_file)
        load = _from_file(path)
        try:
            found = public_keys(await load())
        except IdentityUnavailable as error:
            raise Misconfigured(f"jwt: jwks_file: {error.message}", setting="jwt") from None
        if not found:
            raise Misconfigured(
                f"jwt: jwks_file: {path} holds no public key that can verify", setting="jwt"
            )
    rules = JwtRules(
        issuer=table.issuer,
        audiences=frozenset(table.audience),
        algorithms=frozenset(table.algorithms),
        leeway=table.leeway,
        claims=table.rules(),
    )
    return JwtIdentity(rules, Jwks(load, max_age=table.jwks_seconds, pause=table.jwks_pause))


def _introspection(config: Config, client: Client) -> Introspection:
    table = config.oauth2
    discovery = Discovery(client, table.issuer)

    async def ask(token: str) -> Any:
        url = table.introspection_url or await discovery.get("introspection_endpoint")
        form = {"token": token, "token_type_hint": "access_token"}
        return await client.post(url, form, table.client_id, table.client_secret.reveal())

    rules = IntrospectionRules(
        # A client's own token (RFC 6749, section 4.4) has no subject.
        claims=table.rules("client_id"),
        cache=table.cache_seconds,
        recheck=table.recheck_seconds,
        stale=table.stale_seconds,
        issuer=table.issuer,
        audiences=frozenset(table.audience),
        remembered=max(10_000, 2 * config.max_readers),
    )
    return Introspection(rules, ask)


def _cookie(config: Config) -> str:
    """The name of the cookie that holds a session's credential; empty: there are none."""
    if not config.oidc.issuer:
        return ""
    # The prefix: it was set by this host, over TLS, and for all its paths (RFC 6265bis, section
    # 4.1.3.2), so that no other host of the site can plant one.
    return "__Host-fairlead" if config.oidc.secure else "fairlead"


def _login(
    config: Config, client: Client, sessions: SessionIdentity, secret: bytes
) -> Login | None:
    table = config.oidc
    if not table.issuer:
        return None
    discovery = Discovery(client, table.issuer)
    rules = JwtRules(
        issuer=table.issuer,
        audiences=frozenset((table.client_id,)),
        algorithms=frozenset(USUAL),
        leeway=LEEWAY,
        claims=table.rules(),
    )
    return Login(
        LoginRules(
            issuer=table.issuer,
            client_id=table.client_id,
            client_secret=table.client_secret.reveal(),
            url=table.url,
            request_scopes=table.request_scopes,
            seconds=table.session_hours * 3600,
            claims=table.rules(),
        ),
        client=client,
        discovery=discovery,
        tokens=JwtIdentity(rules, Jwks(_from_issuer(client, table.issuer, ""))),
        sessions=sessions,
        secret=secret,
        entropy=os.urandom,
    )


def _from_issuer(client: Client, issuer: str, url: str) -> Callable[[], Awaitable[Any]]:
    discovery = Discovery(client, issuer)

    async def load() -> Any:
        return await client.get(url or await discovery.get("jwks_uri"))

    return load


def _from_file(path: Path) -> Callable[[], Awaitable[Any]]:
    def read() -> Any:
        try:
            return msgspec.json.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise IdentityUnavailable(
                f"{path} cannot be read as JSON ({type(error).__name__})"
            ) from None

    return lambda: asyncio.get_running_loop().run_in_executor(None, read)
