"""The configuration: every setting of a server and its default.

What each means and may be stands in :mod:`fairlead.server.values`, by the headings that they stand
under. One table serves all: a field with a description is a setting, with a flag, an environment
variable and a key in the file (:mod:`fairlead.server.settings`).
:func:`fairlead.server.sources.load` reads those; nothing else in the package reads files or the
environment for configuration.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import msgspec

from fairlead.errors import Misconfigured
from fairlead.framing.message import MAX_HEAD
from fairlead.policy.attachments import DEFAULT_TYPES
from fairlead.server.settings import Secret, Setting, settings_of, show
from fairlead.server.tables.budget import unpriced
from fairlead.server.tables.jwt import Jwt
from fairlead.server.tables.oauth2 import OAuth2
from fairlead.server.tables.oidc import Oidc
from fairlead.server.tables.route import check_routing
from fairlead.server.tables.table import Table
from fairlead.server.tables.traces import Traces
from fairlead.server.tables.upstream import Upstream
from fairlead.server.tables.upstream import address as safe_address
from fairlead.server.values import (
    address,
    answers,
    connections,
    identity,
    limits,
    log,
    protection,
    storage,
)

#: How a model is added, and what is said to those who have none yet.
ADD_A_MODEL = "fairlead serve --upstream http://127.0.0.1:11434/v1 --model llama3.2"
NO_MODEL = (
    f"No model is configured: answers are quoted from the documents. Add one with: {ADD_A_MODEL}"
)

#: What the upstream of the short form (``--upstream``) is called.
SHORT = "upstream"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A complete, checked configuration.

    Raises :class:`~fairlead.errors.Misconfigured` for a value that cannot be. ``origins`` tells
    where each value came from, by name; what is missing there is a default.
    """

    host: address.Host = "127.0.0.1"
    port: address.Port = 8000
    grpc_port: address.GrpcPort = 0
    base_path: address.BasePath = ""
    cors_origins: address.CorsOrigins = ()
    hosts: address.Hosts = ()

    insecure: identity.Insecure = False
    keys: identity.Keys = ()
    jwt: identity.Jwt = Jwt()
    oauth2: identity.Oauth2 = OAuth2()
    oidc: identity.Oidc = Oidc()

    trusted_proxies: protection.TrustedProxies = ()
    proxy_header: protection.ProxyHeader = "x-forwarded-for"
    allow_addresses: protection.AllowAddresses = ()
    deny_addresses: protection.DenyAddresses = ()
    rules: protection.Rules = ()
    max_connections: protection.MaxConnections = 20_000
    max_connections_each: protection.MaxConnectionsEach = 1000
    max_idle_each: protection.MaxIdleEach = 100
    head_timeout: protection.HeadTimeout = 10.0

    upstream: answers.Upstream = ""
    model: answers.Model = ""
    upstream_key: answers.UpstreamKey = Secret()
    upstreams: answers.Upstreams = ()
    routes: answers.Routes = ()
    aliases: answers.Aliases = ()
    apps: answers.Apps = ()
    plugins: answers.Plugins = ()
    knowledge: answers.Knowledge = True
    vendor_documents: answers.VendorDocuments = False
    documents: answers.Documents = ()
    extractive_pace: answers.ExtractivePace = 0.015

    data_dir: storage.DataDir
    durability: storage.Durability = "process"
    retention_days: storage.RetentionDays = 30.0
    retention_stream_bytes: storage.RetentionStreamBytes = 256 << 20

    max_readers: limits.MaxReaders = 1000
    max_readers_each: limits.MaxReadersEach = 0
    max_sockets_each: limits.MaxSocketsEach = 0
    max_generations: limits.MaxGenerations = 200
    max_generations_each: limits.MaxGenerationsEach = 0
    queue: limits.Queue = 100
    queue_each: limits.QueueEach = 20
    queue_wait: limits.QueueWait = 60.0
    consumers: limits.Consumers = ()
    budgets: limits.Budgets = ()
    prices: limits.Prices = ()
    tokenizer: limits.Tokenizer = ""
    max_body_bytes: limits.MaxBodyBytes = 1 << 20
    max_prompt_chars: limits.MaxPromptChars = 100_000
    max_event_bytes: limits.MaxEventBytes = 1 << 20
    attachment_types: limits.AttachmentTypes = DEFAULT_TYPES
    max_attachments: limits.MaxAttachments = 8
    max_attachment_bytes: limits.MaxAttachmentBytes = 5 << 20
    max_attached_bytes: limits.MaxAttachedBytes = 10 << 20
    deadline: limits.Deadline = 3600.0
    orphan_window: limits.OrphanWindow = 60.0
    page_background: limits.PageBackground = True

    heartbeat: connections.Heartbeat = 30.0
    stall_timeout: connections.StallTimeout = 30.0
    retry: connections.Retry = 5.0
    realtime_seconds: connections.RealtimeSeconds = 3600.0
    drain_grace: connections.DrainGrace = 30.0
    compression: connections.Compression = "off"
    websocket_deflate: connections.WebsocketDeflate = False
    direct: connections.Direct = True

    metrics_addresses: log.MetricsAddresses = ()
    traces: log.Traces = Traces()
    log_format: log.LogFormat = "auto"
    log_level: log.LogLevel = "info"

    origins: dict[str, str] = {}

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            if not setting.fits(getattr(self, setting.name)):
                raise Misconfigured(
                    f"{setting.name}: it must be {setting.expects()}", setting=setting.name
                )
        for name in BY_NAME:
            if wrong := check(name, getattr(self, name)):
                raise Misconfigured(f"{name}: {wrong}", setting=name)
        _check_together(self)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def answerers(self) -> tuple[Upstream, ...]:
        """All upstreams, that of the short form first; none: the embedded answerer answers."""
        if not self.upstream:
            return self.upstreams
        short = Upstream(
            name=SHORT,
            base_url=self.upstream,
            models=(self.model,),
            api_key=self.upstream_key,
            # There is nobody else to ask: resting would only put another error before its own.
            breaker_failures=0,
        )
        return (short, *self.upstreams)

    @property
    def max_ask_bytes(self) -> int:
        """The largest body of a request that asks: its attachments come in base64."""
        attached = self.max_attached_bytes if self.max_attachments else 0
        return self.max_body_bytes + -(-attached // 3) * 4

    @property
    def max_message_bytes(self) -> int:
        """The largest message of a WebSocket: an attachment has one to itself."""
        attached = self.max_attachment_bytes + MAX_HEAD + 1 if self.max_attachments else 0
        return max(self.max_body_bytes, attached)

    @property
    def identified(self) -> bool:
        """Whether callers need a credential, by this configuration."""
        return bool(self.keys or self.jwt.issuer or self.oauth2.label() or self.oidc.issuer)

    def check_serving(self, *, stored_keys: bool = False, by_plugin: bool = True) -> None:
        """Raise :class:`~fairlead.errors.Misconfigured` for what no server must be started with: a
        public address that anybody may use, or a named secret that is not in the environment.
        ``stored_keys``: whether API keys were made in the data folder. ``by_plugin``: whether one
        of the plugins knows callers, which is only known once they are loaded."""
        for setting in SETTINGS:
            for table in self.tables(setting.name):
                if lacks := table.lacks():
                    raise Misconfigured(
                        f"{setting.name}: {table.label()}: {lacks}", setting=setting.name
                    )
        offered: dict[str, list[str]] = {}
        for upstream in self.answerers:
            for model in upstream.models:
                offered.setdefault(model, []).append(upstream.name)
        # Which of the plugins is a model is known once they are loaded.
        plugins = [plugin.label() for plugin in self.plugins]
        if wrong := check_routing(offered, plugins, self.routes, self.aliases):
            raise Misconfigured(wrong, setting=wrong.partition(":")[0])
        identified = self.identified or stored_keys or (by_plugin and bool(self.plugins))
        if not (self.loopback or identified or self.insecure):
            origin = self.origins.get("host", "default")
            raise Misconfigured(
                f"host: {self.host} ({origin}) can be reached by others, and no API key is set. "
                "Make one with 'fairlead keys create', or set FAIRLEAD_API_KEYS=name=secret, or "
                "listen on 127.0.0.1, or allow everybody with --insecure",
                setting="host",
            )

    def tables(self, name: str) -> tuple[Table, ...]:
        """The tables of a setting that is written as one or several; none of any other."""
        value = getattr(self, name)
        tables = value if isinstance(value, tuple) else (value,)
        return tuple(table for table in tables if isinstance(table, Table))

    def effective(self) -> list[Row]:
        """Every setting with its value, secrets masked, and where it came from."""
        return list(self._rows())

    def _rows(self) -> Iterator[Row]:
        for setting in SETTINGS:
            value = getattr(self, setting.name)
            if setting.table is not None:
                shown = ", ".join(table.summary() for table in self.tables(setting.name))
            elif setting.name == "upstream":
                shown = safe_address(value)
            else:
                shown = show(value, setting.extra("unit"))
            yield Row(setting.name, shown, self.origins.get(setting.name, "default"))


class Row(msgspec.Struct, frozen=True):
    """A setting as it is in force. ``value`` holds no secret."""

    name: str
    value: str
    origin: str


SETTINGS: tuple[Setting, ...] = settings_of(Config)
BY_NAME = {setting.name: setting for setting in SETTINGS}


def is_loopback(host: str) -> bool:
    """Whether the address is this machine's own. A name other than ``localhost`` is taken to be
    public: what it stands for can change."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check(name: str, value: Any) -> str:
    """What is wrong with the value of this setting, and what would be right; empty: nothing."""
    table: type[Table] | None = BY_NAME[name].table
    if table is not None:
        tables = value if isinstance(value, tuple) else (value,)
        return table.check(tuple(each for each in tables if isinstance(each, Table)))
    checker = BY_NAME[name].extra("check", None)
    return checker(value) if checker is not None else ""


def _check_together(config: Config) -> None:
    if config.proxy_header == "proxy-protocol" and not config.trusted_proxies:
        raise Misconfigured(
            "trusted_proxies: with the PROXY protocol only these may connect, and none is named",
            setting="trusted_proxies",
        )
    if config.grpc_port and config.grpc_port == config.port:
        raise Misconfigured(
            f"grpc_port: {config.port} is the main port already; take another one",
            setting="grpc_port",
        )
    offered = {model for upstream in config.upstreams for model in upstream.models}
    if config.upstream and not config.model:
        raise Misconfigured(
            "model: an upstream is set, but not which model to ask; add --model NAME",
            setting="model",
        )
    if config.upstream and any(each.name == SHORT for each in config.upstreams):
        raise Misconfigured(
            f"upstreams: {SHORT!r} is the name of the one that --upstream gives; take another one",
            setting="upstreams",
        )
    if config.model and not config.upstream and config.model not in offered:
        which = f"offered are {', '.join(sorted(offered))}" if offered else "add --upstream URL"
        raise Misconfigured(
            f"model: no upstream offers {config.model[:80]!r}; {which}", setting="model"
        )
    answering = {model for upstream in config.answerers for model in upstream.models}
    answering |= {app.name for app in config.apps if app.metered}
    if wrong := unpriced(config.budgets, config.prices, answering):
        raise Misconfigured(wrong, setting="prices")
