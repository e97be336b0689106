"""Fairlead inside a program of one's own: mounted into an application, answered by its own agents.

Everything that the server does, without its process: the same engine, routes and page. The program
owns the event loop, the listener and the signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from fairlead.engine.ask import Ask
from fairlead.engine.explicit import Output
from fairlead.engine.models import Model
from fairlead.errors import Draining, FairleadError, Misconfigured
from fairlead.policy.caller import Caller
from fairlead.ports.identity import Identity
from fairlead.ports.provider import Provider
from fairlead.providers.generator import Agent, GeneratorProvider
from fairlead.server.app import build_app
from fairlead.server.composition import compose
from fairlead.server.config import Config
from fairlead.server.http import error_response
from fairlead.server.socket import refuse
from fairlead.server.system import System

#: Seconds that readers have to take their last events when it closes.
_LAST_WORDS = 5.0


class Fairlead:
    """Durable answers for an application. An asynchronous context manager: inside it runs.

    ``providers``: who answers, by the name that callers ask for; the first one is the default. Each
    is an agent (an asynchronous generator function that is given the question, see
    :mod:`fairlead.providers.generator`) or a :class:`~fairlead.ports.provider.Provider`. Without
    any, and without an ``upstream``, the embedded answerer answers. ``data_dir`` is the folder of
    all that is kept. ``identity`` names the callers of requests instead of ``keys``. ``settings``
    are those of the server by their names (``documents``, ``durability``, ``max_readers``, …); the
    documents are searched if some are given, or ``knowledge`` is true.

    Raises :class:`~fairlead.errors.Misconfigured` for settings that cannot be.

    ::

        fairlead = Fairlead(providers={"agent": agent}, data_dir="data")
        app = FastAPI(lifespan=fairlead.lifespan)
        app.mount("/ai", fairlead.asgi())
    """

    def __init__(
        self,
        providers: Mapping[str, Agent | Provider] | None = None,
        *,
        data_dir: str | Path,
        identity: Identity | None = None,
        **settings: Any,
    ) -> None:
        settings.setdefault("knowledge", bool(settings.get("documents")))
        if settings.get("documents"):
            settings["documents"] = tuple(Path(path) for path in settings["documents"])
        try:
            self.config = Config(data_dir=Path(data_dir), **settings)
        except TypeError as error:
            raise Misconfigured(f"there is no such setting: {error}") from None
        self._models = [_model(name, one) for name, one in (providers or {}).items()]
        self._identity = identity
        self._system: System | None = None
        self._served: ASGIApp | None = None
        self._stack = AsyncExitStack()

    # -- life

    async def start(self) -> None:
        """Open the stores and be ready. Only once at a time."""
        if self._system is not None:
            raise Misconfigured("this Fairlead runs already")
        composed = compose(self.config, own=self._models, identity=self._identity)
        self._system = await self._stack.enter_async_context(composed)
        self._served = build_app(self._system)

    async def close(self) -> None:
        """Start nothing new, give what runs ``drain_grace`` seconds to finish, end the rest as
        interrupted, send the readers away, close. Idempotent."""
        system = self._system
        if system is None:
            return
        system.engine.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.drain_grace):
                await system.engine.wait_idle()
        await system.engine.interrupt_all()
        await system.connections.drain(_LAST_WORDS)
        self._system = self._served = None
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[None, None]:
        """The lifespan of an application: ``FastAPI(lifespan=fairlead.lifespan)``. In a lifespan of
        your own write ``async with fairlead:`` instead."""
        async with self:
            yield

    # -- serving

    def asgi(self) -> ASGIApp:
        """The ASGI application: routes and page, to be mounted anywhere, or served by itself (then
        the ASGI server's lifespan starts and ends it)."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await self._serve(scope, receive, send)

        # A plain function: servers take a bound method for an application of ASGI 2.
        return application

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._own_lifespan(receive, send)
        elif self._served is not None:
            await self._served(scope, receive, send)
        else:
            error = Draining(
                "this part of the application does not run: it has yet to be started (with "
                "'lifespan=fairlead.lifespan' or 'async with fairlead'), or has ended"
            )
            if scope["type"] == "http":
                await error_response(error, Request(scope))(scope, receive, send)
            else:
                await refuse(WebSocket(scope, receive, send), error)

    async def _own_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except FairleadError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    # -- writing

    @contextlib.asynccontextmanager
    async def stream(
        self,
        message: str,
        *,
        consumer: str = "anonymous",
        conversation_id: str = "",
        key: str = "",
        name: str = "program",
        background: bool = True,
        orphan_window: float | None = None,
    ) -> AsyncGenerator[Output, None]:
        """Write an answer yourself: ``async with fairlead.stream("…") as out``.

        ``message`` is what is answered, the question in its dialogue. ``consumer`` owns the stream:
        a reader must be it, or have the scope ``admin``. ``key`` is an idempotency key. ``name``
        stands as the provider. Unless ``background``, the answer ends when nobody has watched it
        for ``orphan_window`` seconds.

        Leaving the block ends the answer as completed; an exception ends it as failed. When
        somebody stops the answer the block is cancelled at its next ``await``, and the program goes
        on after it (:class:`~fairlead.engine.explicit.Output`). Raises
        :class:`~fairlead.errors.Conflict` when ``key`` has begun its answer already.
        """
        if self._system is None:
            raise Misconfigured("this Fairlead has yet to be started: 'async with fairlead'")
        ask = Ask(
            message=message,
            conversation=conversation_id,
            orphan_window=orphan_window,
            background=background,
        )
        async with await self._system.engine.write(Caller(consumer), ask, key, name) as out:
            yield out


def _model(name: str, one: Agent | Provider) -> Model:
    if callable(one):
        one = GeneratorProvider(name, one, clock=_clock_ms)
    return Model(name, one, name)


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
