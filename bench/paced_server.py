"""Fairlead with a provider that speaks at a set pace, inside its own process.

Everything but the provider is the real thing: engine, stores, application, protocol, lifecycle.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import uvloop

from bench.fairlead_server import listen, server
from bench.ticker import Ticker, token_text
from fairlead.engine.engine import Engine
from fairlead.engine.limits import Limits
from fairlead.engine.models import Model, Models
from fairlead.events.model import Event, Token
from fairlead.identity.static_keys import StaticKeys
from fairlead.policy.caller import ANONYMOUS
from fairlead.ports.conversations import Conversations
from fairlead.ports.provider import GenerationRequest
from fairlead.ports.store import Durability, Store
from fairlead.server.config import Config
from fairlead.server.system import System
from fairlead.server.telemetry import configure_logs
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.stores.sqlite.store import SqliteStore
from fairlead.stores.sqlite_conversations import SqliteConversations
from fairlead.transports.callers import Callers
from fairlead.transports.connections import Connections, Settings

#: More than any workload asks for.
_MANY = 1_000_000


class TickingProvider:
    """Speaks when the ticker says so; ``tokens`` times, or (0) without end."""

    name = "ticking"
    context_tokens = 8_000
    takes: tuple[str, ...] = ()

    def __init__(self, ticker: Ticker, tokens: int) -> None:
        self._ticker = ticker
        self._tokens = tokens

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The tokens."""
        voice = self._ticker.join()
        number = 0
        while not self._tokens or number < self._tokens:
            stamp = voice.stamp()
            if stamp is None:
                await voice.wait()
                continue
            number += 1
            yield Token(time.time_ns() // 1_000_000, token_text(stamp, number))

    async def close(self) -> None:
        """Nothing to free."""


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    store: Store = MemoryStore()
    conversations: Conversations = MemoryConversations()
    if options.durability != "memory":
        store = SqliteStore(
            options.data_dir / "journal.db", durability=Durability(options.durability)
        )
        conversations = SqliteConversations(options.data_dir / "records.db")
    await store.open()
    await conversations.open()
    ticker = Ticker(options.streams, options.rate)
    engine = Engine(
        store=store,
        conversations=conversations,
        models=Models([Model("ticking", TickingProvider(ticker, options.tokens))]),
        knowledge=None,
        secret=b"a secret for nothing but measuring",
        limits=Limits(generations=_MANY, readers=_MANY),
    )
    await engine.open()
    system = System(
        config=Config(data_dir=options.data_dir, drain_grace=0, max_readers=_MANY),
        engine=engine,
        callers=Callers(StaticKeys([], anonymous=ANONYMOUS)),
        connections=Connections(Settings()),
    )
    sock = listen()
    print(sock.getsockname()[1], flush=True)
    await server(system).serve(sockets=[sock])
    await engine.close()
    await conversations.close()
    await store.close()


def main() -> None:
    """Serve; the first line on stdout is the port."""
    parser = argparse.ArgumentParser(prog="python -m bench.paced_server", description=__doc__)
    parser.add_argument("--durability", choices=["memory", "process", "power"], default="process")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--tokens", type=int, default=0, help="of an answer; 0: without end")
    configure_logs("json", "error")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
