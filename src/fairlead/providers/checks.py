"""Active health checks: ask an upstream now and then whether it is there."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from fairlead.errors import FairleadError
from fairlead.providers.gate import Gate

_log = structlog.get_logger("fairlead.providers")


class Checkable(Protocol):
    """An upstream that can be asked for its health."""

    async def check(self, path: str, timeout: float) -> FairleadError | None:
        """What is wrong with it; None: nothing."""
        ...


class Check:
    """Asks ``upstream`` for ``path`` every ``interval`` seconds, and tells its gate what came of
    it."""

    def __init__(
        self, gate: Gate, upstream: Checkable, path: str, interval: float, timeout: float
    ) -> None:
        self._gate = gate
        self._upstream = upstream
        self._path = path
        self._interval = interval
        self._timeout = timeout

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            error = await self._upstream.check(self._path, self._timeout)
            if self._gate.checked(error):
                if error is None:
                    _log.info("upstream_well", upstream=self._gate.name)
                else:
                    _log.warning(
                        "upstream_unwell",
                        upstream=self._gate.name,
                        code=error.code,
                        error=error.message,
                    )
            await asyncio.sleep(self._interval)
