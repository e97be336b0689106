"""When to try an upstream again. Pure: time and randomness are passed in."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

#: No upstream's wish to be left alone is believed beyond a day (seconds).
LONGEST_RETRY_AFTER = 86_400.0


def backoff(failures: int, random: float, *, base: float, cap: float) -> float:
    """Seconds to wait after so many failures (1 is the first): exponential with full jitter, that
    is anything between 0 and ``min(cap, base * 2**(failures - 1))``.

    ``random`` is drawn from [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter", 2015.
    """
    # The exponent is bounded: a float cannot hold 2**1024.
    return random * min(cap, base * 2.0 ** min(failures - 1, 60))


def retry_after(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Seconds that the upstream asks to wait, at most :data:`LONGEST_RETRY_AFTER`; None if it says
    nothing, or nothing that can be understood.

    ``headers`` must look names up in any case. ``now_ms``: milliseconds since 1970 (UTC).
    Source: RFC 9110, 10.2.3 (seconds or a date); ``Retry-After-Ms`` is OpenAI's and Azure's.
    """
    milliseconds = _number(headers.get("Retry-After-Ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_RETRY_AFTER)
    value = headers.get("Retry-After", "").strip()
    seconds = _number(value)
    if seconds is None:
        seconds = _until(value, now_ms)
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)


def _number(value: str) -> float | None:
    value = value.strip()
    # Digits and one point only: float() would also take "nan", "inf", "1e9" and "1_000".
    if len(value) > 20 or not value.isascii() or not value.replace(".", "", 1).isdigit():
        return None
    return float(value)


def _until(value: str, now_ms: int) -> float | None:
    if len(value) > 64:
        return None
    try:
        then = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return max(0.0, then - now_ms / 1000)
