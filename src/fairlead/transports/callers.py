"""From a request to its caller."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from starlette.types import Scope

from fairlead.errors import Forbidden, Unauthenticated
from fairlead.policy.caller import ANONYMOUS, GUEST, Caller
from fairlead.policy.facts import Facts, Keep
from fairlead.ports.identity import Identity

#: Browsers cannot set headers on a WebSocket: the credential comes as one of the subprotocols,
#: which are never echoed, with the characters percent-encoded that a subprotocol cannot hold.
KEY_PROTOCOL = "fairlead.key."
#: The same as OpenAI's clients write it, on the paths of its API.
OPENAI_KEY_PROTOCOL = "openai-insecure-api-key."
#: What those paths begin with, and that of sessions, which client secrets are for alone.
OPENAI, REALTIME = "/v1/", "/v1/realtime"
_CLIENT_SECRET = re.compile(r"ek_[0-9a-z]{32}")

#: What a one-use ticket begins with.
TICKET = "flt_"
#: The longest name that a reader may give itself.
MAX_READER = 64

#: The key of a scope under which the caller stands if it is known already.
KNOWN = "fairlead.caller"

_MOST_FIELDS = 100
#: By these and ``X-Forwarded-…`` a proxy says that it is one (RFC 7239; RFC 9110, section 7.6.3).
_FORWARDED = frozenset({b"forwarded", b"via", b"x-real-ip"})
#: The path under which a ``GET`` asks a question.
_ASKS = "/chat/stream"
# What an EventSource can read.
_STREAMS = re.compile(
    r"/(?:chat/stream|streams/[0-9a-z]+|v1/responses/[0-9a-z_]+|v1/chat/completions/[0-9a-z-]+)$"
)


class Callers:
    """Names the caller of each request. ``keep``: what of a request decisions ask about. ``cookie``
    names the one that holds a session's credential (empty: none does); ``origins`` are the web
    pages, besides the server's own, that may use it. Under the paths ``apps`` other applications'
    streams are read. ``alone``: the server is there for this machine only, so that whoever comes
    without a credential from elsewhere (:func:`_from_here`) is a guest; ``hosts`` are further names
    under which it is called from here."""

    def __init__(
        self,
        identity: Identity,
        keep: Keep | None = None,
        *,
        cookie: str = "",
        origins: Collection[str] = (),
        apps: Collection[str] = (),
        alone: bool = False,
        hosts: Collection[str] = (),
    ) -> None:
        self.identity = identity
        self.keep = keep or Keep()
        self.cookie = cookie
        self.apps = apps
        self._origins = origins
        self._alone = alone
        self._hosts = frozenset(hosts)

    async def of(self, scope: Scope) -> Caller:
        """Who makes this request (an ASGI scope of HTTP or WebSocket). Raises
        :class:`~fairlead.errors.Unauthenticated`, and :class:`~fairlead.errors.Forbidden` for a
        foreign page that uses its visitor's session."""
        if KNOWN in scope:
            known: Caller = scope[KNOWN]
            return known
        found = credential(scope) or ticket(scope, self.apps)
        if found is None and self.cookie:
            found = _cookies(scope).get(self.cookie) or None
            if found is not None:
                self._check_page(scope)
        if found is not None and not _opens_session(scope):
            _check_kind(found)
        caller = await self.identity.identify(found)
        if (
            self._alone
            and caller.credential == ANONYMOUS.credential
            and not _from_here(scope, self._hosts)
        ):
            caller = GUEST
        return self._known(caller, facts(scope, self.keep))

    async def renewed(self, caller: Caller, credential: str) -> Caller:
        """Who a connection's caller is from now on, by a new credential that came over it."""
        _check_kind(credential)
        return self._known(await self.identity.identify(credential), caller.facts)

    def _known(self, caller: Caller, facts: Facts) -> Caller:
        claims = caller.claims
        if claims:
            # A token says a lot, and a reader may stay for hours.
            claims = {name: claims[name] for name in self.keep.claims if name in claims}
        return msgspec.structs.replace(caller, facts=facts, claims=claims)

    def _check_page(self, scope: Scope) -> None:
        """A browser adds cookies to whatever page's requests. Where a request may change something,
        and for WebSockets, whose answers any page could read, it must prove whose page it is: by
        ``Sec-Fetch-Site`` (Fetch Metadata, W3C), or by ``Origin`` (RFC 6454). A ``GET`` that asks a
        question need not, but must not prove the contrary: browsers send neither header with it
        over plain HTTP, nor another site's page the cookie."""
        reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
        if reads and not scope["path"].endswith(_ASKS):
            return
        origin = _header(scope, b"origin").decode("latin-1")
        if origin:
            own = _host(origin) == _header(scope, b"host").decode("latin-1").lower()
            if own or origin in self._origins:
                return
        else:
            site = _header(scope, b"sec-fetch-site")
            if site == b"same-origin" or (reads and site in (b"", b"none")):
                return
        raise Forbidden(
            "a session may be used by this server's own pages only, and the request does not prove "
            "to come from one; allow its origin with 'cors_origins'"
        )


