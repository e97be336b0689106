"""The client for programs without asyncio: the same verbs, the same guarantees.

The work is done by :class:`~fairlead.client.client.Client` on an event loop in a thread of its own,
so that it can be used anywhere: in threads, in notebooks, beside another event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from fairlead.client.answers import Answer, Event, Reconnecting
from fairlead.client.client import PATIENCE, SILENCE, Client
from fairlead.client.credential import ApiKey
from fairlead.client.reading import Reading
from fairlead.errors import BadRequest

T = TypeVar("T")


class SyncReading(Generator[Event, None, None]):
    """The events of an answer, each once and in order, up to ``done`` or ``error``.

    A generator with verbs of its own. Closing it detaches; :meth:`stop` and :meth:`interrupt` end
    the answer. Nothing is sent before it is read.
    """

    def __init__(self, client: SyncClient, reading: Reading) -> None:
        self._client = client
        self._reading = reading
        self._events = client._iterate(reading)

    @property
    def stream(self) -> str:
        """The stream's id; empty until the server has named it."""
        return self._reading.stream

    @property
    def position(self) -> str:
        """The position after the last event that was given; empty before the first."""
        return self._reading.position

    def stop(self) -> Answer:
        """Stop the answer, for all its readers. What was written stays, and ``done`` follows."""
        return self._client._run(self._reading.stop())

    def interrupt(
        self, message: str = "", *, shown: str | None = None, key: str | None = None, **fields: Any
    ) -> SyncReading:
        """Stop this answer and ask on, in one act: see :meth:`Reading.interrupt`."""
        asking = self._reading.interrupt(message, shown=shown, key=key, **fields)
        return SyncReading(self._client, self._client._run(asking))

    # -- a generator

    def send(self, value: None) -> Event:
        return next(self._events)

    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Event:
        return self._events.throw(typ, val, tb)

    def close(self) -> None:
        """Read no more. The answer goes on without us."""
        self._events.close()


class SyncClient:
    """Talks to one server. A context manager: leaving it closes its connections.

    The arguments are those of :class:`~fairlead.client.client.Client`; ``on_reconnect``, and a
    function that gives the credential, are called in the client's own thread. Several threads may
    use one client.
    """

    def __init__(
        self,
        base_url: str,
        api_key: ApiKey | None = None,
        *,
        on_reconnect: Callable[[Reconnecting], None] | None = None,
        silence: float = SILENCE,
        patience: float = PATIENCE,
        transport: Literal["auto", "sse", "websocket", "poll"] = "auto",
        interruptible: bool = False,
    ) -> None:
        self._client = Client(
            base_url,
            api_key,
            on_reconnect=on_reconnect,
            silence=silence,
            patience=patience,
            transport=transport,
            interruptible=interruptible,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._following: set[AsyncGenerator[Event, None]] = set()  # touched in the thread alone

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Answers go on without us. Idempotent."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    # -- verbs

    def ask(self, message: str = "", *, key: str | None = None, **fields: Any) -> SyncReading:
        """Ask, and follow the answer to its end: see :meth:`Client.ask`. Closing the generator
        detaches; it does not stop the answer."""
        return SyncReading(self, self._client.ask(message, key=key, **fields))

    def start(self, message: str = "", *, key: str | None = None, **fields: Any) -> str:
        """Ask without following; the stream's id: see :meth:`Client.start`."""
        return self._run(self._client.start(message, key=key, **fields))

    def attach(self, stream: str, after: str | None = None) -> SyncReading:
        """Follow an answer from after a position to its end: see :meth:`Client.attach`."""
        return SyncReading(self, self._client.attach(stream, after))

    def interrupt(
        self,
        stream: str,
        message: str = "",
        *,
        shown: str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> SyncReading:
        """Stop an answer and ask on, in one act: see :meth:`Client.interrupt`."""
        asking = self._client.interrupt(stream, message, shown=shown, key=key, **fields)
        return SyncReading(self, self._run(asking))

    def refresh(self, api_key: ApiKey | None = None) -> None:
        """Show another credential from now on: see :meth:`Client.refresh`."""
        self._run(self._client.refresh(api_key))

    def stop(self, stream: str) -> Answer:
        """Stop an answer; what was written stays. Idempotent."""
        return self._run(self._client.stop(stream))

    def answer(self, stream: str) -> Answer:
        """The answer as a whole, so far."""
        return self._run(self._client.answer(stream))

    # -- between the threads

    def _iterate(self, events: AsyncGenerator[Event, None]) -> Generator[Event, None, None]:
        turn = asyncio.Lock()  # one step at a time, also when one was interrupted

        async def step() -> Event | None:
            async with turn:
                self._following.add(events)
                return await anext(events, None)

        async def leave() -> None:
            async with turn:
                await events.aclose()
                self._following.discard(events)

        try:
            while (event := self._run(step())) is not None:
                yield event
        finally:
            self._leave(leave())

    def _leave(self, work: Coroutine[Any, Any, None]) -> None:
        loop = self._loop
        if loop is None:
            work.close()  # the client has been closed, and its generators with it
        elif threading.current_thread() is self._thread:
            # The garbage collector may run anywhere, in the client's own thread as well.
            loop.create_task(work)
        else:
            self._run(work)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._running())
        except BadRequest:
            work.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()  # such as Ctrl-C in the calling thread
            raise

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise BadRequest("this client has been closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="fairlead client", daemon=True
                )
                self._thread.start()
            return self._loop

    async def _end(self) -> None:
        this = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not this]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for events in tuple(self._following):
            await events.aclose()
        await self._client.close()
