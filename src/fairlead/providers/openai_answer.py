"""One answer of an upstream while it is being read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Protocol

from fairlead.errors import (
    FairleadError,
    UpstreamCut,
    UpstreamError,
    UpstreamProtocol,
    UpstreamTimeout,
)
from fairlead.events.model import Event
from fairlead.framing.event_stream import Parser
from fairlead.ports.pouring import Sink
from fairlead.providers.body import Response
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_errors import Redactor
from fairlead.providers.openai_wire import ChunkFold

_DONE: Final = b"[DONE]"
# How an event stream begins that was only cut short.
_FIELDS: Final = (b":", b"data", b"event", b"id", b"retry")
# After [DONE] the body's last bytes are due; with them the connection can serve the next request.
_LINGER_S: Final = 0.25


class Fold(Protocol):
    """Makes events of the data objects of one answer, such as
    :class:`~fairlead.providers.openai_wire.ChunkFold`."""

    @property
    def finished(self) -> bool:
        """Whether the answer is whole."""
        ...

    def feed(self, data: bytes, at: int) -> list[Event]:
        """The events of one data object, written at ``at`` (ms since 1970)."""
        ...

    def end(self, at: int) -> list[Event]:
        """The last events."""
        ...

    def fail(self, data: bytes) -> UpstreamError:
        """The error that an error object stands for."""
        ...


class Answer:
    """Reads one response that streams, and gives its events as they arrive; implements
    :class:`~fairlead.providers.body.Listener`.

    Nothing is read ahead: while the sink is full the socket fills up and the upstream has to wait.
    The silence clock stands still meanwhile.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_clock_ms",
        "_config",
        "_deadline",
        "_events",
        "_failure",
        "_finished",
        "_fold",
        "_full",
        "_head",
        "_late",
        "_loop",
        "_most",
        "_parser",
        "_quick",
        "_redact",
        "_silence",
        "_sink",
        "_timer",
        "_waiter",
        "response",
    )

    def __init__(
        self,
        response: Response,
        fold: Fold,
        config: OpenAICompatibleConfig,
        *,
        redact: Redactor,
        clock_ms: Callable[[], int],
        first_token_by: float,
    ) -> None:
        """``first_token_by``: the loop's time by which the first event is due."""
        self.response = response
        self._body = response.body
        self._fold = fold
        self._config = config
        self._redact = redact
        self._clock_ms = clock_ms
        self._silence = config.silence_timeout
        self._quick = fold.quick if isinstance(fold, ChunkFold) else None
        self._most = config.max_event_bytes
        self._parser = Parser(max_event_bytes=config.max_event_bytes)
        # The beginning of a body that has shown no event yet: it will be needed to say what is
        # wrong with it.
        self._head: bytes | None = b""
        self._begun = False
        self._finished = False  # the last event has been made
        self._late = False
        self._full = False  # the sink is to be waited for
        self._failure: Exception | None = None
        # Those that came before there was a sink.
        self._events: list[Event] = []
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._deadline = first_token_by
        self._timer = self._loop.call_at(first_token_by, self._check_deadline)
        self._body.listen(self)

    async def begin(self) -> list[Event]:
        """The first events, as many as one network read brought; there are some.

        Raises an UpstreamError when the answer is cut, late or not understood.
        """
        while not self._events:
            self._raise()
            if self._body.over:
                return self._at_eof()
            await self._read()
        self._begun = True
        self._deadline = inf  # nobody waits for the upstream
        self._timer.cancel()
        self._timer = self._loop.call_later(self._config.silence_timeout, self._check_deadline)
        events, self._events = self._events, []
        return events

    async def pour(self, sink: Sink) -> None:
        """Write the events after the first ones to ``sink``, each when it comes; return after the
        last one, when the connection can be used again.

        Raises an UpstreamError when the answer is cut, late or not understood. Events that came
        before the fault are written first.
        """
        self._sink = sink
        while not self._finished:
            self._raise()
            if self._body.over:
                # The connection is of no use any more.
                if not sink.write(self._at_eof()):
                    await sink.room()
                return
            self._deadline = self._loop.time() + self._config.silence_timeout
            await self._read()
            # Nobody waits for the upstream now.
            self._deadline = inf
            if self._full:
                self._full = False
                await sink.room()
        self._raise()
        await self._linger()

    def abort(self) -> None:
        """Drop the connection unless the body has been read to its end. Idempotent."""
        self._body.leave()
        self._timer.cancel()
        self.response.close()

    # -- called by the body

    def arrived(self, data: bytes) -> None:
        if self._finished:
            return  # whatever still comes after [DONE] is nobody's
        sink = self._sink
        quick = self._quick
        if sink is not None and quick is not None and self._parser.idle and len(data) <= self._most:
            # Nearly every event comes this way.
            event = quick(data, self._clock_ms())
            if event is not None:
                self._write(sink, (event,))
                return
        events: list[Event] = []
        failure: Exception | None = None
        try:
            self._finished = self._take(data, events)
        except FairleadError as error:
            failure = error
        if sink is None:
            self._events += events
            if events:
                self._wake()
        elif events:
            self._write(sink, events)
        if failure is not None:
            self._failure = failure
        if self._finished or failure is not None:
            self._wake()

    def ended(self) -> None:
        self._wake()

    # -- within

    def _write(self, sink: Sink, events: Sequence[Event]) -> None:
        self._deadline = self._loop.time() + self._silence
        try:
            if sink.write(events):
                return
            self._full = True
        except Exception as error:  # noqa: BLE001 - it is raised where the sink was given
            self._failure = error
        self._wake()

    async def _read(self) -> None:
        """Let data come until there is something to be done."""
        self._waiter = self._loop.create_future()
        try:
            self._body.resume()
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        self._body.hold()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._late:
            raise self._timeout()

    def _take(self, data: bytes, events: list[Event]) -> bool:
        """Add the events of ``data``; whether the last one is among them."""
        at = self._clock_ms()
        feed = self._fold.feed
        frames = self._parser.feed(data)
        if self._head is not None:
            self._head = None if frames else (self._head + data)[: self._config.max_error_bytes]
        for frame in frames:
            if frame.data == _DONE:
                events += self._fold.end(at)
                return True
            if frame.event == "error":
                raise self._fold.fail(frame.data)
            if frame.data:
                events += feed(frame.data, at)
        return False

    def _at_eof(self) -> list[Event]:
        """The last events of an answer whose connection has ended."""
        fault = self._body.fault
        if self._fold.finished:
            self._finished = True
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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while not self._body.over:
                    await self._read()

    def _check_deadline(self) -> None:
        now = self._loop.time()
        if now < self._deadline:
            # The deadline moves with every read; the timer runs after it lazily.
            wait = min(self._deadline - now, self._config.silence_timeout)
            self._timer = self._loop.call_later(wait, self._check_deadline)
            return
        self._late = True
        self.response.close()
        self._wake()

    def _timeout(self) -> UpstreamTimeout:
        config = self._config
        if not self._begun:
            what = f"no first token within first_token_timeout, {config.first_token_timeout:g} s"
            phase = "first_token"
        else:
            what = f"not a byte within silence_timeout, {config.silence_timeout:g} s"
            phase = "silence"
        return UpstreamTimeout(
            f"the upstream {config.name!r} sent {what}", upstream=config.name, phase=phase
        )
