"""From a request to its caller."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.types import Scope

from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts, Keep
from fairlead.ports.identity import Identity

#: Browsers cannot set headers on a WebSocket: the credential comes as one of the subprotocols,
#: which are never echoed, with the characters percent-encoded that a subprotocol cannot hold.
KEY_PROTOCOL = "fairlead.key."

_MOST_FIELDS = 100


class Callers:
    """Names the caller of each request. ``keep``: what of a request decisions ask about."""

    def __init__(self, identity: Identity, keep: Keep | None = None) -> None:
        self.identity = identity
        self.keep = keep or Keep()

    async def of(self, scope: Scope) -> Caller:
        """Who makes this request (an ASGI scope of HTTP or WebSocket). Raises
        :class:`~fairlead.errors.Unauthenticated`."""
        caller = await self.identity.identify(credential(scope))
        return msgspec.structs.replace(caller, facts=facts(scope, self.keep))

    async def renewed(self, caller: Caller, credential: str) -> Caller:
        """Who a connection's caller is from now on, by a new credential that came over it."""
        found = await self.identity.identify(credential)
        return msgspec.structs.replace(found, facts=caller.facts)


def credential(scope: Scope) -> str | None:
    """The bearer credential of the header, else that of a WebSocket's subprotocol."""
    scheme, _, found = _header(scope, b"authorization").partition(" ")
    if scheme.lower() == "bearer" and found.strip():
        return found.strip()
    for name in scope.get("subprotocols", ()):
        if name.startswith(KEY_PROTOCOL):
            return unquote(name.removeprefix(KEY_PROTOCOL))
    return None


def facts(scope: Scope, keep: Keep) -> Facts:
    """What decisions are made on, of an ASGI scope."""
    client = scope.get("client")
    headers = {name: _header(scope, name.encode()) for name in keep.headers}
    query: dict[str, str] = {}
    if keep.query:
        text = scope.get("query_string", b"").decode("latin-1")
        query = {name: value for name, value in _query(text) if name in keep.query}
    cookies: dict[str, str] = {}
    if keep.cookies:
        cookies = {name: value for name, value in _cookies(scope).items() if name in keep.cookies}
    return Facts(
        address=client[0] if client else "",
        method=scope.get("method", "GET"),
        path=scope["path"],
        headers={name: value for name, value in headers.items() if value},
        query=query,
        cookies=cookies,
    )


def _header(scope: Scope, wanted: bytes) -> str:
    found = [value for name, value in scope["headers"] if name == wanted]
    return b", ".join(found).decode("latin-1") if found else ""


def _query(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:  # too many to be looked at: as if there were none
        return []


def _cookies(scope: Scope) -> dict[str, str]:
    try:
        parsed = SimpleCookie(_header(scope, b"cookie").replace(", ", "; "))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in parsed.items()}
