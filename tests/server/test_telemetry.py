"""The logs hold no secrets, not even those of a request that failed for an unforeseen reason."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import structlog
from fairlead.server.telemetry import configure_logs

configure_logs(sys.argv[1], "info")


def fail(authorization):
    raise RuntimeError("unforeseen")


try:
    fail("Bearer " + "sk-" + "very-secret")
except RuntimeError as error:
    structlog.get_logger("x").error("unforeseen_error", exc_info=error)
"""


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_shows_no_values(format: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, format], capture_output=True, text=True, check=True
    )
    assert "unforeseen" in done.stderr
    assert "fail" in done.stderr, "the traceback itself is there"
    assert "very-secret" not in done.stderr