def credential(scope: Scope) -> str | None:
    """The bearer credential of the header, else that of a WebSocket's subprotocol."""
    scheme, _, found = _header(scope, b"authorization").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and found.strip():
        return found.strip()
    openai = _path(scope).startswith(OPENAI)
    for name in scope.get("subprotocols", ()):
        if name.startswith(KEY_PROTOCOL):
            return unquote(name.removeprefix(KEY_PROTOCOL))
        if openai and name.startswith(OPENAI_KEY_PROTOCOL):
            return unquote(name.removeprefix(OPENAI_KEY_PROTOCOL))
    return None


def _opens_session(scope: Scope) -> bool:
    """Whether the request is one that a client secret is good for."""
    return _path(scope) in (REALTIME, f"{REALTIME}/calls")


def _check_kind(credential: str) -> None:
    """Refuse a client secret, which opens sessions and nothing else."""
    if _CLIENT_SECRET.fullmatch(credential):
        raise Unauthenticated(f"a client secret is good for {REALTIME} alone")


def ticket(scope: Scope, apps: Collection[str] = ()) -> str | None:
    """The one-use ticket in the URL of a WebSocket or of a stream that is read, also under the
    paths ``apps``. Raises :class:`~fairlead.errors.Unauthenticated` for anything else that stands
    there."""
    if b"ticket=" not in scope.get("query_string", b""):
        return None
    if scope["type"] == "http":
        path: str = scope["path"]
        theirs = any(_path(scope).startswith(f"{one}/") for one in apps)
        if scope["method"] != "GET" or not (theirs or _STREAMS.search(path)):
            return None
    for name, value in _query(scope["query_string"].decode("latin-1")):
        if name == "ticket":
            if not value.startswith(TICKET):
                raise Unauthenticated(
                    "'ticket' takes one-use tickets only (POST /tickets): a credential that lasts "
                    "must not stand in a URL"
                )
            return value
    return None


def facts(scope: Scope, keep: Keep) -> Facts:
    """What decisions are made on, of an ASGI scope."""
    client = scope.get("client")
    headers = {name: _header(scope, name.encode()).decode("latin-1") for name in keep.headers}
    query: dict[str, str] = {}
    raw: bytes = scope.get("query_string", b"")
    if keep.query or b"reader=" in raw:
        given = dict(_query(raw.decode("latin-1")))
        query = {name: given[name] for name in keep.query if name in given}
        reader = given.get("reader", "")
    else:
        reader = ""
    cookies: dict[str, str] = {}
    if keep.cookies:
        cookies = {name: value for name, value in _cookies(scope).items() if name in keep.cookies}
    return Facts(
        address=client[0] if client else "",
        method=scope.get("method", "GET"),
        path=_path(scope),
        headers={name: value for name, value in headers.items() if value},
        query=query,
        cookies=cookies,
        reader=(_header(scope, b"fairlead-reader").decode("latin-1") or reader)[:MAX_READER],
    )


def _path(scope: Scope) -> str:
    """The path without what a proxy, or the program that this server is mounted into, puts before
    it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _from_here(scope: Scope, hosts: Collection[str]) -> bool:
    """Whether the request calls this machine by a name that no other one has, and by no way round.
    A foreign page can let its own name stand for 127.0.0.1 (DNS rebinding), and then reads what it
    likes as if it were of this server; what it cannot do is send another name as ``Host``. A proxy
    that lets the world in may send any name, but says that it does so."""
    host = _header(scope, b"host").decode("latin-1").lower()
    name = host.partition("]")[0].removeprefix("[") if host[:1] == "[" else host.partition(":")[0]
    if name in hosts:
        return True
    if any(key in _FORWARDED or key.startswith(b"x-forwarded-") for key, _ in scope["headers"]):
        return False
    if name in ("", "localhost") or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _header(scope: Scope, wanted: bytes) -> bytes:
    return b", ".join([value for name, value in scope["headers"] if name == wanted])


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _query(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:  # too many to be looked at: as if there were none
        return []


def _cookies(scope: Scope) -> dict[str, str]:
    """Of several of a name the first: browsers send the one of the longest path first (RFC 6265,
    section 5.4). What is malformed spoils nothing else."""
    found: dict[str, str] = {}
    sent = b";".join([value for name, value in scope["headers"] if name == b"cookie"])
    for pair in sent.decode("latin-1").split(";", _MOST_FIELDS)[:_MOST_FIELDS]:
        name, equals, value = pair.partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip().strip('"'))
    return found
