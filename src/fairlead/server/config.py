"""The configuration: every setting of a server, its default and what it may be.

One table serves all: a field with a description is a setting, with a flag, an environment variable
and a key in the file (:mod:`fairlead.server.settings`). :func:`fairlead.server.sources.load` reads
those; nothing else in the package reads files or the environment for configuration.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fairlead.errors import Misconfigured
from fairlead.framing.message import MAX_HEAD
from fairlead.policy.addresses import Networks
from fairlead.policy.attachments import DEFAULT_TYPES, MEDIA_TYPE
from fairlead.server.settings import Secret, Setting, settings_of, show
from fairlead.server.tables.app import App
from fairlead.server.tables.budget import BudgetTable, PriceTable, unpriced
from fairlead.server.tables.consumer import Consumer
from fairlead.server.tables.jwt import Jwt
from fairlead.server.tables.key import Key
from fairlead.server.tables.oauth2 import OAuth2
from fairlead.server.tables.oidc import Oidc
from fairlead.server.tables.plugin import PluginTable
from fairlead.server.tables.route import AliasTable, RouteTable, check_routing
from fairlead.server.tables.rule import Rule
from fairlead.server.tables.table import Table
from fairlead.server.tables.traces import Traces
from fairlead.server.tables.upstream import Upstream, address, check_url

#: How a model is added, and what is said to those who have none yet.
ADD_A_MODEL = "fairlead serve --upstream http://127.0.0.1:11434/v1 --model llama3.2"
NO_MODEL = (
    f"No model is configured: answers are quoted from the documents. Add one with: {ADD_A_MODEL}"
)

#: What the upstream of the short form (``--upstream``) is called.
SHORT = "upstream"

_DAY = 24 * 3600.0
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")


def _meta(group: str, description: str, **more: Any) -> msgspec.Meta:
    limits = {name: more.pop(name) for name in ("gt", "ge", "le") if name in more}
    return msgspec.Meta(description=description, extra={"group": group, **more}, **limits)


_SECONDS = {"unit": "seconds", "le": 7 * _DAY}
_BYTES = {"unit": "bytes", "ge": 1024, "le": 1 << 40}
_TABLE = {"flag": False, "env": ""}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A complete, checked configuration.

    Raises :class:`~fairlead.errors.Misconfigured` for a value that cannot be. ``origins`` tells
    where each value came from, by name; what is missing there is a default.
    """

    host: Annotated[str, _meta("Address", "Address to listen on; loopback unless told.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _meta("Address", "Port; 0 takes any free one.", ge=0, le=65535)] = 8000
    grpc_port: Annotated[
        int, _meta("Address", "Port for gRPC (HTTP/2, cleartext); 0: none.", ge=0, le=65535)
    ] = 0
    base_path: Annotated[
        str, _meta("Address", "Path that a proxy puts before every address, such as /api.")
    ] = ""
    cors_origins: Annotated[
        tuple[str, ...],
        _meta("Address", "Web pages that may call this server, such as https://app.example."),
    ] = ()
    insecure: Annotated[
        bool, _meta("Identity", "Serve a public address although everybody may ask.")
    ] = False
    keys: Annotated[
        tuple[Key, ...],
        _meta(
            "Identity",
            "API keys, as consumer=secret,… (the variable), or as [[keys]] in the file.",
            flag=False,
            env="FAIRLEAD_API_KEYS",
            why="flags show in process lists; use the variable FAIRLEAD_API_KEYS",
        ),
    ] = ()
    jwt: Annotated[
        Jwt,
        _meta(
            "Identity",
            "Signed tokens of an issuer, as [jwt] in the file.",
            why="several values belong together: write [jwt] in the configuration file",
            **_TABLE,
        ),
    ] = Jwt()
    oauth2: Annotated[
        OAuth2,
        _meta(
            "Identity",
            "Opaque tokens, by asking their issuer, as [oauth2] in the file.",
            why="several values belong together: write [oauth2] in the configuration file",
            **_TABLE,
        ),
    ] = OAuth2()
    oidc: Annotated[
        Oidc,
        _meta(
            "Identity",
            "Logging in with a browser, as [oidc] in the file.",
            why="several values belong together: write [oidc] in the configuration file",
            **_TABLE,
        ),
    ] = Oidc()

    trusted_proxies: Annotated[
        tuple[str, ...],
        _meta("Protection", "Addresses of proxies that are believed whom they speak for."),
    ] = ()
    proxy_header: Annotated[
        Literal["x-forwarded-for", "forwarded", "proxy-protocol"],
        _meta("Protection", "Where these say it; nothing else is looked at."),
    ] = "x-forwarded-for"
    allow_addresses: Annotated[
        tuple[str, ...],
        _meta("Protection", "Networks that may use this server; none given: all."),
    ] = ()
    deny_addresses: Annotated[
        tuple[str, ...], _meta("Protection", "Networks that may not, such as 203.0.113.0/24.")
    ] = ()
    rules: Annotated[
        tuple[Rule, ...],
        _meta(
            "Protection",
            "Which requests may come in, and how often.",
            why="several values belong together: write [[rules]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    max_connections: Annotated[
        int, _meta("Protection", "Connections at once; 0: no cap.", ge=0, le=10_000_000)
    ] = 20_000
    max_connections_each: Annotated[
        int,
        _meta(
            "Protection",
            "Connections from one address, but this machine and trusted proxies; 0: no cap.",
            ge=0,
            le=10_000_000,
        ),
    ] = 1000
    head_timeout: Annotated[
        float,
        _meta("Protection", "How long the head of a request may take.", gt=0, **_SECONDS),
    ] = 10.0

    upstream: Annotated[
        str,
        _meta("Answers", "A model server's base URL, such as http://127.0.0.1:11434/v1."),
    ] = ""
    model: Annotated[
        str, _meta("Answers", "The model to ask there; with [[upstreams]], the default model.")
    ] = ""
    upstream_key: Annotated[
        Secret,
        _meta(
            "Answers",
            "The API key for it.",
            flag=False,
            file=False,
            why="flags show in process lists and files get shared; "
            "use the variable FAIRLEAD_UPSTREAM_KEY",
        ),
    ] = Secret()
    upstreams: Annotated[
        tuple[Upstream, ...],
        _meta(
            "Answers",
            "Several model servers, each with name, base_url, models, api_key_env, …",
            why="several values belong together: write [[upstreams]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    routes: Annotated[
        tuple[RouteTable, ...],
        _meta(
            "Answers",
            "Which upstreams and models the questions of some callers go to.",
            why="several values belong together: write [[routes]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    aliases: Annotated[
        tuple[AliasTable, ...],
        _meta(
            "Answers",
            "Other names for models.",
            why="several values belong together: write [[aliases]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    apps: Annotated[
        tuple[App, ...],
        _meta(
            "Answers",
            "Applications of your own behind Fairlead, each at a path.",
            why="several values belong together: write [[apps]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    plugins: Annotated[
        tuple[PluginTable, ...],
        _meta(
            "Answers",
            'Your own parts of the server, such as "./pii.py:Mask", in their order.',
            why="they belong together with their options: write plugins in the configuration file",
            **_TABLE,
        ),
    ] = ()
    knowledge: Annotated[bool, _meta("Answers", "Search the documents before answering.")] = True
    vendor_documents: Annotated[
        bool,
        _meta(
            "Answers",
            "Do so for questions in a vendor's dialect (OpenAI's), too, if an upstream answers.",
        ),
    ] = False
    documents: Annotated[
        tuple[Path, ...],
        _meta("Answers", "Files and folders to take in at the start.", separator=":"),
    ] = ()
    extractive_pace: Annotated[
        float,
        _meta(
            "Answers",
            "Pause between the tokens of the embedded answerer.",
            unit="seconds",
            ge=0,
            le=10,
        ),
    ] = 0.015

    data_dir: Annotated[
        Path,
        _meta(
            "Storage",
            "Folder of all that is kept: $XDG_DATA_HOME/fairlead, else ~/.local/share/fairlead.",
            shown="in your home",
        ),
    ]
    durability: Annotated[
        Literal["memory", "process", "power"],
        _meta("Storage", "What an answer survives: nothing, a killed process, a power cut."),
    ] = "process"
    retention_days: Annotated[
        float,
        _meta("Storage", "How long finished answers are kept.", unit="days", gt=0, le=36500),
    ] = 30.0
    retention_stream_bytes: Annotated[
        int, _meta("Storage", "How much of one answer is kept, newest first.", **_BYTES)
    ] = 256 << 20

    max_readers: Annotated[
        int, _meta("Limits", "Connections that read answers at once.", ge=1, le=10_000_000)
    ] = 1000
    max_readers_each: Annotated[
        int, _meta("Limits", "Of these, one consumer's; 0: no cap.", ge=0, le=10_000_000)
    ] = 0
    max_sockets_each: Annotated[
        int,
        _meta(
            "Limits",
            "WebSockets of one consumer at once, whether they read or not; 0: no cap.",
            ge=0,
            le=10_000_000,
        ),
    ] = 0
    max_generations: Annotated[
        int, _meta("Limits", "Answers being written at once.", ge=1, le=1_000_000)
    ] = 200
    max_generations_each: Annotated[
        int,
        _meta(
            "Limits",
            "Answers of one consumer at once; 0: all there is room for.",
            ge=0,
            le=1_000_000,
        ),
    ] = 0
    queue: Annotated[
        int, _meta("Limits", "Questions that wait for room; 0: none does.", ge=0, le=100_000)
    ] = 100
    queue_each: Annotated[
        int,
        _meta("Limits", "Of these, one consumer's; 0: as many as all.", ge=0, le=100_000),
    ] = 20
    queue_wait: Annotated[
        float, _meta("Limits", "How long a question waits for room.", gt=0, **_SECONDS)
    ] = 60.0
    consumers: Annotated[
        tuple[Consumer, ...],
        _meta(
            "Limits",
            "Consumers that get another share than the rest.",
            why="several values belong together: write [[consumers]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    budgets: Annotated[
        tuple[BudgetTable, ...],
        _meta(
            "Limits",
            "How many tokens and requests, and how much money, may be used in which time.",
            why="several values belong together: write [[budgets]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    prices: Annotated[
        tuple[PriceTable, ...],
        _meta(
            "Limits",
            "What models cost, for budgets of money and for the ledger of usage.",
            why="several values belong together: write [[prices]] in the configuration file",
            **_TABLE,
        ),
    ] = ()
    tokenizer: Annotated[
        str,
        _meta(
            "Limits",
            "File with a vocabulary of tiktoken to count prompts by; none: by their characters.",
        ),
    ] = ""
    max_body_bytes: Annotated[
        int, _meta("Limits", "Size of a request's body or of a socket's message.", **_BYTES)
    ] = 1 << 20
    max_prompt_chars: Annotated[
        int, _meta("Limits", "Characters of one message.", ge=1, le=100_000_000)
    ] = 100_000
    max_event_bytes: Annotated[int, _meta("Limits", "Size of one event.", **_BYTES)] = 1 << 20
    attachment_types: Annotated[
        tuple[str, ...],
        _meta("Limits", "Media types of attachments that a question may have."),
    ] = DEFAULT_TYPES
    max_attachments: Annotated[
        int, _meta("Limits", "Attachments of one question; 0: none are taken.", ge=0, le=1000)
    ] = 8
    max_attachment_bytes: Annotated[int, _meta("Limits", "Size of one attachment.", **_BYTES)] = (
        5 << 20
    )
    max_attached_bytes: Annotated[
        int, _meta("Limits", "Size of one question's attachments together.", **_BYTES)
    ] = 10 << 20
    deadline: Annotated[
        float, _meta("Limits", "How long one answer may take.", gt=0, **_SECONDS)
    ] = 3600.0
    orphan_window: Annotated[
        float,
        _meta("Limits", "How long an answer goes on that nobody watches.", ge=0, **_SECONDS),
    ] = 60.0
    page_background: Annotated[
        bool,
        _meta("Limits", "The page's answers go on to their end, though nobody watches."),
    ] = True

    heartbeat: Annotated[
        float,
        _meta("Connections", "A sign of life at least this often.", gt=0, unit="seconds", le=3600),
    ] = 30.0
    stall_timeout: Annotated[
        float,
        _meta("Connections", "Until a reader is cut that does not read.", gt=0, **_SECONDS),
    ] = 30.0
    retry: Annotated[
        float,
        _meta("Connections", "When a cut-off client comes back.", ge=0, unit="seconds", le=3600),
    ] = 5.0
    realtime_seconds: Annotated[
        float,
        _meta("Connections", "How long a Realtime session may last.", gt=0, **_SECONDS),
    ] = 3600.0
    drain_grace: Annotated[
        float,
        _meta("Connections", "What running answers get to finish on SIGTERM.", ge=0, **_SECONDS),
    ] = 30.0
    compression: Annotated[
        Literal["off", "on"],
        _meta("Connections", "Compress streams for clients that ask for it (gzip, zstd)."),
    ] = "off"
    websocket_deflate: Annotated[
        bool, _meta("Connections", "Compress sockets, at the cost of memory and time for each.")
    ] = False
    direct: Annotated[
        bool, _meta("Connections", "Write to sockets directly; false is plain ASGI.")
    ] = True

    metrics_addresses: Annotated[
        tuple[str, ...],
        _meta("Log", "Networks that may read /metrics without a key, such as 10.0.0.0/8."),
    ] = ()
    traces: Annotated[
        Traces,
        _meta(
            "Log",
            "Where traces of answers go, as [traces] in the file.",
            why="several values belong together: write [traces] in the configuration file",
            **_TABLE,
        ),
    ] = Traces()
    log_format: Annotated[
        Literal["auto", "json", "console"],
        _meta("Log", "auto: for people on a terminal, else JSON."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _meta("Log", "The least that is logged.")
    ] = "info"

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
                shown = address(value)
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
    checker = CHECKS.get(name)
    return checker(value) if checker is not None else ""


def _check_host(host: str) -> str:
    if not host or not re.fullmatch(r"[A-Za-z0-9.:_%-]{1,255}", host):
        return "it must be an address such as 127.0.0.1, ::1 or 0.0.0.0, or a host name"
    return ""


def _check_base_path(path: str) -> str:
    if path and not _BASE_PATH.fullmatch(path):
        return "it must begin with a slash and not end with one, such as /api"
    return ""


def _check_origins(origins: tuple[str, ...]) -> str:
    for origin in origins:
        if origin == "*":
            return (
                "* would let every web page use its visitors' access; name the pages, "
                "such as https://app.example"
            )
        if not _ORIGIN.fullmatch(origin):
            return (
                f"{origin[:80]!r} is no origin; it must be scheme, host and port as browsers send "
                "them, such as https://app.example (small letters, no path, no slash at the end)"
            )
    return ""


def _check_types(types: tuple[str, ...]) -> str:
    for type in types:
        if not MEDIA_TYPE.fullmatch(type):
            return f"{type[:80]!r} is no media type; write them such as image/png"
    return ""


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


def _check_networks(networks: tuple[str, ...]) -> str:
    try:
        Networks(networks)
    except ValueError as error:
        return str(error)
    return ""


#: What no type can say, by setting: each tells what is wrong and what would be right.
CHECKS: dict[str, Callable[[Any], str]] = {
    "host": _check_host,
    "attachment_types": _check_types,
    "base_path": _check_base_path,
    "trusted_proxies": _check_networks,
    "allow_addresses": _check_networks,
    "deny_addresses": _check_networks,
    "metrics_addresses": _check_networks,
    "cors_origins": _check_origins,
    "upstream": lambda url: check_url(url) if url else "",
}
