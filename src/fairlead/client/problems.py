"""The server's errors, back in the tree they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import aiohttp
import msgspec

from fairlead.errors import FairleadError, ServerError, UpstreamProtocol

#: Statuses after which the same request may succeed, where the body does not say (proxies).
TRANSIENT = frozenset({408, 425, 429, 502, 503, 504})
#: No wish to be left alone is followed longer than this (seconds).
LONGEST_RETRY_AFTER = 300.0
_MAX_BODY = 64 * 1024


class Unreachable(ServerError):
    """Nothing answers at the address, or not as a Fairlead server does."""

    code = "unreachable"
    retryable = True


class _Problem(msgspec.Struct):
    error: str = ""
    code: str = ""
    retryable: bool | None = None
    retry_after: float | None = None


async def error_of(response: aiohttp.ClientResponse) -> tuple[FairleadError, bool]:
    """The error that a response with a status of 300 or above states, and whether the same request
    may succeed later."""
    status = response.status
    if 300 <= status < 400:
        where = response.headers.get("Location", "another address")[:200].partition("?")[0]
        return Unreachable(f"the server redirects to {where}; use that address instead"), False
    try:
        body = await bounded_body(response, _MAX_BODY)
    except UpstreamProtocol:
        body = b""  # the status has to do
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        problem = _Problem()
    retry_after = _seconds(response.headers.get("Retry-After", ""))
    if retry_after is None and problem.retry_after is not None:
        retry_after = min(max(problem.retry_after, 0.0), LONGEST_RETRY_AFTER)
    kind = _BY_CODE.get(problem.code)
    if kind is None:
        message = problem.error or f"the server answered {status} {response.reason or ''}".strip()
        error: FairleadError = Unreachable(message[:1000], retry_after=retry_after, status=status)
    else:
        error = kind(problem.error[:1000], retry_after=retry_after, status=status)
    retryable = status in TRANSIENT if problem.retryable is None else problem.retryable
    return error, retryable


async def bounded_body(
    response: aiohttp.ClientResponse, limit: int, heard: Callable[[], None] | None = None
) -> bytes:
    """The body; :class:`~fairlead.errors.UpstreamProtocol` if it has more bytes than ``limit``.
    ``heard`` is called whenever some of it has come."""
    body = bytearray()
    async for data in response.content.iter_any():
        body += data
        if heard is not None:
            heard()
        if len(body) > limit:
            raise not_understood(f"more than {limit} bytes")
    return bytes(body)


def not_understood(what: str) -> UpstreamProtocol:
    """The server sent what its protocol does not know."""
    return UpstreamProtocol(f"the server sent {what}; is it a Fairlead server?")


def _seconds(header: str) -> float | None:
    if not header.isascii() or not header.isdigit() or len(header) > 9:
        return None
    return min(float(header), LONGEST_RETRY_AFTER)


def _tree(kind: type[FairleadError]) -> Iterator[type[FairleadError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == FairleadError.__module__:
            yield from _tree(child)


# The first of several classes with one code is the most general one that has it as its own.
_BY_CODE: dict[str, type[FairleadError]] = {}
for _kind in _tree(FairleadError):
    if "code" in _kind.__dict__:
        _BY_CODE[_kind.code] = _kind
