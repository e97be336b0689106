"""Errors before the first byte of an answer, in the native dialect: one JSON shape and its status.

The shape is that of the ``error`` event: ``{"error", "code", "retryable", …}``.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from fairlead.errors import FairleadError

#: The HTTP status of each code (RFC 9110, section 15). 502 and 504: the upstream's fault.
STATUS: dict[str, int] = {
    "bad_request": 400,
    "bad_position": 400,
    "unauthenticated": 401,
    "revoked": 401,
    "forbidden": 403,
    "moderated": 403,
    "not_found": 404,
    "conflict": 409,
    "gone": 410,
    "too_large": 413,
    "unsupported_attachment": 415,
    "budget_exhausted": 429,  # RFC 6585, section 4
    "too_many": 429,
    "internal": 500,
    "interrupted": 500,
    "deadline_exceeded": 500,
    "store_corrupt": 500,
    "misconfigured": 500,
    "plugin_failed": 500,
    "busy": 503,
    "draining": 503,
    "store_unavailable": 503,
    "identity_unavailable": 503,
    "upstream_error": 502,
    "upstream_unavailable": 502,
    "upstream_refused_key": 502,
    "upstream_rejected": 502,
    "upstream_protocol": 502,
    "upstream_cut": 502,
    "upstream_rate_limited": 503,
    "upstream_timeout": 504,
}

#: What a person is told, in the caller's language, where the message is the same every time.
_SPOKEN = {
    ("busy", "zh"): "服务器繁忙，请稍后再试",
    ("draining", "zh"): "服务器正在重启，请稍后再试",
    ("busy", "en"): "server busy, try again later",
    ("draining", "en"): "the server is restarting, try again later",
}


class Problem(msgspec.Struct, frozen=True):
    """An HTTP answer that states an error."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def language(accept_language: str) -> str:
    """``zh`` or ``en``: the first of the two that an ``Accept-Language`` header prefers (RFC 9110,
    section 12.5.4); English when it names neither."""
    best, best_quality = "en", 0.0
    for item in accept_language[:500].split(","):
        tag, _, parameter = item.strip().partition(";")
        primary = tag.strip().lower().split("-")[0]
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if primary in ("zh", "en") and quality > best_quality:
            best, best_quality = primary, quality
    return best


def problem(error: FairleadError, accept_language: str = "") -> Problem:
    """The HTTP answer for an error."""
    spoken = _SPOKEN.get((error.code, language(accept_language)))
    body: dict[str, Any] = {
        "error": f"{spoken} ({error.message})" if spoken else error.message,
        "code": error.code,
        "retryable": error.retryable,
        **error.details,
    }
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"cache-control", b"no-store"),
    ]
    if error.retry_after is not None:
        seconds = max(1, math.ceil(error.retry_after))
        body["retry_after"] = seconds
        headers.append((b"retry-after", str(seconds).encode()))
        if error.code == "budget_exhausted":
            # draft-ietf-httpapi-ratelimit-headers-10, section 4; names of budgets need no escapes.
            state = f'"{error.details["budget"]}";r=0;t={seconds}'
            headers.append((b"ratelimit", state.encode()))
    if STATUS[error.code] == 401:
        headers.append((b"www-authenticate", b'Bearer realm="fairlead"'))
    return Problem(STATUS[error.code], tuple(headers), msgspec.json.encode(body))
