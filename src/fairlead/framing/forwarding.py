"""What is handed on of a request and of its answer when an application stands behind us. Pure.

Sources: RFC 9110, 7.6 (what is for one hop only), RFC 9112, 6 (the body's framing is made anew),
RFC 6455, 4 (the handshake's fields are those of one connection).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_plus, urlsplit

Headers = list[tuple[bytes, bytes]]

#: For one hop only, whether ``Connection`` names them or not (RFC 9110, 7.6.1).
_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
#: Of a request, what is made anew, or told in our own words.
_ANEW = frozenset(
    {
        b"accept-encoding",  # what is not compressed can be read, and resumed
        b"content-length",
        b"expect",
        b"forwarded",
        b"host",
        b"last-event-id",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
#: How Fairlead's own credentials begin.
_OURS = ("flk_", "fls_", "flt_")
_ID = re.compile(r"[\x21-\x7e]{1,128}")


def one_hop(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The names, in small letters, that must not be handed on."""
    named: set[bytes] = set()
    for name, value in headers:
        if name.lower() == b"connection":
            named.update(token.strip().lower() for token in value.split(b","))
    return _HOP | named


def to_application(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    consumer: str,
    address: str,
    scheme: str,
    host: bytes,
    prefix: str,
    pass_authorization: bool,
) -> Headers:
    """The headers that the application gets: the client's own, without what is for one hop and
    without our credentials, and who asks (``Fairlead-Consumer``, percent-encoded UTF-8) from where.

    ``headers``: as they came, names in small letters. ``prefix``: the path that has been taken
    away. ``pass_authorization``: hand ``Authorization`` on; else it is taken to be ours.
    """
    came = list(headers)
    dropped = one_hop(came) | _ANEW
    if not pass_authorization:
        dropped |= {b"authorization"}
    made: Headers = []
    for name, value in came:
        if name in dropped or name.startswith((b"fairlead-", b"sec-websocket-")):
            continue
        if name == b"cookie":
            value = _foreign_cookies(value)
            if not value:
                continue
        made.append((name, value))
    made += [
        (b"accept-encoding", b"identity"),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", host),
        (b"fairlead-consumer", quote(consumer, safe="").encode()),
    ]
    if address:
        made.append((b"x-forwarded-for", address.encode()))
    if prefix:
        made.append((b"x-forwarded-prefix", prefix.encode()))
    return made


def from_application(
    headers: Iterable[tuple[bytes, bytes]], *, target: str, prefix: str, cross_origin: bool
) -> Headers:
    """The headers that the client gets of the application's answer, names in small letters.

    A ``Location`` within the application (at ``target``) is shown under ``prefix``. With
    ``cross_origin`` the answers to other origins are ours to give, not the application's.
    """
    came = [(name.lower(), value) for name, value in headers]
    dropped = one_hop(came) | {b"date", b"server"}
    made: Headers = []
    for name, value in came:
        if name in dropped or name.startswith(b"fairlead-"):
            continue
        if cross_origin and name.startswith(b"access-control-"):
            continue
        if name == b"location":
            value = _shown(value, target, prefix)
        made.append((name, value))
    return made


def without_our_credentials(query: bytes) -> bytes:
    """A query without the parameters whose values are credentials of ours."""
    return b"&".join(part for part in query.split(b"&") if not _is_ours(part.partition(b"=")[2]))


def handed_id(id: str | None) -> str:
    """An application's event id as far as it can stand behind ours; empty: it cannot."""
    return id if id and _ID.fullmatch(id) else ""


def climbs(path: str) -> bool:
    """Whether a decoded path has segments that could lead out of where it belongs."""
    return any(segment in (".", "..") for segment in re.split(r"[/\\]", path))


def _foreign_cookies(value: bytes) -> bytes:
    kept = [pair.strip() for pair in value.split(b";")]
    return b"; ".join(pair for pair in kept if pair and not _is_ours(pair.partition(b"=")[2]))


def _is_ours(value: bytes) -> bool:
    text = unquote_plus(value.decode("latin-1")).strip('" ')
    return text.removeprefix("fairlead.key.").startswith(_OURS)


def _shown(location: bytes, target: str, prefix: str) -> bytes:
    text = location.decode("latin-1")
    parts = urlsplit(target)
    base = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    if text == origin or text.startswith((origin + "/", origin + "?")):
        text = text.removeprefix(origin) or "/"
    if text.startswith("/") and not text.startswith("//"):
        rest = text.removeprefix(base) if text == base or text.startswith(base + "/") else None
        if rest is not None:
            text = prefix + rest
    return text.encode("latin-1")
