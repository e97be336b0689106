"""When an upstream is tried again."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.providers.retry import LONGEST_RETRY_AFTER, backoff, retry_after

NOW = 1_700_000_000


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_lies_between_nothing_and_the_exponential(failures: int, random: float) -> None:
    wait = backoff(failures, random, base=0.5, cap=8)
    assert 0 <= wait <= min(8, 0.5 * 2.0 ** min(failures - 1, 100))


def test_the_wait_doubles_up_to_the_cap() -> None:
    assert [backoff(n, 0.5, base=1, cap=6) for n in range(1, 6)] == [0.5, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3), (" 0 ", 0), ("1.5", 1.5), ("999999999", LONGEST_RETRY_AFTER),
        (formatdate(NOW + 90, usegmt=True), 90), (formatdate(NOW - 90, usegmt=True), 0),
        (formatdate(NOW + 10**7, usegmt=True), LONGEST_RETRY_AFTER),
        ("", None), ("-1", None), ("soon", None), ("nan", None), ("inf", None), ("1e3", None),
        ("1_0", None), ("٣", None), ("9" * 400, None), ("Mon, 99 Foo 2023", None), ("1.2.3", None),
        (".", None),
    ],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, NOW * 1000) == seconds


@given(st.text(max_size=70))
def test_no_header_is_too_odd(value: str) -> None:
    seconds = retry_after({"Retry-After": value, "Retry-After-Ms": value}, NOW * 1000)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER


def test_milliseconds_win() -> None:
    assert retry_after({"Retry-After": "2", "Retry-After-Ms": "1250"}, 0) == 1.25
