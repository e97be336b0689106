"""A body that is handed on as it comes, without being kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fairlead.errors import FairleadError, UpstreamProtocol
from fairlead.framing.forwarding import Headers

_log = structlog.get_logger("fairlead.server")


class Passing(Protocol):
    """A response elsewhere whose head has come."""

    status: int

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises the upstream errors of :mod:`fairlead.errors`."""
        ...

    def abort(self) -> None:
        """Drop the connection unless the body has been read to its end. Idempotent."""
        ...


class Passed(Response):
    """A response that passes through as it comes, of at most ``limit`` bytes."""

    def __init__(self, response: Passing, headers: Headers, limit: int) -> None:
        self.status_code = response.status
        self.background = None
        self.raw_headers = headers
        self._response = response
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        passing = asyncio.create_task(self._pass(scope, send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (passing, leaving):
                task.cancel()
            await asyncio.gather(passing, leaving, return_exceptions=True)
            self._response.abort()
        if not passing.cancelled() and (error := passing.exception()) is not None:
            if not isinstance(error, FairleadError):
                raise error
            # The head has gone; that the body never ends properly is all that can still be said.
            _log.warning("response_cut", path=scope["path"], code=error.code, error=error.message)

    async def _pass(self, scope: Scope, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        size = 0
        if scope["method"] != "HEAD" and self.status_code not in (204, 304):
            async for chunk in self._response.chunks():
                size += len(chunk)
                if size > self._limit:
                    raise UpstreamProtocol(
                        f"the response is larger than {self._limit} bytes, which is the limit"
                    )
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    """Until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
