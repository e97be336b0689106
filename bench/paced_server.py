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
from fairlead.engine.models import Model
from fairlead.events.model import Event, Token
from fairlead.ports.provider import GenerationRequest
from fairlead.server.composition import compose
from fairlead.server.config import Config
from fairlead.server.telemetry import configure_logs

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
    config = Config(
        data_dir=options.data_dir,
        durability=options.durability,
        knowledge=False,
        max_generations=_MANY,
        max_readers=_MANY,
        drain_grace=0,
        compression="on",  # for readers that ask for it
    )
    ticker = Ticker(options.streams, options.rate)
    speaker = Model("ticking", TickingProvider(ticker, options.tokens))
    async with compose(config, own=[speaker]) as system:
        sock = listen()
        print(sock.getsockname()[1], flush=True)
        await server(system).serve(sockets=[sock])


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
