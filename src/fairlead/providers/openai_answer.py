"""One answer of an upstream while it is being read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from math import inf
from typing import Final

import aiohttp

from fairlead.errors import (
    FairleadError,
    UpstreamCut,
    UpstreamError,
    UpstreamProtocol,
    UpstreamTimeout,
)
from fairlead.events.model import Event
from fairlead.framing.event_stream import Parser
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_errors import Redactor
from fairlead.providers.openai_wire import ChunkFold

_DONE: Final = b"[DONE]"
# How an event stream begins that was only cut short.
_FIELDS: Final = (b":", b"data", b"event", b"id", b"retry")
# After [DONE] the body's last bytes are due; with them the connection can serve the next request.
_LINGER_S: Final = 0.25


class AbortingResponse(aiohttp.ClientResponse):
    """A response whose closing drops the connection at once.

    aiohttp's own close waits until what was written has been sent and, under TLS, for the peer's
    consent; an upstream that is to stop working must see the end immediately.
    """

    def close(self) -> None:
        connection = self.connection
        transport = None if connection is None else connection.transport
        if transport is not None:
            transport.abort()
        super().close()


class Answer:
    """Reads one response and gives its events, one network read at a time.

    Nothing is read ahead: while nobody calls :meth:`read`, the socket fills up and the upstream
    has to wait. The silence clock stands still meanwhile.
    """

    __slots__ = (
        "_clock_ms",
        "_config",
        "_deadline",
        "_ended",
        "_failure",
        "_first",
        "_fold",
        "_head",
        "_late",
        "_loop",
        "_parser",
        "_redact",
        "_timer",
        "response",
    )

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        fold: ChunkFold,
        config: OpenAICompatibleConfig,
        *,
        redact: Redactor,
        clock_ms: Callable[[], int],
        first_token_by: float,
    ) -> None:
        """``first_token_by``: the loop's time by which the first event is due."""
        self.response = response
        self._fold = fold
        self._config = config
        self._redact = redact
        self._clock_ms = clock_ms
        self._parser = Parser(max_event_bytes=config.max_event_bytes)
        # The beginning of a body that has shown no event yet: it will be needed to say what is
        # wrong with it.
        self._head: bytes | None = b""
        self._first = True
        self._ended = False
        self._late = False
        self._failure: FairleadError | None = None
        self._loop = asyncio.get_running_loop()
        self._deadline = first_token_by
        self._timer = self._loop.call_at(first_token_by, self._check_deadline)

    async def read(self) -> list[Event]:
        """The next events, as many as one network read brought; none at the end.

        Raises an UpstreamError when the answer is cut, late or not understood. Events that came
        before the fault in the same read are given first.
        """
        if self._failure is not None:
            raise self._failure
        if self._ended:
            await self._linger()
            return []
        content = self.response.content
        events: list[Event] = []
        while not events:
            if not self._first:
                self._deadline = self._loop.time() + self._config.silence_timeout
            fault = ""
            try:
                data = await content.readany()
            except (aiohttp.ClientError, OSError) as error:
                data, fault = b"", type(error).__name__
            if self._late:
                raise self._timeout()
            if not data:
                return self._at_eof(fault)
            self._take(data, events)
        # Nobody waits for the upstream now.
        self._deadline = inf
        if self._first:
            self._first = False
            self._timer.cancel()
            self._timer = self._loop.call_later(self._config.silence_timeout, self._check_deadline)
        return events

    def abort(self) -> None:
        """Drop the connection unless the body has been read to its end. Idempotent."""
        self._timer.cancel()
        self.response.close()

    def _take(self, data: bytes, events: list[Event]) -> None:
        at = self._clock_ms()
        feed = self._fold.feed
        try:
            frames = self._parser.feed(data)
            if self._head is not None:
                self._head = None if frames else (self._head + data)[: self._config.max_error_bytes]
            for frame in frames:
                if frame.data == _DONE:
                    self._ended = True
                    events += self._fold.end(at)
                    return
                if frame.event == "error":
                    raise self._fold.fail(frame.data)
                if frame.data:
                    events += feed(frame.data, at)
        except FairleadError as error:
            if not events:
                raise
            self._failure = error

    def _at_eof(self, fault: str) -> list[Event]:
        # The connection is of no use any more, and a last `read` has nothing to wait for.
        if self._fold.finished:
            self._ended = True
            return self._fold.end(self._clock_ms())
        if self._head and not fault and not self._head.lstrip().startswith(_FIELDS):
            raise self._no_stream(self._head)
        why = f" ({fault})" if fault else ""
        raise UpstreamCut(
            f"the upstream {self._config.name!r} ended the connection in the middle of"
            f" the answer{why}",
            upstream=self._config.name,
        )

    def _no_stream(self, head: bytes) -> UpstreamError:
        """What to say of a body that ended without a single event."""
        if head.lstrip().startswith((b"{", b"[")) and b"error" in head:
            return self._fold.fail(head)
        return UpstreamProtocol(
            f"the upstream {self._config.name!r} announced an event stream and sent"
            f" something else: {self._redact.excerpt(head, 200)}",
            upstream=self._config.name,
        )

    async def _linger(self) -> None:
        """Wait a moment for the end of the body, so that the connection can be used again."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                # Whatever still comes after [DONE] is nobody's.
                await self.response.content.readany()

    def _check_deadline(self) -> None:
        now = self._loop.time()
        if now < self._deadline:
            # The deadline moves with every read; the timer runs after it lazily.
            wait = min(self._deadline - now, self._config.silence_timeout)
            self._timer = self._loop.call_later(wait, self._check_deadline)
            return
        self._late = True
        self.response.close()

    def _timeout(self) -> UpstreamTimeout:
        config = self._config
        if self._first:
            what = f"no first token within first_token_timeout, {config.first_token_timeout:g} s"
            phase = "first_token"
        else:
            what = f"not a byte within silence_timeout, {config.silence_timeout:g} s"
            phase = "silence"
        return UpstreamTimeout(
            f"the upstream {config.name!r} sent {what}", upstream=config.name, phase=phase
        )
