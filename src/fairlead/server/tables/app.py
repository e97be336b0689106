"""``[[apps]]``: applications of one's own behind Fairlead."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

import msgspec

from fairlead.server.settings import Secret
from fairlead.server.tables.table import Table, says
from fairlead.server.tables.upstream import check_url

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LONGEST = 7 * 86_400


class App(Table, frozen=True, kw_only=True):
    """An application whose event streams gain resume, and whose WebSockets gain identity and
    limits. Values of ``headers`` are treated as secrets."""

    WORDS: ClassVar[dict[str, str]] = {
        "api_key": "a key does not belong in a file; name an environment variable in api_key_env"
    }

    name: Annotated[str, says("for people, in messages; stands as the streams' provider")]
    path: Annotated[str, says("the path here that leads to it, such as `/shop`")]
    target: Annotated[str, says("its address; what follows `path` is added to it")]
    api_key_env: Annotated[
        str,
        says("the environment variable that holds a key for it, sent as `Authorization: Bearer`"),
    ] = ""
    api_key: Secret = Secret()
    headers: Annotated[
        dict[str, str], says("further request headers; their values are treated as secrets")
    ] = msgspec.field(default_factory=dict)
    pass_authorization: Annotated[
        bool,
        says("hand on the client's `Authorization`, where it is not what the caller is known by"),
    ] = False
    finite: Annotated[
        bool,
        says(
            "the end of a response is the end of what is told: an `EventSource` that comes back is "
            "told to stop (204); false: it is handed on to the application"
        ),
    ] = True
    metered: Annotated[
        bool,
        says(
            "what its event streams and WebSockets say draws on budgets, and stands in the ledger, "
            "as what a model of its name says; its tokens are estimated"
        ),
    ] = True
    orphan_window: Annotated[
        float, says("seconds that an event stream goes on that nobody watches")
    ] = 60.0
    connect_timeout: Annotated[float, says("seconds for name, TCP and TLS")] = 10.0
    response_timeout: Annotated[float, says("seconds from the request to the response's head")] = (
        60.0
    )
    silence_timeout: Annotated[
        float, says("seconds without a single byte in the middle of a response")
    ] = 300.0
    max_request_bytes: Annotated[int, says("size of a request's body")] = 1 << 20
    max_response_bytes: Annotated[int, says("size of a response that is no event stream")] = (
        64 << 20
    )
    max_message_bytes: Annotated[int, says("size of a WebSocket's message, either way")] = 1 << 20
    max_sockets: Annotated[int, says("WebSockets open at once")] = 200
    max_messages_per_second: Annotated[
        float, says("messages that a client may send over one WebSocket; 0: no limit")
    ] = 0.0

    def __repr__(self) -> str:
        return f"App({self.name!r}, {self.path!r} → {self.target!r})"

    def summary(self) -> str:
        return f"{self.name} ({self.path} → {self.target})"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        names: set[str] = set()
        for app in tables:
            where = f"{app.name}: "
            if not app.name or not app.name.isprintable():
                return "every app needs a name"
            if app.name in names:
                return where + "this name is used twice"
            names.add(app.name)
            if wrong := app._wrong():
                return where + wrong
        for one in tables:
            for other in tables:
                if one is not other and f"{one.path}/".startswith(f"{other.path}/"):
                    return f"{one.name}: path: {one.path} lies within that of {other.name}"
        return ""

    def _wrong(self) -> str:
        if not _PREFIX.fullmatch(self.path) or "/." in self.path:
            return "path must begin with a slash and not end with one, such as /shop"
        if wrong := check_url(self.target):
            return "target: " + wrong.replace("https://api.example/v1", "http://127.0.0.1:3000")
        parts = urlsplit(self.target)
        if parts.query or parts.fragment:
            return "target: it must have no query and no fragment"
        for name in self.headers:
            if not _HEADER.fullmatch(name):
                return f"headers: {name[:80]!r} is no name of a header"
        for name in ("connect_timeout", "response_timeout", "silence_timeout"):
            if not 0 < getattr(self, name) <= _LONGEST:
                return f"{name} must be a number of seconds, more than 0"
        if not 0 <= self.orphan_window <= _LONGEST:
            return "orphan_window must be a number of seconds, 0 or more"
        for name in ("max_request_bytes", "max_response_bytes", "max_message_bytes"):
            if getattr(self, name) < 1024:
                return f"{name} must be at least 1024"
        if self.max_sockets < 0:
            return "max_sockets must be 0 or more"
        if not 0 <= self.max_messages_per_second <= 1_000_000:
            return "max_messages_per_second must be 0 or more"
        return ""
