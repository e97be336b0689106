"""Errors in OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``, before an answer
and in the middle of one.

Source: OpenAI API reference, "Error codes"; the SDKs raise what has a truthy ``error``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from fairlead.dialects.problem import STATUS, Problem, problem
from fairlead.errors import FairleadError, UnknownModel
from fairlead.events.model import Error

#: Where the status that the vendor gives is another one than our own.
_STATUS = {"upstream_rejected": 400, "upstream_rate_limited": 429}

#: The vendor's word for what went wrong, where it has one; else it is ours.
_CODES = {
    "unauthenticated": "invalid_api_key",
    "revoked": "invalid_api_key",
    "budget_exhausted": "rate_limit_exceeded",
    "too_many": "rate_limit_exceeded",
    "upstream_rate_limited": "rate_limit_exceeded",
}


def status_of(code: str) -> int:
    """The HTTP status of an error code."""
    return _STATUS.get(code) or STATUS.get(code, 500)


def word_for(code: str, vendor_code: str = "") -> str:
    """The vendor's word for an error code, where it has one; else ours. An upstream that finds the
    request wrong has said it in its own (``vendor_code``); some faults have one of their own."""
    if vendor_code and code in ("upstream_rejected", "bad_request", "not_found", "conflict"):
        return vendor_code
    return _CODES.get(code, code)


def error_object(
    message: str,
    code: str,
    *,
    param: str | None = None,
    type: str = "",
    vendor_code: str = "",
) -> bytes:
    """The object that states an error."""
    error = {
        "message": message,
        "type": type or _type(status_of(code)),
        "param": param,
        "code": word_for(code, vendor_code),
    }
    return msgspec.json.encode({"error": error})


def kind_of(code: str) -> str:
    """The vendor's ``type`` of an error code."""
    return _type(status_of(code))


def described(error: FairleadError) -> dict[str, Any]:
    """The fields that state an error: ``message``, ``type``, ``param``, ``code``."""
    status, code, param = _stated(error)
    return {
        "message": error.message,
        "type": _type(status),
        "param": param,
        "code": word_for(code, error.details.get("vendor_code", "")),
    }


def socket_error(error: FairleadError, lane: str = "", **more: str) -> bytes:
    """The message that tells an error on a socket, to the request of a lane (empty: the default
    one). The SDKs' types of it have the fields of the error; the vendor's guide has ``error``."""
    stated = described(error)
    made: dict[str, Any] = {"type": "error", "status": _stated(error)[0], "error": stated}
    made |= {name: stated[name] for name in ("code", "message", "param")}
    if lane:
        made["stream_id"] = lane
    return msgspec.json.encode(made | more)


def _stated(error: FairleadError) -> tuple[int, str, str | None]:
    """The status, code and ``param`` of an error."""
    if isinstance(error, UnknownModel):
        return 404, "model_not_found", "model"
    return status_of(error.code), error.code, error.details.get("param")


def openai_problem(error: FairleadError) -> Problem:
    """The HTTP answer for an error. An error that will come again says so to the SDKs
    (``x-should-retry``), which otherwise try again by the status alone."""
    plain = problem(error)
    status, _, _ = _stated(error)
    headers = plain.headers
    if not error.retryable:
        headers = (*headers, (b"x-should-retry", b"false"))
    return Problem(status, headers, msgspec.json.encode({"error": described(error)}))


def error_of(event: Error) -> FairleadError:
    """The error that an answer ended with, to be stated before its first byte."""
    error = _BY_CODE.get(event.code, FairleadError)(event.error, retry_after=event.retry_after)
    if event.budget:
        error.details["budget"] = event.budget
    if event.vendor_code:
        error.details["vendor_code"] = event.vendor_code
    return error


def _all(root: type[FairleadError]) -> Iterator[type[FairleadError]]:
    for each in root.__subclasses__():
        yield from _all(each)
    yield root


_BY_CODE = {each.code: each for each in _all(FairleadError)}


def _type(status: int) -> str:
    match status:
        case 401:
            return "authentication_error"
        case 403:
            return "permission_error"
        case 429:
            return "rate_limit_error"
        case _:
            return "invalid_request_error" if status < 500 else "server_error"
