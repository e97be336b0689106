"""Counting by a vocabulary in a file, without a network."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from fairlead.errors import Misconfigured
from fairlead.providers.tiktoken import counter


def vocabulary(file: Path, *tokens: bytes) -> Path:
    """All single bytes, and these."""
    known = [*(bytes([n]) for n in range(256)), *tokens]
    file.write_bytes(
        b"".join(b"%b %d\n" % (base64.b64encode(token), n) for n, token in enumerate(known))
    )
    return file


def test_what_the_vocabulary_knows_is_one_token(tmp_path: Path) -> None:
    count = counter(vocabulary(tmp_path / "tiny.tiktoken", b"ro", b"pe", b"rope", b" rope"))
    assert count("") == 0
    assert count("rope") == 1
    assert count("rope rope") == 2
    assert count("rape") == 3
    assert count("绳") == 3  # three bytes, of which nothing is known


def test_a_long_run_is_counted_in_time_and_nearly_right(tmp_path: Path) -> None:
    count = counter(vocabulary(tmp_path / "tiny.tiktoken", b"xx", b"xxxx"))
    assert 25_000 <= count("x" * 100_000) <= 25_050


@pytest.mark.parametrize("text", [b"no base64\n", b"eA== one\n", b"eA== 1\n", b"", b"eA==\n"])
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "wrong.tiktoken"
    file.write_bytes(text)
    with pytest.raises(Misconfigured, match=r"wrong.tiktoken is no vocabulary"):
        counter(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"missing.tiktoken cannot be read"):
        counter(tmp_path / "missing.tiktoken")
