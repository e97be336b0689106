"""What every route needs of HTTP: the caller, a bounded body, query values, errors in our shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from fairlead.dialects.openai_error import openai_problem
from fairlead.dialects.problem import problem
from fairlead.errors import BadRequest, FairleadError, Fault, Forbidden, TooLarge
from fairlead.policy.caller import Caller
from fairlead.server.system import System
from fairlead.transports.arrival import SLOWEST, TIMEOUT, Arrival
from fairlead.transports.callers import OPENAI

_log = structlog.get_logger("fairlead.server")

T = TypeVar("T")

_CHUNK = 256


def system(request: Request) -> System:
    """The running system, which the application carries."""
    found: System = request.app.state.system
    return found


async def caller(request: Request) -> Caller:
    """Who asks. Raises :class:`~fairlead.errors.Unauthenticated`."""
    return await system(request).callers.of(request.scope)


def same_site(request: Request) -> None:
    """Refuse what a foreign web page makes a browser send: it would spend the visitor's authority.

    Browsers state the site of the initiator in ``Sec-Fetch-Site`` (Fetch Metadata, W3C), though not
    to plain http on another machine; there ``Origin`` tells. Origins that the operator named may
    come from anywhere.
    """
    origin = request.headers.get("origin", "")
    site = request.headers.get("sec-fetch-site", "")
    if site:
        foreign = site == "cross-site"
    else:
        foreign = bool(origin) and urlsplit(origin).netloc != request.headers.get("host", "")
    if foreign and origin not in system(request).config.cors_origins:
        shown = urlsplit(origin).netloc[:100] or "another site"
        raise Forbidden(f"a page of {shown} may not do this; allow its origin with 'cors_origins'")


def has_body(request: Request) -> bool:
    """Whether the request comes with a body (RFC 9112, section 6.3)."""
    headers = request.headers
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def json_body(
    request: Request,
    type: type[T],
    limit: int | None = None,
    beside: Callable[[T], int] | None = None,
) -> T:
    """The body as a value of ``type``, of at most ``limit`` bytes (None: the configured limit);
    those that ``beside`` tells of it do not count for the configured limit.

    Raises :class:`~fairlead.errors.TooLarge` and :class:`~fairlead.errors.BadRequest`, which names
    the field. Only ``application/json`` is taken: other types can be sent by any web page without
    the browser asking first.
    """
    usual = system(request).config.max_body_bytes
    data = await json_bytes(request, usual if limit is None else limit)
    try:
        value = msgspec.json.decode(data, type=type)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body is not right: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    if beside is not None and len(data) - beside(value) > usual:
        raise too_large(usual)
    return value


async def json_bytes(request: Request, limit: int) -> bytes:
    """The bytes of a body that is said to be JSON. Raises as :func:`json_body`."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise BadRequest(
            f"the body must be JSON: send 'Content-Type: application/json', not "
            f"{content_type[:100] or 'nothing'!r}"
        )
    return await bounded_body(request, limit)


def too_large(limit: int) -> TooLarge:
    """What is said of a body that is larger than ``limit`` bytes."""
    return TooLarge(f"the body is larger than {limit} bytes, which is the limit")


async def bounded_body(request: Request, limit: int) -> bytes:
    """The body, of at most ``limit`` bytes. Raises :class:`~fairlead.errors.TooLarge`, and
    :class:`~fairlead.errors.BadRequest` when it does not come to its end."""
    return b"".join([chunk async for chunk in body_chunks(request, limit)])


async def body_chunks(request: Request, limit: int) -> AsyncGenerator[bytes]:
    """The body as it comes, none of it empty. Raises as :func:`bounded_body`."""
    stated = stated_length(request)
    if stated is not None and stated > limit:
        raise too_large(limit)
    clock = asyncio.get_running_loop().time
    size = 0
    arrival = Arrival()
    stream = aiter(request.stream())
    try:
        while True:
            async with asyncio.timeout_at(arrival.deadline):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            arrival.came(len(chunk))
            if chunk:
                taken = clock()
                yield chunk
                # How long it is being handed on is not the sender's doing.
                arrival.deadline += clock() - taken
    except TimeoutError:
        raise BadRequest(
            f"the body did not arrive in time: it may take {TIMEOUT:g} s, and longer only "
            f"for what comes with {SLOWEST} bytes a second"
        ) from None
    except ClientDisconnect:
        raise BadRequest("the connection ended before the body did") from None


def stated_length(request: Request) -> int | None:
    """How many bytes the body is said to have; None: it is not said."""
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isdecimal() and len(stated) < 20 else None


def integer(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number from the query."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not low <= int(text[:18]) <= high:
        raise BadRequest(f"'{name}' must be a whole number from {low} to {high}")
    return int(text)


def choice(request: Request, name: str, values: tuple[str, ...]) -> str:
    """One of ``values`` from the query; the first one is the default."""
    value = request.query_params.get(name, values[0])
    if value not in values:
        raise BadRequest(f"'{name}' must be one of: {', '.join(values)}")
    return value


def json_response(
    value: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer in raw UTF-8, which nobody may keep."""
    return Response(
        msgspec.json.encode(value),
        status,
        {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
        | (headers or {}),
    )


def error_response(error: FairleadError, request: Request) -> Response:
    """An error before the first byte, in the shape of the path's dialect."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if path.startswith(OPENAI):
        made = openai_problem(error)
    else:
        made = problem(error, request.headers.get("accept-language", ""))
    if made.status >= 500:
        # What a model's server says may repeat the prompt.
        ours = {"error": error.message} if error.fault is Fault.SERVER else {}
        _log.warning("request_failed", path=request.url.path[:200], code=error.code, **ours)
    response = Response(made.body, made.status)
    response.raw_headers = [*made.headers, (b"content-length", str(len(made.body)).encode())]
    return response
