"""What the server asks of traces. What makes them is imported only where they are wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from fairlead.errors import Misconfigured
from fairlead.ports.observer import Observer
from fairlead.server.config import Config

_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class Tracing(Observer, Protocol):
    """An observer that makes spans of generations."""

    def enter(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """What the current context begins belongs to the trace that these headers name, if they
        name one."""
        ...

    async def close(self) -> None:
        """Hand over what has not been yet. Idempotent."""
        ...


def open_tracing(config: Config, stack: contextlib.AsyncExitStack) -> Tracing | None:
    """The traces that the configuration wants, closed with ``stack``; None: it wants none.

    Raises :class:`~fairlead.errors.Misconfigured` if what is needed for them is not installed.
    """
    if not config.traces.endpoint:
        return None
    if not all(map(_installed, _NEEDED)):
        raise Misconfigured(
            "traces: they need more packages; install them with: pip install 'fairlead[otel]'",
            setting="traces",
        )
    tracing = cast("Tracing", import_module("fairlead.server.traces").Traces(config.traces))
    stack.push_async_callback(tracing.close)
    return tracing


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
