"""Logs: one line per event, for people on a terminal, JSON elsewhere. No prompts, no secrets."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, BinaryIO, Literal, TextIO, cast

import msgspec
import structlog


def configure_logs(format: Literal["auto", "json", "console"], level: str) -> None:
    """Set up the process's logs on standard error. ``auto``: console on a terminal."""
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        plain = structlog.dev.plain_traceback
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=plain))
        logger: Any = structlog.PrintLoggerFactory(cast("TextIO", _Log(sys.stderr)))
    else:
        processors += [
            # Without locals: they would hold what requests carried, keys among it.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(serializer=_json),
        ]
        logger = structlog.BytesLoggerFactory(cast("BinaryIO", _Log(sys.stderr.buffer)))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=logger,
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module; only their warnings are of interest.
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr)


class _Log:
    """Where lines go. Whoever reads them may be gone, or the disk full: that is no reason for what
    is logged not to happen."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, line: Any) -> None:
        with contextlib.suppress(OSError):
            self._file.write(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()


def _json(value: Any, **_: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=repr)
