"""What upstreams of the Chat Completions dialect say when they fail, as errors of our tree. Pure.

Sources: OpenAI, "Error codes"; DeepSeek, "Error Codes"; vLLM, llama.cpp and FastAPI as observed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from fairlead.errors import (
    FairleadError,
    Misconfigured,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefusedKey,
    UpstreamRejected,
    UpstreamUnavailable,
)

#: Characters of a vendor's words that are handed on.
MAX_EXCERPT: Final = 300

#: What msgspec raises for bytes that are not the JSON asked for.
BAD_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_CONTEXT = re.compile(
    r"context[ _]?(length|window|size|limit)|maximum context|too many tokens|prompt is too long",
    re.IGNORECASE,
)

# A vendor's word for what went wrong, as the HTTP status that it stands for.
_STATUS_OF: Final = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "insufficient_balance": 402,
    "insufficient_quota": 402,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "badrequesterror": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "invalid_request_error": 400,
    "notfounderror": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
    "timeout": 504,
    "api_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "server_error": 500,
    "overloaded": 503,
    "overloaded_error": 503,
    "service_unavailable": 503,
}  # fmt: skip

#: Worth another try although they are no 5xx: timeout, conflict (a lock), too early.
TRANSIENT: Final = frozenset({408, 409, 425})


class Redactor:
    """Takes secrets out of text that came from outside and may echo them."""

    __slots__ = ("_pattern",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first, so that a secret that begins with another one goes whole. JSON may write
        # a slash with a backslash before it.
        forms = {form for s in secrets if s for form in (s, s.replace("/", "\\/"))}
        found = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        self._pattern = re.compile(found) if found else None

    def __call__(self, text: str) -> str:
        """The text with ``[secret]`` for every secret."""
        return text if self._pattern is None else self._pattern.sub("[secret]", text)

    def excerpt(self, text: str | bytes, limit: int = MAX_EXCERPT) -> str:
        """The beginning of the text on one line, printable and without secrets."""
        if isinstance(text, bytes):
            # No more is decoded than is shown, with room for a secret that becomes shorter.
            text = text[: 16 * limit].decode("utf-8", "replace")
        text = _UNPRINTABLE.sub(" ", self(text)).strip()
        return text if len(text) <= limit else text[: limit - 1] + "…"


class Complaint(msgspec.Struct, frozen=True):
    """What the vendor said: ``words`` for people, the others for programs; each may be empty."""

    words: str = ""
    code: str = ""
    type: str = ""
    status: int = 0


def complaint(body: bytes, redact: Redactor) -> Complaint:
    """Read an error object, in any of the shapes seen; what is none gives its beginning as words.

    ``{"error": {"message", "type", "code"}}`` (OpenAI), ``{"error": "…"}`` (Ollama),
    ``{"object": "error", "message", …}`` (older vLLM), ``{"detail": …}`` (FastAPI), and a list of
    one of them (Gemini).
    """
    try:
        value = msgspec.json.decode(body)
    except BAD_JSON:
        return Complaint(redact.excerpt(body))
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("error") or value
    if not isinstance(value, dict):
        return Complaint(redact.excerpt(value if isinstance(value, str) else body))
    words = value.get("message") or value.get("detail") or value.get("error") or body
    code = value.get("code")
    return Complaint(
        redact.excerpt(words if isinstance(words, str | bytes) else body),
        _identifier(code, redact),
        _identifier(value.get("type"), redact),
        _as_status(code) or _as_status(value.get("status")),
    )


def from_status(
    status: int,
    said: Complaint,
    *,
    name: str,
    model: str,
    retry_after: float | None = None,
    location: str = "",
    within: bool = False,
) -> FairleadError:
    """The error that an HTTP answer with this status means.

    name: of the upstream, for people; model: the one asked for. retry_after: seconds, where the
    upstream gave them. location: where a redirect points (scheme and host only). within: it came
    in the middle of an answer, and the status is only what it amounts to.
    """
    stated = "in the middle of an answer" if within else f"HTTP {status}"
    who = f"the upstream {name!r}"
    details: dict[str, Any] = {"upstream": name, "status": status}
    if said.code or said.type:
        details["vendor_code"] = said.code or said.type
    words = f": {said.words}" if said.words else ""
    if 300 <= status < 400:
        there = f" to {location}" if location else ""
        return Misconfigured(
            f"{who} redirects{there} ({stated}), and redirects are not followed, because the"
            f" key would go along: set its base_url to the final address",
            **details,
        )
    if status == 402 or "insufficient_quota" in (said.code, said.type):
        return UpstreamRefusedKey(
            f"{who} says that the account behind its key has no balance or quota left"
            f" ({stated}): top it up, or set another api_key",
            **details,
        )
    if status in (401, 403):
        return UpstreamRefusedKey(
            f"{who} refused the key ({stated}): check the api_key of this upstream, and that"
            f" the key may use the model {model!r}",
            **details,
        )
    if status == 429:
        return UpstreamRateLimited(
            f"{who} limits our rate ({stated}){words}", retry_after=retry_after, **details
        )
    if status >= 500 or status in TRANSIENT:
        return UpstreamUnavailable(
            f"{who} is not available ({stated}){words}", retry_after=retry_after, **details
        )
    if status == 404:
        return UpstreamRejected(
            f"{who} knows no model {model!r}, or its base_url is wrong ({stated}){words}", **details
        )
    if said.code == "context_length_exceeded" or _CONTEXT.search(said.words):
        return UpstreamRejected(
            f"the dialogue is too long for {who}{words}", reason="context_length", **details
        )
    return UpstreamRejected(f"{who} rejected the request ({stated}){words}", **details)


def from_stream(said: Complaint, *, name: str, model: str) -> UpstreamError:
    """The error that an error object in the middle of a 200 answer means.

    There is no status then: the vendor's number or word stands for one. What is not understood
    counts as the upstream's own failure, so that another try is allowed.
    """
    status = said.status or _STATUS_OF.get(said.code.lower()) or _STATUS_OF.get(said.type.lower())
    if status is None:
        status = 400 if _CONTEXT.search(said.words) else 500
    error = from_status(status, said, name=name, model=model, within=True)
    assert isinstance(error, UpstreamError), "a complaint's status is 400 or more"
    return error


def _identifier(value: object, redact: Redactor) -> str:
    if isinstance(value, int):
        value = str(value)
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value) and redact(value) == value:
        return value
    return ""


def _as_status(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else 0
