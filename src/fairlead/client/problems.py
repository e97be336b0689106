"""The server's errors, back in the tree they came from."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiohttp
import msgspec

from fairlead.errors import BudgetExhausted, FairleadError, ServerError, UpstreamProtocol

#: Statuses after which the same request may succeed, where the body does not say (proxies).
TRANSIENT = frozenset({408, 425, 429, 502, 503, 504})
#: No wish to be left alone is followed longer than this (seconds).
LONGEST_RETRY_AFTER = 300.0
#: Nor is a budget waited for that refills later than this (seconds): that is said at once.
_LONGEST_REFILL = 60.0
_MAX_BODY = 64 * 1024


class Unreachable(ServerError):
    """Nothing answers at the address, or not as a Fairlead server does."""

    code = "unreachable"
    retryable = True


class _Problem(msgspec.Struct):
    """The fields of an ``error`` (PROTOCOL.md, section 7)."""

    error: str = ""
    code: str = ""
    retryable: bool | None = None
    retry_after: float | None = None


async def error_of(response: aiohttp.ClientResponse) -> tuple[FairleadError, bool]:
    """The error that a response with a status of 300 or above states, and whether the same request
    may succeed later."""
    try:
        body = await bounded_body(response, _MAX_BODY)
    except UpstreamProtocol:
        body = b""  # the status has to do
    return refusal(response.status, response.reason or "", response.headers, body)


def refusal(
    status: int, reason: str, headers: Mapping[str, str], body: bytes
) -> tuple[FairleadError, bool]:
    """The error that a response with a status of 300 or above (or another one than was due)
    states, and whether the same request may succeed later."""
    if 300 <= status < 400:
        where = headers.get("Location", "another address")[:200].partition("?")[0]
        return Unreachable(f"the server redirects to {where}; use that address instead"), False
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        problem = _Problem()
    if not problem.error:
        problem.error = f"the server answered {status} {reason}".strip()
    if problem.retryable is None:
        problem.retryable = status in TRANSIENT
    return _made(problem, _seconds(headers.get("Retry-After", "")), status=status)


def stated(fields: dict[str, Any]) -> tuple[FairleadError, bool]:
    """The error that a message with these fields states, and whether the same request may succeed
    later."""
    try:
        problem = msgspec.convert(fields, _Problem)
    except msgspec.ValidationError:
        problem = _Problem()
    if not problem.error:
        problem.error = "the server refused it without a word"
    return _made(problem, None)


def _made(
    problem: _Problem, retry_after: float | None, **details: Any
) -> tuple[FairleadError, bool]:
    refill = problem.code == BudgetExhausted.code
    if problem.retry_after is not None and (retry_after is None or refill):
        retry_after = max(problem.retry_after, 0.0)
        if refill and retry_after > _LONGEST_REFILL:
            problem.retryable = False
        elif not refill:
            retry_after = min(retry_after, LONGEST_RETRY_AFTER)
    kind = _BY_CODE.get(problem.code, Unreachable)
    error = kind(problem.error[:1000], retry_after=retry_after, **details)
    return error, bool(problem.retryable)


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


def reason_of(error: OSError) -> str:
    """Why no connection could be made, for people."""
    if isinstance(error, ssl.SSLError):
        return "its TLS certificate was not accepted"
    if isinstance(error, socket.gaierror):
        return "its host name is not known"
    return os.strerror(error.errno) if error.errno else "no connection"


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
